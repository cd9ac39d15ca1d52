"""Every parser of ours on anything at all: it gives what it promises or raises what it names, and nothing else.

The same examples every time; `UNWAITH_FUZZ=20000` tries that many others.
"""

import base64
import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.requests import Request

from adapters.retry_after import LONGEST, retry_after
from adapters.webhook import WebhookAnswer, told_in
from broker.api.bodies import model_in, names_of
from broker.api.following import _read_cursor
from broker.api.problems import NotReadable, problem
from broker.api.queries import check_query
from broker.identity.jose import base64url, json_object, unbase64url
from broker.identity.keys import Keys
from broker.identity.refusals import InvalidToken
from broker.identity.tokens import check_times, scopes, text, unpack
from broker.intake.previews import grown, shown
from broker.intake.references import new_reference, read_reference
from contracts.events import canonical
from contracts.examples import asked
from contracts.receipts import Answer, Quarantined, Receipt
from contracts.records import (
    KIND_HEADER,
    QUARANTINED,
    RECEIPT,
    SealedDelivery,
    Undecodable,
    read_delivery,
    read_receipt,
)
from contracts.requests import AddressSearch, change_requests, preview_requests
from contracts.text import normalise
from tests.support.tokens import EC, header, signed

TRIES: Final = int(os.environ.get("UNWAITH_FUZZ", "0"))
NOW: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

F = TypeVar("F", bound=Callable[..., object])


def fuzzed(test: F) -> F:
    chosen = settings(
        max_examples=TRIES or 250,
        derandomize=not TRIES,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return chosen(test)


ANY_TEXT: Final = st.text(st.characters(), max_size=40)
"""Lone surrogates too: a JSON escape can make one."""
SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.sampled_from(["address", "P2", "2026-03-01"])
)
VALUES: Final = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4), max_leaves=12
)


def written(value: Any) -> bytes:
    """Return JSON as anybody could write it: NaN and halves of characters included."""
    return json.dumps(value).encode()


@st.composite
def spoilt(draw: st.DrawFn, whole: Any) -> Any:
    """Return a good JSON value with one thing in it replaced, taken out or added."""
    if isinstance(whole, dict) and whole and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(whole)))
        return {**whole, name: draw(spoilt(whole[name]))}
    if isinstance(whole, list) and whole and draw(st.booleans()):
        return [draw(spoilt(whole[0])), *whole[1:]]
    if isinstance(whole, dict):
        left = {name: inner for name, inner in whole.items() if draw(st.integers(0, 3))}
        return left | draw(st.dictionaries(ANY_TEXT, VALUES, max_size=2))
    return draw(VALUES)


@st.composite
def bytes_spoilt(draw: st.DrawFn, good: bytes) -> bytes:
    """Return good bytes with a few of them changed, cut off or said twice."""
    at, upto = sorted((draw(st.integers(0, len(good))), draw(st.integers(0, len(good)))))
    return good[:at] + draw(st.binary(max_size=6) | st.just(good[at:upto] * 2)) + good[upto:]


# The log


IDENTIFIER: Final = UUID("0197f6a4-3c1e-7cc0-9d2b-6a0b9f1c2d3e")
DELIVERY: Final = SealedDelivery(
    id=IDENTIFIER,
    epoch=0,
    sequence=1,
    type="wales.unwaith.address-changed.v1",
    source="https://unwaith.example",
    subject="c3ViamVjdA",
    time=NOW,
    dataschema="urn:wales:unwaith:schema:address-changed.v1",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    origin="b3JpZ2lu",
    generation=1,
    digest=b"\0" * 32,
    sealed=b"sealed",
)
NUMBERS: Final = st.sampled_from([b"-1", b"1_0", b"9" * 5000, b"\xd9\xa1", b" 1", b"1e3", b"", b"0x1", b"\x00"])
TIMES: Final = st.sampled_from([b"2026", b"0001-01-01T00:00:00+14:00", b"99999-01-01", b"2026-W01-1T00:00Z", b"now"])


