"""A change that is taken back: told to exactly those who were sent it, naming what they were sent and nothing new."""

from contracts.changes.kind import EventKind

KIND = EventKind(name="withdrawal", event_type="wales.unwaith.change-withdrawn.v1")
