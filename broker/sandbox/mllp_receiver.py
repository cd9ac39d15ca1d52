"""A sample health board that is reached by HL7 v2: a receiver over MLLP, whose acknowledgements say what it made of it.

    applied       AA: taken in. HL7 v2 has no word for applied, and no later answer
    not_matched   AE, error 204
    must_review   AE, error 205
    slow          AA, after its time
    failing       AE, error 206: the record is in use
    refusing      AR
    silent        the connection is closed without an answer, as several real receivers do on any error

What cannot be taken is answered AR with its error code; what is no HL7 is not answered. It closes after each message.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from starlette.applications import Starlette

from broker.sandbox.behaviours import EVERY_KIND, Behaviour
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.desk import Desk, desk_app
from broker.sandbox.events import Event
from broker.sandbox.hl7 import END, KNOWN_ALREADY, LOCKED, NOT_KNOWN, VT, Message, NoMessage, acknowledgement, read
from broker.sandbox.inbox import Arrival, InboxClosed, OtherData
from contracts.events import canonical
from contracts.organisation import Organisation

LARGEST_MESSAGE: Final = 64 * 1024
PATIENCE_SECONDS: Final = 30.0
"""How long a message may take to come in whole."""
_SAID: Final = {"not_matched": ("AE", NOT_KNOWN), "must_review": ("AE", KNOWN_ALREADY)}


def mllp_receiver_app(
    *, organisation: Organisation, door: socket.socket, inbox: Path, clock: Clock = utc_now
) -> Starlette:
    """Return a health board's pages as an ASGI app whose lifespan takes HL7 at `door`, a bound socket."""
    desk = Desk(organisation, inbox, clock, EVERY_KIND - {"later"})
    return desk_app(desk, beside=_Receiver(desk, door).serving)


class _Receiver:
    def __init__(self, desk: Desk, door: socket.socket) -> None:
        self._desk = desk
        self._door = door
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, sock=self._door, limit=LARGEST_MESSAGE)
        try:
            yield
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("asyncio runs it as a task")
        self._open.add(task)
        try:
            answer = await self._answer(reader)
            if answer is not None:
                writer.write(VT + answer + END)
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            self._desk.turn_away("a connection: it brought no whole message")
        except asyncio.CancelledError:
            pass  # the system ends; asyncio would log it as this connection's fault
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes | None:
        """Return the acknowledgement of the message that comes, None for silence."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame = await reader.readuntil(END)
        try:
            message = read(frame.removesuffix(END))
        except NoMessage as fault:
            self._desk.turn_away(f"a message: {fault}")
            return None
        now = self._desk.clock()
        if fault_code := message.fault():
            self._desk.turn_away(f"a message: error {fault_code}")
            return acknowledgement(message, "AR", now, reference=_unkept(message), error=fault_code)
        behaviour = self._desk.conduct.next()
        match behaviour.behaviour:
            case "silent":
                return None
            case "failing":
                return acknowledgement(message, "AE", now, reference=_unkept(message), error=LOCKED)
            case "refusing":
                return acknowledgement(message, "AR", now, reference=_unkept(message))
        return await self._take(message, behaviour)

    async def _take(self, message: Message, behaviour: Behaviour) -> bytes | None:
        now = self._desk.clock()
        event = Event(
            id=message.control_id,
            type="^".join(message.at("MSH", 9).split("^")[:2]),
            subject=message.person,
            sequence=None,
            time=message.at("MSH", 7),
            origin="",
            data=canonical({"segments": list(message.segments)}),
        )
        try:
            kept = await self._desk.inbox.take(Arrival(event, event.id, behaviour.outcome, now))
        except InboxClosed:
            return None
        if behaviour.behaviour == "slow":
            await asyncio.sleep(behaviour.seconds)
        if isinstance(kept, OtherData):  # an id used again for another message
            return acknowledgement(message, "AR", now, reference=_unkept(message))
        code, error = _SAID.get(kept.outcome.value, ("AA", ""))
        return acknowledgement(message, code, now, reference=kept.reference, error=error)


def _unkept(message: Message) -> str:
    """Return the MSH-10 of an acknowledgement of what was not taken in."""
    return f"X{message.control_id}"[:20]
