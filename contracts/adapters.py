"""What an adapter is, and what it is given. An adapter knows no log, no retry and no storage."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from contracts.credentials import ClientCredentials
from contracts.delivery import Delivery, Failure, Misconfigured
from contracts.receipts import Receipt
from contracts.statuses import Reason


class Adapter(Protocol):
    """One way of reaching an organisation."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Hand over one delivery, at least once; `delivery.id` repeats on a retry.

        Return what the organisation said (or, where it comes for it, that it lies there: `Delivery.placed`), or raise
        Rejected       this delivery will never be taken
        Unavailable    not now; tried again no sooner than `retry_after`
        Unknown        may have arrived; tried again with the same key, under its own small limit
        Misconfigured  401, 403, 404, 405, 410, TLS, DNS: pauses the organisation, alarms, is no attempt
        Must not retry, sleep, log content or outlive the deadline of its context.
        """
        ...

    async def close(self) -> None:
        """Give back connections. Called once; nothing is delivered afterwards."""
        ...


@runtime_checkable
class BatchAdapter(Protocol):
    """An adapter that hands over many at once."""

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        """Hand over many, at least once each; no two of them are about one person.

        Return what became of each, in the order given: what was said, or the failure `deliver` would raise. Raise where
        all failed alike. Another number of answers, or an answer about something else, counts as Unknown for all.
        """
        ...

    async def close(self) -> None: ...


class Answers(Protocol):
    """Answers fetched together: of one file, one message."""

    receipts: Sequence[Receipt]
    """What the organisation says of its deliveries. Read twice, they have the same ids. Epoch and attempt are not known
    here: they are 0."""
    unreadable: bool
    """It is none of that, and will not become it: there are no receipts, and `done` sets it aside where a person finds
    it. Not to be said of what may still be being written."""

    async def done(self) -> None:
        """See that this is not given again. Called only after the receipts are durable, or the complaint is."""
        ...


class Collector(Protocol):
    """For answers that must be fetched: response files, mailboxes. One is asked at a time, for each organisation."""

    def collect(self) -> AsyncIterator[Answers]:
        """Give what is there now, each once; what is not `done` is given again the next time.

        Raises Failure as `deliver` does. None of them pauses the organisation: it is asked again, later and later.
        """
        ...

    async def close(self) -> None:
        """Give back connections. Called once; nothing is collected afterwards."""
        ...


@runtime_checkable
class MakesCollectors(Protocol):
    """A factory of adapters that makes what fetches the answers, too."""

    def collector(self, context: "AdapterContext") -> Collector | None:
        """Return the collector for one organisation; None where its settings name nothing to collect from.

        The context is the collector's own. Raises ValueError naming the setting that is wrong, never its value.
        """
        ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An organisation's HTTP answer, cut at the cap. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient(Protocol):
    """The guarded way out for HTTP: pinned public address, TLS verified, no redirects, one total deadline, a cap."""

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """POST and return the answer whatever its status.

        Raises Unavailable when nothing was sent, Unknown when it may have arrived,
        Misconfigured for TLS, DNS or an address that is not allowed.
        """
        ...

    async def patch(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """PATCH; otherwise as `post`."""
        ...

    async def options(self, url: str, *, headers: Mapping[str, str]) -> HttpAnswer:
        """OPTIONS, without a body; otherwise as `post`."""
        ...

    async def close(self) -> None: ...


Spoken = TypeVar("Spoken", bound=asyncio.BaseProtocol)

Protection = Literal["tls", "own", "none"]
"""What keeps a connection secret and genuine: `tls` is seen to before it is given out, 1.2 or newer and verified for the
host; `own` is what is spoken on it, as SSH; `none` is in clear, and only to hosts an operator has allowed by name."""


class Connections(Protocol):
    """The guarded way out below HTTP: pinned public address or an operator's allowed host, TLS verified, an end."""

    async def create_connection(
        self, protocol_factory: Callable[[], Spoken], host: str, port: int, *, protection: Protection
    ) -> tuple[asyncio.Transport, Spoken]:
        """Connect, as `asyncio`'s loop does it; the transport is the caller's to close.

        Raises Unavailable when nothing answers, Misconfigured for TLS, DNS or an address that is not allowed.
        Nothing of a delivery has been sent when it raises.
        """
        ...

    async def close(self) -> None: ...


