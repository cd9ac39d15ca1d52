"""Styles, scripts and the icon: committed files, named by their content, compressed beforehand, kept for ever."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

HERE: Final = Path(__file__).parent / "static"
PREFIX: Final = "/static/"
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""By preference."""


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    media_type: str
    encoded: dict[str, bytes]


@cache
def manifest() -> dict[str, str]:
    """Return the path of each asset by its plain name, `unwaith.css`."""
    names: dict[str, str] = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    return {name: PREFIX + hashed for name, hashed in names.items()}


@cache
def _assets() -> dict[str, _Asset]:
    """Return every file by its path, in memory: there are few, and no path of a stranger's reaches the disk."""
    found = {}
    for path in manifest().values():
        file = HERE / path.removeprefix(PREFIX)
        encoded = {name: (HERE / f"{file.name}{suffix}").read_bytes() for name, suffix in _ENCODINGS}
        found[path] = _Asset(file.read_bytes(), _TYPES[file.suffix], encoded)
    return found


async def asset(request: Request) -> Response:
    """Return one file in the best encoding the browser takes; 404 for a name that is none of ours."""
    found = _assets().get(request.url.path)
    if found is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    taken = {item.split(";")[0].strip() for item in request.headers.get("accept-encoding", "").split(",")}
    for name, _ in _ENCODINGS:
        if name in taken:
            return Response(
                found.encoded[name], media_type=found.media_type, headers=headers | {"Content-Encoding": name}
            )
    return Response(found.content, media_type=found.media_type, headers=headers)
