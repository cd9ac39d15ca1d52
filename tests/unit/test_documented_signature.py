"""What docs/adapters.md tells receivers to copy: it is run, on the request and the key that stand beside it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import BadSignatureError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


def test_what_receivers_copy_accepts_what_we_sign_for_them_and_nothing_else() -> None:
    copied: dict[str, Any] = {}
    exec(block("python"), copied)
    head, body = block("http").rstrip("\n").split("\n\n")
    headers = dict(line.split(": ", 1) for line in head.split("\n"))
    published, content = json.loads(block("json")), body.encode()
    header = copied["verified"](headers, content, published, "swansea-council")
    assert header["alg"] == "ES256"
    with pytest.raises(ValueError, match="not signed for us"):
        copied["verified"](headers, content, published, "cardiff-council")
    with pytest.raises(BadSignatureError):
        copied["verified"](headers, content.replace(b"03-01", b"03-02"), published, "swansea-council")
