"""An organisation that comes for its deliveries while everything around it is killed, and is sometimes killed itself."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import aiohttp
import orjson

from tests.faults.ledger import Effect, Inbox
from tests.faults.software import Software


@dataclass
class Comer:
    """Reads, takes, acknowledges and answers, again until each is answered for. Keeps what it took, in order."""

    software: Software
    dice: random.Random
    events: dict[str, bytes] = field(default_factory=dict)
    """Every event that ever came, as it first came."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    """How often it had read and taken something, and had not acknowledged it."""
    faults: list[str] = field(default_factory=list)
    _last: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def come(self, done: Callable[[], bool]) -> None:
        """Come until `done()`. No answer means coming again; any answer but those that are meant is a fault."""
        while not done():
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._visit()
            await asyncio.sleep(self.dice.uniform(0.05, 0.2))

    async def _visit(self) -> None:
        status, events = await self.software.ask("GET", "/v1/events")
        if status != 200:
            self._met(f"GET /v1/events was answered {status}", status)
            return
        for event in events:
            self._take(event)
            if self.dice.random() < 0.2:
                self.crashes += 1  # what follows on this page is not even looked at
                return
            await self._answer(UUID(event["id"]))

    def _take(self, event: dict[str, Any]) -> None:
        """Take an event in, as a receiver does: once, and nothing that is not above the last of its person."""
        identifier, told = event["id"], orjson.dumps(event)
        self.reads[identifier] += 1
        if self.events.setdefault(identifier, told) != told:
            self.faults.append(f"{identifier} came again with other bytes")
        if self.reads[identifier] > 1:
            return
        subject, sequence = event["subject"], int(event["sequence"])
        if sequence != self._last[subject] + 1:
            self.faults.append(f"{identifier} is number {sequence} of {subject}, after {self._last[subject]}")
        self._last[subject] = sequence
        self.taken.append(event)

    async def _answer(self, identifier: UUID) -> None:
        """Acknowledge it, or leave that to the answer; the answer is the same however often it is given."""
        if self.dice.random() < 0.5:
            status, _ = await self.software.ask("DELETE", f"/v1/events/{identifier}")
            if status != 204:
                self._met(f"acknowledging {identifier} was answered {status}", status)
                return
        status, _ = await self.software.answer(identifier, "applied", uuid5(identifier, "applied"))
        if status != 202:
            self._met(f"answering for {identifier} was answered {status}", status)

    def _met(self, what: str, status: int) -> None:
        if status not in {429, 503}:
            self.faults.append(what)

    def inbox(self, organisation: str) -> Inbox:
        """Return what it was told, as the ledger asks it of every organisation."""
        effects = tuple(
            Effect(
                position=position,
                id=event["id"],
                subject=event["subject"],
                sequence=int(event["sequence"]),
                outcome="applied",
                data=event["data"],
                arrivals=self.reads[event["id"]],
            )
            for position, event in enumerate(self.taken)
        )
        return Inbox(organisation, effects, ())
