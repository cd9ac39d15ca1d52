"""Sessions of people at our pages: kept here, sealed; the browser holds an opaque name for one and nothing else.

The rules differ by trust domain and are values; the code is the same for all.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson

from broker import sealing
from broker.identity.logout import LoggedOut
from broker.store import Database, sessions

Domain = Literal["citizen", "staff"]

NAME_BYTES: Final = 32
"""Of a session's name: 256 random bits."""
LONGEST_NAME: Final = 64
SIGN_IN_LIFE: Final = timedelta(minutes=20)
"""How long somebody may take at the provider."""
TOUCHED_EVERY: Final = timedelta(seconds=20)
"""A session in use is noted so often, not at each request."""
MOST_TRIES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """What holds for the sessions of one trust domain."""

    domain: Domain
    idle: timedelta
    """Without a request for so long it has ended."""
    absolute: timedelta
    """From sign-in; a step up does not prolong it."""
    secure: bool
    """Served over TLS. Without it, on this machine only, the cookie cannot have the prefix that demands TLS."""

    @property
    def cookie(self) -> str:
        """Its cookie. Domains differ in the name: a browser sends cookies to every port of a host."""
        return f"__Host-unwaith-{self.domain}" if self.secure else f"unwaith-{self.domain}"

    @property
    def sign_in_cookie(self) -> str:
        """The cookie that ties a sign-in under way to the browser that began it."""
        return f"{self.cookie}-sign-in"


def citizen_rules(*, secure: bool) -> SessionRules:
    return SessionRules(domain="citizen", idle=timedelta(minutes=30), absolute=timedelta(hours=2), secure=secure)


def staff_rules(*, secure: bool) -> SessionRules:
    return SessionRules(domain="staff", idle=timedelta(minutes=15), absolute=timedelta(hours=8), secure=secure)


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it was when read. Personal: its content is in no `repr`."""

    name: str = field(repr=False)
    """What the cookie holds."""
    digest: bytes = field(repr=False)
    version: int
    who: Mapping[str, Any] = field(repr=False)
    """Who signed in, in the form its domain gave at the start."""
    csrf: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    """Whatever the pages keep."""
    seen_at: datetime
    ends_at: datetime
    now: datetime
    """When it was read, by the store's clock, which alone tells how long it lasts."""


