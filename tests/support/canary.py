"""Personal data that can be recognised wherever it turns up, in whatever form, and the search for it."""

import base64
import json
import mmap
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote


class Canary:
    """One invented person: words nobody else has, with Welsh letters in them."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.given = f"Gwenhwŷfar{mark}"
        self.family = f"Câneri-Ŵyn{mark}"
        self.building = f"Tŷ Canŵ {mark}"
        self.street = f"Heol Ëos Ẁen {mark}"
        self.postal_code = f"Y{mark[:4].upper()} {secrets.token_hex(4).upper()}"
        self.number = f"999{secrets.randbelow(10**9):09d}"
        """As it would be for the NHS."""
        self.email = f"gwenhwyfar.{mark}@caneri.example"
        self.entry = f"CAN {mark}/{secrets.token_hex(3)}"
        """Of a certificate."""
        self._forms = re.compile(b"|".join(sorted({re.escape(form) for word in self.words() for form in forms(word)})))

    def words(self) -> tuple[str, ...]:
        return (
            self.given,
            self.family,
            self.building,
            self.street,
            self.postal_code,
            self.number,
            self.email,
            self.entry,
        )

    def found_in(self, content: bytes | str) -> list[bytes]:
        """Return where any form of any word stands, with what stands around it."""
        raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        return [raw[max(0, hit.start() - 40) : hit.end() + 40] for hit in self._forms.finditer(raw)]

    def found_below(self, folder: Path) -> list[tuple[Path, int]]:
        """Return every file below `folder` that holds any form of any word, and where it first does."""
        return [(path, hit.start()) for path in files(folder) if (hit := self._first(path)) is not None]

    def _first(self, path: Path) -> re.Match[bytes] | None:
        with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return self._forms.search(content)

    def claims(self) -> dict[str, Any]:
        """Return `verified_claims` of the person, less what a test already knows how to make."""
        parts = [{"type": "GivenName", "value": self.given}, {"type": "FamilyName", "value": self.family}]
        return {"name": [{"nameParts": parts}]}

    def move(self, move: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Return `move` as this person tells it."""
        home = {"buildingName": self.building, "streetName": self.street, "postalCode": self.postal_code}
        child = {"name": {"nameParts": [{"type": "GivenName", "value": self.given}]}, "birthDate": "2021-05-05"}
        told = json.loads(json.dumps(move))
        told["change"]["newAddress"] |= home | changes
        told["change"]["household"] = [child]
        told["identifiers"] = [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": self.number}]
        return dict(told)

    def changes(self, examples: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the examples of changes that are no move, by type, as this person tells them; each has the person in it."""
        told: dict[str, dict[str, Any]] = json.loads(json.dumps(examples))
        mine = {"nameParts": self.claims()["name"][0]["nameParts"]}
        for one in told.values():
            one["change"]["homeAddress"] |= {"buildingName": self.building, "streetName": self.street}
        told["contact"]["change"] |= {
            "previousContact": {"system": "email", "value": f"before.{self.email}"},
            "newContact": {"system": "email", "value": self.email},
        }
        told["name"]["change"] |= {"newName": mine, "evidenceReference": self.entry}
        told["bereavement"]["change"]["deceased"] |= {"name": mine}
        told["bereavement"]["change"]["registration"] |= {"reference": self.entry}
        return told


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size:
            yield path


def forms(word: str) -> Iterable[bytes]:
    """Yield a word as it could be written down by anything on the way."""
    for text in {unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word)}:
        raw = text.encode()
        yield raw
        yield text.encode("utf-16-le")
        yield json.dumps(text)[1:-1].encode()
        yield re.sub(r"\\u[0-9a-f]{4}", lambda escape: "\\u" + escape[0][2:].upper(), json.dumps(text)[1:-1]).encode()
        yield repr(raw)[2:-1].encode()
        yield ascii(text)[1:-1].encode()
        yield quote(text).encode()
        yield raw.hex().encode()
        yield from _base64(raw)
        yield from _base64(json.dumps(text)[1:-1].encode())


def _base64(raw: bytes) -> Iterable[bytes]:
    """Yield what a word becomes inside a longer base64 text, for each place it can begin at."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw)
        inside = whole[-(-8 * before // 6) : 8 * (before + len(raw)) // 6]  # the characters that hold only its bits
        yield inside
        yield inside.replace(b"+", b"-").replace(b"/", b"_")