@fuzzed
@given(st.data())
def test_records_of_deliveries(data: st.DataObject) -> None:
    headers = [
        (name, data.draw(st.just(content) | st.binary(max_size=20) | NUMBERS | TIMES | bytes_spoilt(content)))
        for name, content in DELIVERY.headers()
        if data.draw(st.integers(0, 30))
    ]
    key = data.draw(st.just(DELIVERY.key()) | st.binary(max_size=20))
    try:
        read = read_delivery(key, data.draw(st.binary(max_size=20)), headers)
    except Undecodable:
        return
    again = read_delivery(read.key(), read.sealed, read.headers())
    assert again == SealedDelivery(**{name: getattr(read, name) for name in SealedDelivery.__slots__})


RECEIPT_OF_OURS: Final = {
    "id": str(IDENTIFIER),
    "deliveryId": str(IDENTIFIER),
    "epoch": 0,
    "attempt": 1,
    "kind": "answered",
    "outcome": "applied",
    "reference": "CT-1",
    "at": "2026-03-01T00:00:00Z",
}


@fuzzed
@given(spoilt(RECEIPT_OF_OURS).map(written) | st.binary(), st.sampled_from([RECEIPT, QUARANTINED, b"", b"\xff"]))
def test_records_of_receipts(value: bytes, kind: bytes) -> None:
    try:
        read = read_receipt(value, ((KIND_HEADER, kind),))
    except Undecodable:
        return
    assert isinstance(read, Receipt | Quarantined)
    assert read_receipt(read.model_dump_json().encode(), ((KIND_HEADER, kind),)) == read


@fuzzed
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)
    )
)
def test_canonical_json_says_the_same_and_is_one_text(value: Any) -> None:
    raw = canonical(value)
    assert json.loads(raw) == value
    assert canonical(json.loads(raw)) == raw


# The API


MOVE: Final = {
    "type": "address",
    "change": {
        "previousAddress": {"uprn": 1, "buildingNumber": "1", "postalCode": "CF11 0ZZ"},
        "newAddress": {"uprn": 2, "streetName": "Heol y Bŵa", "validFrom": "2026-03-01"},
        "effectiveDate": "2026-03-01",
        "household": [{"name": {"nameParts": [{"type": "GivenName", "value": "Llŷr"}]}, "birthDate": "2020-02-29"}],
        "tenure": "owner",
    },
    "preview": "e30",
    "leaveOut": ["cardiff"],
    "identifiers": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000000"}],
}
A_DEATH: Final = {**asked("bereavement"), "preview": "e30"}
BODIES: Final = (change_requests(), preview_requests(), AddressSearch, Answer)


@fuzzed
@given(
    (spoilt(MOVE).map(written) | spoilt(A_DEATH).map(written) | spoilt(RECEIPT_OF_OURS).map(written)).flatmap(
        lambda good: st.just(good) | bytes_spoilt(good)
    )
    | st.binary()
    | VALUES.map(written),
    st.sampled_from(BODIES),
)
def test_bodies(raw: bytes, model: Any) -> None:
    try:
        read = model_in(raw, model)
    except NotReadable as refused:
        body = bytes(problem(refused.name, errors=refused.errors).body)
        assert len(body) < 8192
        for error in refused.errors:
            steps = error.pointer.split("/")[1:]
            assert all(step in names_of(model) or step.isdigit() for step in steps), "a pointer repeats what was sent"
        return
    assert model_in(read.model_dump_json(exclude_none=True).encode(), model) == read


