"""Where, and in which language, somebody wants to be written to."""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

import orjson

from broker import sealing


@dataclass(frozen=True, slots=True)
class Contact:
    """Personal: sealed under the person's own key, so that erasing them shreds it too."""

    email: str = field(repr=False)
    """As the identity provider verified it."""
    language: Literal["cy", "en"]
    link: str | None = field(default=None, repr=False)
    """What the letter has, by which its change can be held: a token for that alone."""

    def sealed(self, person_key: bytes, notice_id: UUID) -> bytes:
        content = orjson.dumps({"email": self.email, "language": self.language, "link": self.link})
        return sealing.seal(sealing.record_key(person_key, notice_id), content, _bound(notice_id))

    @classmethod
    def opened(cls, person_key: bytes, notice_id: UUID, sealed: bytes) -> "Contact":
        """Raises sealing.CannotOpen."""
        content = orjson.loads(
            sealing.open_sealed(sealing.record_key(person_key, notice_id), sealed, _bound(notice_id))
        )
        language: Literal["cy", "en"] = "cy" if content["language"] == "cy" else "en"
        return cls(email=content["email"], language=language, link=content.get("link"))


def _bound(notice_id: UUID) -> bytes:
    return b"notice|v1|" + notice_id.bytes
