"""A receiver of HL7 v2 under script, for the conformance suite."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

from adapters.conformance import Act, Arrival, Mishap, Says
from adapters.conformance_peer import ScriptedPeer
from adapters.mllp import END, VT
from contracts.statuses import Outcome

SAYS: Final = {
    Outcome.ACCEPTED: ("AA", ""),
    Outcome.NOT_MATCHED: ("AE", "204"),
    Outcome.MUST_REVIEW: ("AE", "205"),
    Outcome.REJECTED_INVALID: ("AR", "101"),
    Outcome.UNKNOWN: ("AE", ""),
}
"""How an outcome is said: MSA-1 and ERR-3."""


def acknowledges(message: bytes, code: str, error: str = "", *, control_id: str = "1", answers: str = "") -> bytes:
    """Return the content of an acknowledgement of `message`; `answers` in place of its MSH-10."""
    head = message.decode().split("\r")[0].split("|")
    segments = [
        f"MSH|^~\\&|{head[4]}|{head[5]}|{head[2]}|{head[3]}|20260301093001||ACK|{control_id}|P|2.5",
        f"MSA|{code}|{answers or head[9]}|Diolch i Siân Gŵyr-Môn",
        *([f"ERR||PID^1^5|{error}^Tŷ Gŵyr^HL70357|E"] if error else []),
    ]
    return "".join(segment + "\r" for segment in segments).encode()


class MllpPeer(ScriptedPeer):
    """A receiver of HL7 v2 under script. Implements `adapters.conformance.Peer`.

    `closes`: hangs up after every answer, as many real receivers do.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, closes: bool = True) -> None:
        super().__init__(Says(Outcome.ACCEPTED), tls=tls)
        self._closes = closes
        self.messages: list[bytes] = []

    @property
    def arrivals(self) -> Sequence[Arrival]:
        return [Arrival(message.decode().split("|")[9], message) for message in self.messages]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        message = (await reader.readuntil(END)).removeprefix(VT).removesuffix(END)
        self.messages.append(message)
        await self.perform(
            self.next(),
            reader,
            writer,
            drips=VT + acknowledges(message, "AA") + END,
            flood_head=VT,
            says=lambda act: _answer(act, message),
        )
        return not self._closes


def _answer(act: Act, message: bytes) -> bytes:
    """Return what is written for an act that is one whole answer."""
    match act:
        case Says(outcome, reference):
            return VT + acknowledges(message, *SAYS[outcome], control_id=reference or "1") + END
        case Mishap.BABBLES:
            return VT + b"iawn, diolch" + END
        case Mishap.FAILS:
            return VT + acknowledges(message, "AE") + END
        case _:
            return b"HTTP/1.1 400 Bad Request\r\n\r\n"
