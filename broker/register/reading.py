"""Documents somebody proposes, read strictly: what is wrong is named by field, and never repeated."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from joserfc.jwk import KeySet, KeySetSerialization
from pydantic import ValidationError

from adapters.registry import check
from broker.register.checking import Code, Fault
from broker.register.entrusting import EntrustedSecret
from contracts.agreement import Agreement
from contracts.body import Body
from contracts.organisation import Organisation
from contracts.registration import RegisteredClient
from contracts.text import Strict

LARGEST: Final = 24 * 1024
"""Bytes of one document that is handed in."""

Document = Agreement | Organisation | RegisteredClient | Body | EntrustedSecret
MODELS: Final[Mapping[str, type[Strict]]] = {
    "agreement": Agreement,
    "organisation": Organisation,
    "client": RegisteredClient,
    "body": Body,
    "secret": EntrustedSecret,
}
_CODES: Final[Mapping[str, Code]] = {"missing": "missing", "extra_forbidden": "not_known"}


class Faulty(Exception):  # noqa: N818  an answer
    """A document cannot be taken as it is."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.code}" for fault in faults))
        self.faults = tuple(faults)


def read(kind: str, raw: bytes) -> Document:
    """Return a document of this kind, as somebody hands it in. Raises Faulty."""
    if len(raw) > LARGEST:
        raise Faulty([Fault("", "too_large")])
    return read_kept(kind, raw)


def read_kept(kind: str, raw: bytes) -> Document:
    """Return a document of this kind. Raises Faulty, also for one that an earlier version of the program took.

    What is kept says its defaults too, so it may be larger than what was handed in.
    """
    try:
        orjson.loads(raw)
    except ValueError:
        raise Faulty([Fault("", "not_json")]) from None
    try:
        found: Any = MODELS[kind].model_validate_json(raw, by_alias=True, by_name=False)
    except ValidationError as wrong:
        raise Faulty(faults_of(wrong)) from None
    if isinstance(found, Organisation):
        check_adapter(found)
    if isinstance(found, RegisteredClient):
        check_keys(found)
    document: Document = found
    return document


def kind_of(raw: bytes) -> str:
    """Return which kind of document this is, by what only that kind has. Raises Faulty for what is no object.

    Never a secret: those are proposed where they are sealed.
    """
    try:
        found = orjson.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Faulty([Fault("", "not_json")])
    telling = {"shares": "agreement", "adapter": "organisation", "jwks": "client"}
    return next((kind for field, kind in telling.items() if field in found), "body")


def faults_of(wrong: ValidationError) -> list[Fault]:
    """Return what a model found, by field. Of a field that is not known its own name is what helps."""
    found = [
        Fault(
            "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in item["loc"])[:200],
            _CODES.get(item["type"], "not_valid"),
        )
        for item in wrong.errors(include_url=False, include_input=False, include_context=False)
    ]
    return list(dict.fromkeys(found))[:50]


def check_keys(client: RegisteredClient) -> None:
    """Raise Faulty unless its key set holds public keys and no private one."""
    try:
        keys = KeySet.import_key_set(KeySetSerialization(keys=client.jwks["keys"]))
        public = bool(keys.keys) and not any(key.is_private for key in keys.keys)
    except Exception:  # noqa: BLE001  whatever is wrong with it, its text might repeat a key
        public = False
    if not public:
        raise Faulty([Fault("/jwks", "keys_wrong")])


def check_adapter(organisation: Organisation) -> None:
    """Raise Faulty unless its adapter takes its settings."""
    try:
        check(organisation.adapter, organisation.adapter_settings)
    except ValueError:  # its words may name what was written
        wrong = True
    else:
        wrong = False
    if wrong:
        raise Faulty([Fault("/adapterSettings", "adapter_wrong")])
