"""What delivery is given besides the log."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from contracts.grants import Asked, Verdict
from contracts.organisation import Organisation


class Gate(Protocol):
    """Leave to send, asked right before sending."""

    async def grant(self, asked: Sequence[Asked], valid: timedelta) -> Sequence[Verdict]:
        """Answer for each, in the order asked. Raises contracts.grants.GateUnavailable: then nothing is sent."""
        ...


class Config(Protocol):
    """Organisations and their settings as they are now."""

    def organisations(self) -> Mapping[str, Organisation]:
        """Return the latest known, by id."""
        ...

    def version(self) -> int:
        """Return which configuration that is; another number may mean other settings or secrets."""
        ...

    def fresh(self) -> bool:
        """Return whether the latest known is younger than 5 s; if not, nothing may be sent."""
        ...
