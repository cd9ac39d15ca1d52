"""From the root key down: root → key-encryption key of a generation → a person's data key → one delivery.

The root stays in a KMS in production and in a sealed file in development; only key-encryption keys are asked of it,
a handful at start, so it is never on the way of a change.
"""

import asyncio
import contextlib
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from broker import sealing
from broker.store import Database, keys
from broker.store.together import Together

CACHED_PEOPLE: Final = 50_000
"""Unwrapped data keys held in memory by one process: 50,000 is about 15 MB."""
KNOWN_SECONDS: Final = 60.0
"""Whose an account is, is asked of the store again after so long: it may have been joined to another person."""


class RootKey(Protocol):
    """Wraps key-encryption keys. Shaped like a KMS: the root itself never leaves it."""

    async def wrap(self, key: bytes, bound_to: bytes) -> bytes: ...

    async def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Raises sealing.CannotOpen if `wrapped` is not of this root or `bound_to` differs."""
        ...


class RootKeyFile:
    """The root in a file only its owner can read: for development and tests."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> "RootKeyFile":
        """Read the key, or make one the first time. Raises PermissionError if others can read the file."""
        if not path.exists():
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(sealing.KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)  # whole or not at all, and whoever is second takes the first one's
            fresh.unlink()
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise PermissionError(f"{path} can be read by others: chmod 600 {path}")
        return cls(_checked(path))

    async def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        return sealing.seal(self._key, key, bound_to)

    async def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        return sealing.open_sealed(self._key, wrapped, bound_to)