class Mailbox(Protocol):
    """Where deliveries lie for an organisation that comes for them."""

    async def place(self, deliveries: Sequence[Delivery], alarm_after: timedelta) -> None:
        """Lay them down, durable on return, in this order; one that lies there already in its epoch stays as it is.

        Unread for `alarm_after`, one is an alarm. Raises Unavailable: then none of them is there that was not before.
        """
        ...


def _no_authorization(_credentials: ClientCredentials) -> HttpClient:
    raise ValueError("adapter setting authorization: there are no credentials of ours here")


async def _no_signature(_content: bytes) -> str:
    raise Misconfigured(Reason.ADAPTER_FAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContext:
    """Everything an adapter may use. Secrets come by name and are never in `settings`."""

    organisation: str
    settings: Mapping[str, Any]
    """The organisation's own settings for this adapter: endpoint, mapping, policy."""
    secret: Callable[[str], bytes]
    """Return a secret of this organisation by name; raises KeyError if it has none of that name."""
    http: HttpClient
    connections: Connections
    mailbox: Mailbox | None = None
    """The organisation's mailbox; None where there is no store to keep one."""
    deadline: timedelta
    """Total time of one attempt. A request by `http` ends within it; so must all else an adapter does for one."""
    clock: Callable[[], datetime]
    """Aware, UTC."""
    origin: str = "localhost"
    """Our name in the DNS: who an organisation is asked to agree to be sent to by."""
    rate: float | None = None
    """What the organisation's policy lets us send at most, in deliveries a second; None for no limit."""
    authorized: Callable[[ClientCredentials], HttpClient] = _no_authorization
    """Return `http` with an access token of ours on every request: had, kept, renewed, and had anew after a 401.

    What it sends raises besides what `http` does: Unavailable while no token is to be had, Misconfigured where we are
    refused one. Raises ValueError naming the secret that is missing. Closed with `http`.
    """
    signed: Callable[[bytes], Awaitable[str]] = _no_signature
    """Return our signature over content: a detached JWS (RFC 7515, appendix F; RFC 7797), which the keys at our
    `/.well-known/jwks/message-signatures.json` verify. Its header names the organisation (`aud`) and the time (`iat`)."""

    async def close(self) -> None:
        """Close the way out, which is this adapter's own. For the adapter's `close`."""
        await self.http.close()
        await self.connections.close()


@runtime_checkable
class Paced(Protocol):
    """An adapter whose organisation has said how fast it may be sent to, besides what its policy says."""

    @property
    def rate(self) -> float | None:
        """Requests a second; None where it has not said."""
        ...


class AdapterFactory(Protocol):
    """Makes the adapter for one organisation. Raises ValueError naming the setting that is wrong, never its value."""

    @property
    def secrets(self) -> Sequence[str]:
        """Names of all secrets it may ask its context for."""
        ...

    def __call__(self, context: AdapterContext) -> Adapter: ...


@runtime_checkable
class CarriesTypes(Protocol):
    """A factory that says what its adapters can carry. One that does not say carries changes of address alone."""

    @property
    def carries(self) -> Collection[str] | None:
        """Event types (CloudEvents `type`) of changes; None for every one there is.

        What is not among them is refused in agreements, and `Rejected` by the adapter if it comes all the same.
        """
        ...


@runtime_checkable
class CarriesBySettings(Protocol):
    """A factory whose adapters carry less than its `carries` unless an organisation's settings say more."""

    def carried_with(self, settings: Mapping[str, Any]) -> Collection[str]:
        """Return the event types carried with these settings. Raises ValueError naming the setting that is wrong."""
        ...


@runtime_checkable
class ChecksSettings(Protocol):
    """A factory that tells wrong settings when an organisation is registered, not only when its adapter is made."""

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong, never its value."""
        ...