@fuzzed
@given(ANY_TEXT | st.binary(max_size=30).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")))
def test_cursors(said: str) -> None:
    with contextlib.suppress(NotReadable):
        number = _read_cursor(said)
        assert number is not None
        assert 0 <= number < 2**63


@fuzzed
@given(st.binary(max_size=60) | st.text("&=%;+ac0", max_size=60).map(str.encode))
def test_queries(raw: bytes) -> None:
    request = Request({"type": "http", "query_string": raw, "headers": []})
    with contextlib.suppress(NotReadable):
        check_query(request, frozenset({"a", "c"}))
        assert set(request.query_params.keys()) <= {"a", "c"}


@fuzzed
@given(
    ANY_TEXT
    | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZIOL- \u0131\u00df\u017f", max_size=16)
    | st.builds(new_reference)
)
def test_references(said: str) -> None:
    read = read_reference(said)
    assert read is None or (read_reference(read) == read and read.isascii())


@fuzzed
@given(
    ANY_TEXT
    | VALUES.map(written).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="))
    | st.dictionaries(ANY_TEXT, ANY_TEXT).map(written).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_digests_of_previews(said: str) -> None:
    marks = shown(said)
    assert marks is None or not grown([], marks)
    for mark in (marks or {}).values():
        mark.encode()


# Organisations' answers


@fuzzed
@given(spoilt({"outcome": "applied", "reference": "CT-1", "deliveryId": str(IDENTIFIER)}).map(written) | st.binary())
def test_answers_in_a_body(body: bytes) -> None:
    told = told_in(body, IDENTIFIER)
    assert told is None or (isinstance(told, WebhookAnswer) and told.delivery_id in {None, IDENTIFIER})


@fuzzed
@given(
    spoilt(RECEIPT_OF_OURS).map(written)
    | spoilt(
        {"id": str(IDENTIFIER), "deliveryId": str(IDENTIFIER), "outcome": "applied", "at": "2026-03-01T00:00:00Z"}
    ).map(written)
)
def test_answers_become_receipts(raw: bytes) -> None:
    try:
        answer = Answer.model_validate_json(raw)
    except ValidationError:
        return
    receipt = answer.receipt(epoch=0, attempt=1, now=NOW)
    assert receipt.at <= NOW
    assert receipt.at.astimezone(UTC).utcoffset() == timedelta(0)


@fuzzed
@given(
    st.none() | st.text(max_size=40) | st.text("0123456789-+.e, GMTMonJan:", max_size=40) | st.integers().map(str),
    st.datetimes(timezones=st.just(UTC)),
)
def test_retry_after(value: str | None, now: datetime) -> None:
    wait = retry_after(value, now)
    assert wait is None or 0 <= wait <= LONGEST


# Tokens and keys


CLAIMS: Final = {
    "iss": "a",
    "sub": "b",
    "aud": ["c"],
    "iat": 1772442000,
    "exp": 1772442600,
    "nbf": 1.5,
    "jti": "j",
    "scope": "a b",
}


@fuzzed
@given(st.data())
def test_tokens(data: st.DataObject) -> None:
    head = data.draw(spoilt(header()).map(written) | st.binary(max_size=30) | st.just(written(header())))
    claims = data.draw(spoilt(CLAIMS).map(written) | st.binary(max_size=30))
    good = signed(head, claims, EC)
    token = data.draw(st.just(good) | bytes_spoilt(good.encode()).map(lambda raw: raw.decode("latin-1")) | ANY_TEXT)
    with contextlib.suppress(InvalidToken):
        read = unpack(token, types={"at+jwt"}).proven_by(EC)
        check_times(read, NOW)
        text(read, "sub")
        scopes(read)


@fuzzed
@given(st.binary(max_size=60) | VALUES.map(written))
def test_json_objects_in_tokens(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(json_object(raw), dict)


@fuzzed
@given(ANY_TEXT | st.binary(max_size=20).map(base64url))
def test_base64url(said: str) -> None:
    with contextlib.suppress(ValueError):
        assert base64url(unbase64url(said)) == said


JWKS: Final = {"keys": [EC.as_dict(private=False) | {"kid": "k", "use": "sig", "key_ops": ["verify"], "alg": "ES256"}]}


@fuzzed
@given(spoilt(JWKS))
def test_key_sets(document: Any) -> None:
    if not isinstance(document, dict):
        return  # whoever fetches takes objects only
    with contextlib.suppress(ValueError):
        assert len(Keys(document)) <= 1


@fuzzed
@given(ANY_TEXT)
def test_text(said: str) -> None:
    with contextlib.suppress(ValueError):
        assert normalise(normalise(said)) == normalise(said)