def _checked(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != sealing.KEY_BYTES:
        raise ValueError(f"{path} is not a root key: it must hold {sealing.KEY_BYTES} bytes")
    return key


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A person and their data key."""

    person_id: int
    generation: int
    key: bytes = field(repr=False)


class PersonGone(Exception):  # noqa: N818  says what holds
    """The account belongs to somebody who has been erased."""


class Vault:
    """Every key the exchange uses, unwrapped only in memory."""

    def __init__(self, database: Database, generations: dict[int, bytes]) -> None:
        self._database = database
        self._generations = generations
        self._current = max(generations)
        self._secrets: dict[str, bytes] = {}
        self._digesters: dict[str, sealing.Digester] = {}
        self._people: OrderedDict[bytes, tuple[float, PersonKey]] = OrderedDict()
        self._wrapped = Together(partial(keys.person_keys, database))

    @classmethod
    async def open(cls, database: Database, root: RootKey) -> "Vault":
        """Unwrap the key-encryption keys, making the first on an empty store.

        Raises StoreUnavailable, and sealing.CannotOpen when the root is not the one that wrapped them.
        """
        if not await keys.generations(database):
            await keys.add_generation(database, 1, await root.wrap(os.urandom(sealing.KEY_BYTES), _kek(1)))
        wrapped = await keys.generations(database)
        return cls(database, {number: await root.unwrap(item, _kek(number)) for number, item in wrapped.items()})

    async def secret(self, name: str) -> bytes:
        """Return the 32-byte secret kept under `name`, making it on first use. Raises StoreUnavailable."""
        if name not in self._secrets:
            found = await keys.secret(self._database, name)
            if found is None:
                fresh = sealing.seal(self._generations[self._current], os.urandom(sealing.KEY_BYTES), _secret(name))
                await keys.add_secret(self._database, name, self._current, fresh)
                found = await keys.secret(self._database, name)
            if found is None:
                raise LookupError(name)
            self._secrets[name] = sealing.open_sealed(self._generations[found[0]], found[1], _secret(name))
        return self._secrets[name]

    async def digester(self, name: str) -> sealing.Digester:
        """Return `sealing.digest` under the secret kept under `name`. Raises StoreUnavailable."""
        if name not in self._digesters:
            self._digesters[name] = sealing.Digester(await self.secret(name))
        return self._digesters[name]

    async def find(self, name: str) -> bytes | None:
        """Return what an organisation entrusted to us under `name`, or None. Read anew each time: it may be replaced.

        Raises StoreUnavailable.
        """
        found = await keys.secret(self._database, name)
        return found and sealing.open_sealed(self._generations[found[0]], found[1], _secret(name))

    async def entrust(self, name: str, value: bytes) -> None:
        """Keep a secret of an organisation's, in place of an earlier one. Raises StoreUnavailable."""
        if await self.find(name) != value:
            wrapped = sealing.seal(self._generations[self._current], value, _secret(name))
            await keys.put_secret(self._database, name, self._current, wrapped)

    def sealed(self, name: str, value: bytes) -> keys.Sealed:
        """Return a secret as it can be kept under `name`, and under no other, once that is decided."""
        return keys.Sealed(name, self._current, sealing.seal(self._generations[self._current], value, _secret(name)))

    async def exchange(self, name: str, was: bytes | None, becomes: bytes, leaves: Sequence[bytes] = ()) -> bool:
        """Keep `becomes` under `name` if `was` is what is kept there, None for nothing; return whether it was.

        `leaves` are written with it, where something was exchanged.

        Raises StoreUnavailable.
        """
        wrapped = sealing.seal(self._generations[self._current], becomes, _secret(name))
        if was is None:
            return await keys.add_secret(self._database, name, self._current, wrapped)
        found = await keys.secret(self._database, name)
        if found is None or sealing.open_sealed(self._generations[found[0]], found[1], _secret(name)) != was:
            return False
        return await keys.exchange_secret(self._database, name, found[1], self._current, wrapped, leaves)

    async def account(self, issuer: str, subject: str) -> bytes:
        """Return the keyed digest by which the store knows an account. Raises StoreUnavailable."""
        return (await self.digester("accounts"))(issuer.encode(), subject.encode())

    async def person(self, issuer: str, subject: str) -> PersonKey:
        """Return the person behind an account, new ones with a data key that is committed before it is used.

        Raises PersonGone and StoreUnavailable.
        """
        account = await self.account(issuer, subject)
        cached = self._cached(account)
        if cached is not None:
            self._people.move_to_end(account)
            return cached
        wrapped = await self._wrapped_key(account)
        if wrapped is None:
            person_id = await keys.add_person(self._database, account)
            fresh = sealing.seal(
                self._generations[self._current], os.urandom(sealing.KEY_BYTES), _person(person_id, self._current)
            )
            await keys.add_person_key(self._database, person_id, self._current, fresh)
            wrapped = await self._wrapped_key(account)
        if wrapped is None:
            raise PersonGone
        person = PersonKey(
            wrapped.person_id,
            wrapped.generation,
            self.unwrap_person(wrapped.person_id, wrapped.kek_generation, wrapped.wrapped),
        )
        self._people[account] = asyncio.get_running_loop().time() + KNOWN_SECONDS, person
        self._people.move_to_end(account)
        if len(self._people) > CACHED_PEOPLE:
            self._people.popitem(last=False)
        return person

    async def known(self, issuer: str, subject: str) -> PersonKey | None:
        """Return the person behind an account, or None: reading makes nobody. Raises StoreUnavailable."""
        account = await self.account(issuer, subject)
        if self._cached(account) is not None or await self._wrapped_key(account) is not None:
            return await self.person(issuer, subject)
        return None

    def _cached(self, account: bytes) -> PersonKey | None:
        until, person = self._people.get(account, (0.0, None))
        return person if asyncio.get_running_loop().time() < until else None

    async def _wrapped_key(self, account: bytes) -> keys.WrappedPersonKey | None:
        return (await self._wrapped.answers([account])).get(account)

    async def key_of(self, person_id: int) -> bytes | None:
        """Return the data key of a person, None for somebody erased. Raises StoreUnavailable."""
        wrapped = await keys.key_of_person(self._database, person_id)
        if wrapped is None:
            return None
        return self.unwrap_person(wrapped.person_id, wrapped.kek_generation, wrapped.wrapped)

    def forget(self, person_id: int) -> None:
        """Drop a person's key from memory: the store says they are gone, or other accounts are theirs now."""
        for account in [account for account, (_, person) in self._people.items() if person.person_id == person_id]:
            del self._people[account]

    def unwrap_person(self, person_id: int, kek_generation: int, wrapped: bytes) -> bytes:
        """Return a person's data key. Raises sealing.CannotOpen, also for a generation that was destroyed."""
        key = self._generations.get(kek_generation)
        if key is None:
            raise sealing.CannotOpen
        return sealing.open_sealed(key, wrapped, _person(person_id, kek_generation))


def _kek(generation: int) -> bytes:
    return b"kek|v1|%d" % generation


def _secret(name: str) -> bytes:
    return b"secret|v1|" + name.encode()


def _person(person_id: int, generation: int) -> bytes:
    return b"dek|v1|%d|%d" % (person_id, generation)
