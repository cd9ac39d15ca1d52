"""What happened in a run: counted, digested for comparison with another run of the seed, and the first violation."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from contracts.delivery import Delivery
from tests.simulation.loop import Process, SimulatedLoop


@dataclass(eq=False, slots=True)
class Call:
    """One call of an organisation's system."""

    delivery: Delivery
    organisation: str
    process: Process
    stops: int
    began: float
    deadline: float
    over: bool = False
    counts: bool = False
    """It was an attempt: it ended by itself, or its time was over, and not for a fault that a person must put right."""

    def undisturbed(self) -> bool:
        """Whether its worker has run all the time: a grant does not bind one that was stopped or is dead."""
        return not self.over and self.process.state == "running" and self.process.stops == self.stops


@dataclass
class History:
    """What was seen, and what went wrong first."""

    loop: SimulatedLoop
    violation: str | None = None
    calls: list[Call] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    alarms: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By the event's name, what it was about: a delivery or an organisation."""
    tail: list[str] = field(default_factory=list)
    """The last that was noted, for whoever looks for a fault."""
    _trace: Any = field(default_factory=hashlib.sha256)

    def note(self, event: str, *what: object) -> None:
        """Note that something happened; two runs of one seed note the same at the same moments."""
        self.events[event] += 1
        line = f"{self.loop.time():10.3f} {event} {' '.join(map(str, what))}"
        self._trace.update(line.encode())
        self.tail.append(line)
        if len(self.tail) > 2_000:
            del self.tail[:1_000]

    def digest(self) -> str:
        """Return the digest of everything noted so far."""
        return str(self._trace.hexdigest())[:16]

    def violated(self, invariant: str, what: object) -> None:
        """Note that an invariant does not hold; the first ends the run."""
        self.violation = self.violation or f"{invariant}: {what} (at {self.loop.time():.3f} s)"

    def alarmed(self, event: str, about: str) -> None:
        """Note that an operator was alarmed."""
        self.note(event, about)
        self.alarms[event].add(about)