class Sessions:
    """The sessions of one trust domain."""

    def __init__(self, database: Database, secret: bytes, rules: SessionRules) -> None:
        """`secret` is the domain's own, 32 bytes."""
        self.rules = rules
        self._database = database
        self._digesting = sealing.derive(secret, b"digest")
        self._sealing = sealing.derive(secret, b"seal")

    async def start(
        self,
        who: Mapping[str, Any],
        *,
        account: tuple[str, str],
        provider_session: str | None,
        replaces: Session | None = None,
    ) -> Session:
        """Begin a session under a new name. Raises StoreUnavailable.

        `account` is (issuer, sub). A step up `replaces` the session it was made from, keeping its data and its end.
        """
        name, csrf = secrets.token_urlsafe(NAME_BYTES), secrets.token_urlsafe(NAME_BYTES)
        digest = self._digest(b"session", name)
        data = replaces.data if replaces else {}
        added = sessions.Added(
            digest=digest,
            domain=self.rules.domain,
            account=self.account(*account),
            provider_session=None if provider_session is None else self._digest(b"sid", provider_session),
            sealed=self._sealed(digest, who, csrf, data),
            absolute=self.rules.absolute,
            ends_at=replaces.ends_at if replaces else None,
        )
        row = await sessions.add(self._database, added, replaces=replaces.digest if replaces else None)
        return Session(name, digest, row.version, who, csrf, data, row.seen_at, row.ends_at, row.now)

    async def open(self, name: str | None, *, touch: bool = True) -> Session | None:
        """Return the session of that name if it has not ended; None also for a name that never was.

        `touch=False` for what the browser asks by itself: it must not keep a session alive. Raises StoreUnavailable.
        """
        if not name or len(name) > LONGEST_NAME:
            return None
        digest = self._digest(b"session", name)
        row = await sessions.find(self._database, self.rules.domain, digest)
        if row is None:
            return None
        if row.now >= min(row.ends_at, row.seen_at + self.rules.idle):
            await sessions.remove(self._database, self.rules.domain, digest)
            return None
        if touch and row.now - row.seen_at > TOUCHED_EVERY:
            await sessions.touch(self._database, digest)
        return self._read(name, digest, row, row.now if touch else row.seen_at)

    async def change(self, session: Session, how: Callable[[dict[str, Any]], None]) -> Session:
        """Change what the pages keep, and return the session as it then is.

        `how` is given the data to alter, again if another tab was quicker. If the session has ended meanwhile nothing
        is kept. Raises StoreUnavailable.
        """
        current = session
        for _ in range(MOST_TRIES):
            data: dict[str, Any] = orjson.loads(orjson.dumps(current.data))
            how(data)
            sealed = self._sealed(session.digest, current.who, current.csrf, data)
            kept = await sessions.replace(self._database, session.digest, current.version, sealed)
            if kept is not None:
                return replace(current, version=kept.version, data=data, seen_at=kept.seen_at, now=kept.now)
            row = await sessions.find(self._database, self.rules.domain, session.digest)
            if row is None:
                return replace(current, data=data)
            current = self._read(session.name, session.digest, row, row.seen_at)
        raise RuntimeError("a session is changed faster than it can be read")

    async def end(self, session: Session) -> None:
        """End a session; its name opens nothing any more. Raises StoreUnavailable."""
        await sessions.remove(self._database, self.rules.domain, session.digest)

    async def end_all(self, issuer: str, subject: str) -> int:
        """End every session of an account; return how many. Raises StoreUnavailable."""
        return await sessions.remove_of_account(self._database, self.rules.domain, self.account(issuer, subject))

    def account(self, issuer: str, subject: str) -> bytes:
        """Return the keyed digest by which the store knows the sessions of an account."""
        return self._digest(b"account", issuer, subject)

    async def end_at_word(self, said: LoggedOut) -> int | None:
        """End what the provider says has ended; return how many sessions, None if it said just this before.

        Raises StoreUnavailable, having ended nothing: the provider may say it again.
        """
        subject, session = said.subject, said.provider_session
        return await sessions.end_at_word(
            self._database,
            self.rules.domain,
            sessions.Word(jti=said.jti, until=said.until),
            account=None if subject is None else self.account(said.issuer, subject),
            provider_session=None if session is None else self._digest(b"sid", session),
        )

    def seconds_left(self, session: Session) -> int:
        """Return how long the session lasts if nothing is asked of it."""
        left = min(session.ends_at, session.seen_at + self.rules.idle) - session.now
        return max(0, int(left.total_seconds()))

    def last_seconds(self, session: Session) -> int:
        """Return how long the session can last at most, whatever is asked of it."""
        return max(0, int((session.ends_at - session.now).total_seconds()))

    async def begin_sign_in(self, state: str, browser: str, content: Mapping[str, Any]) -> None:
        """Remember a sign-in for the browser that holds the cookie `browser`. Raises StoreUnavailable."""
        digest = self._digest(b"state", state)
        row = sessions.SignInRow(
            state=digest,
            domain=self.rules.domain,
            browser=self._digest(b"browser", browser),
            sealed=sealing.seal(self._sealing, orjson.dumps(content), self._bound(b"sign-in", digest)),
        )
        await sessions.begin_sign_in(self._database, row, SIGN_IN_LIFE)

    async def take_sign_in(self, state: str, browser: str) -> dict[str, Any] | None:
        """Return what was remembered, once, to the browser that began it, in time. Raises StoreUnavailable."""
        digest = self._digest(b"state", state)
        row = await sessions.take_sign_in(self._database, self.rules.domain, digest, self._digest(b"browser", browser))
        if row is None:
            return None
        content: dict[str, Any] = orjson.loads(
            sealing.open_sealed(self._sealing, row.sealed, self._bound(b"sign-in", digest))
        )
        return content

    async def sweep(self) -> None:
        """Remove what has ended. Raises StoreUnavailable."""
        await sessions.sweep(self._database, self.rules.domain, self.rules.idle)

    def _read(self, name: str, digest: bytes, row: sessions.SessionRow, seen_at: datetime) -> Session:
        kept = orjson.loads(sealing.open_sealed(self._sealing, row.sealed, self._bound(b"session", digest)))
        return Session(
            name, digest, row.version, kept["who"], kept["csrf"], kept["data"], seen_at, row.ends_at, row.now
        )

    def _sealed(self, digest: bytes, who: Mapping[str, Any], csrf: str, data: Mapping[str, Any]) -> bytes:
        kept = orjson.dumps({"who": who, "csrf": csrf, "data": data})
        return sealing.seal(self._sealing, kept, self._bound(b"session", digest))

    def _digest(self, purpose: bytes, *parts: str) -> bytes:
        return sealing.digest(self._digesting, purpose, *(part.encode() for part in parts))

    def _bound(self, purpose: bytes, digest: bytes) -> bytes:
        return b"|".join((purpose, b"v1", self.rules.domain.encode(), digest))
