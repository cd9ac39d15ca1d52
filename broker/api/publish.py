"""`python -m broker.api.publish` writes the OpenAPI document among the published contracts."""

import json
from pathlib import Path
from typing import Any, Final, cast

from broker.api.app import create_inner
from broker.api.parts import ApiParts
from contracts.publishing import PUBLISHED

PATH: Final[Path] = PUBLISHED / "openapi.json"


class _Unwired:
    """Stands for every part: to be described, routes need none."""

    def __getattr__(self, _name: str) -> None:
        return None


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the API, without anything it runs on."""
    return create_inner(cast("ApiParts", _Unwired())).openapi()


def render() -> bytes:
    """Return the published file."""
    return (json.dumps(document(), ensure_ascii=False, indent=2) + "\n").encode()


if __name__ == "__main__":
    PATH.write_bytes(render())
