"""What delivery is given besides the log."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from contracts.breaker import Breaker
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

    def secrets(self, organisation: str) -> bytes:
        """Return a mark of what an organisation has entrusted us: another when one of its secrets is replaced."""
        ...

    def fresh(self) -> bool:
        """Return whether the latest known is younger than 5 s; if not, nothing may be sent."""
        ...


class Breakers(Protocol):
    """The breakers of all organisations, shared by all workers."""

    def breaker(self, organisation: str) -> Breaker:
        """Return the latest known; one that was never open is closed."""
        ...

    def now(self) -> datetime:
        """Return the time by the clock the breakers are told by."""
        ...

    async def move(self, organisation: str, to: Breaker) -> bool:
        """Record a breaker's next state; return False, and know what stands, where somebody else was first.

        It counts where `to.version` is one above what stands. Raises contracts.grants.GateUnavailable.
        """
        ...


class OwnBreakers:
    """Breakers of one process alone, forgotten with it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.now = clock
        self._known: dict[str, Breaker] = {}

    def breaker(self, organisation: str) -> Breaker:
        return self._known.get(organisation, CLOSED)

    async def move(self, organisation: str, to: Breaker) -> bool:
        if to.version != self.breaker(organisation).version + 1:
            return False
        self._known[organisation] = to
        return True


CLOSED: Final = Breaker()
