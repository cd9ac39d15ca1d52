"""HL7 v2 on the real way out: the suite against a scripted receiver, every answer, every field."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
import trustme

from adapters.conformance import (
    DEADLINE,
    FAILS_AS,
    WELSH,
    AdapterConformance,
    Mishap,
    Says,
    Standing,
    attempt,
    sample_change,
    sample_delivery,
    sample_withdrawal,
)
from adapters.conformance_mllp import SAYS, MllpPeer, acknowledges
from adapters.conformance_tls import CertificateConformance, server_tls, tls_of
from adapters.hl7v2 import CARRIED, Hl7v2, Hl7v2Settings, control_id, message, undoing
from adapters.mllp import END, VT
from adapters.registry import adapter_for, carries
from adapters.told import told, withdrawn
from broker.outbound.client import tls_context
from contracts.adapters import Adapter
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import canonical
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from tests.support.ways_out import context

GOLDEN = Path(__file__).parent / "golden"
PARTIES = {
    "sending_application": "299",
    "sending_facility": "UNWAITH",
    "receiving_application": "108",
    "receiving_facility": "108",
}
BOARD: dict[str, Any] = {"host": "localhost", "port": 2575, **PARTIES, "numbers": "replaced"}


@asynccontextmanager
async def board(
    *, deadline: timedelta = DEADLINE, tls: ssl.SSLContext | None = None, closes: bool = True, **settings: Any
) -> AsyncIterator[tuple[Adapter, MllpPeer]]:
    async with MllpPeer(tls=tls, closes=closes) as peer:
        given = BOARD | {"port": peer.port, "tls": tls is not None} | settings
        adapter = adapter_for("hl7v2", context(given, deadline=deadline))
        try:
            yield adapter, peer
        finally:
            await adapter.close()


class Hl7v2Conformance(AdapterConformance):
    mishaps = frozenset({*Mishap, *Standing}) - {
        Mishap.BOMB,
        Mishap.REDIRECTS,
        Mishap.UNAUTHORISED,
        Mishap.MISSING,
    }
    outcomes = frozenset(SAYS)
    well = Outcome.ACCEPTED
    says_when = False
    fails_as: ClassVar = {
        **FAILS_AS,
        Mishap.BABBLES: ((Unknown,), Reason.ANSWER_UNREADABLE),
        Mishap.GARBAGE: ((Unknown,), Reason.ANSWER_UNREADABLE),
        Mishap.FLOODS: ((Unknown,), Reason.ANSWER_TOO_LARGE),
        Mishap.FAILS: ((Unknown,), Reason.SERVER_ERROR),
    }
    closes: ClassVar[bool]

    @asynccontextmanager
    async def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AsyncIterator[tuple[Adapter, MllpPeer]]:
        parts = board(deadline=deadline, tls=tls_of(standing), closes=self.closes, keep_open=not self.closes)
        async with parts as (adapter, peer):
            if standing is Standing.ABSENT:
                peer.leave()
            yield adapter, peer

    def key(self, delivery: Delivery) -> str:
        return control_id(delivery)

    def carries(self, content: bytes, data: bytes) -> bool:
        assert data == WELSH
        sent = content.decode()
        return "|Gŵyr-Môn^Siân^Llŷr^^^^L|" in sent and "|Tŷ Gŵyr^2 Ffordd y Môr^Abertawe^^SA1 0ZZ^GBR^H^" in sent


class TestConnectionForEachMessage(Hl7v2Conformance):
    closes = True


class TestConnectionKeptOpen(Hl7v2Conformance):
    closes = False


GOLDEN_ID = UUID("0f5bb1f2-62d0-4d5c-9a3c-4a2f3c9d7e10")


def minimised(*, roles: tuple[str, ...] = ("arriving",), **change: Any) -> bytes:
    """Return the sample data with other members of `change`; None leaves one out."""
    data = json.loads(WELSH)
    data["change"] = {name: value for name, value in (data["change"] | change).items() if value is not None}
    return canonical(data | {"roles": list(roles)})


GOLDENS: dict[str, tuple[dict[str, Any], bytes]] = {
    "address-arriving": ({}, WELSH),
    "address-arriving-added": (
        {
            "arriving_as": "A28",
            "version": "2.5.1",
            "acknowledgement": "enhanced",
            "person_authority": "UNWAITH",
            "previous_address": True,
            "processing": "T",
        },
        WELSH,
    ),
    "address-leaving": ({}, minimised(roles=("leaving",), newAddress=None)),
    "address-for-a-while": ({"previous_address": True}, minimised(moveKind="temporary")),
    "address-delimiters": (
        {},
        minimised(
            newAddress={
                "buildingName": r"Môr & Mynydd | ~Tŷ^ \F\ ",
                "organisationName": "O’Brien’s",
                "buildingNumber": "3",
                "postalCode": "SA1 0ZZ",
            }
        ),
    ),
}


TAKEN_BACK: dict[str, bytes] = {"change-withdrawn": WELSH}
"""What was told, by the name of the message that takes it back."""


TYPES: dict[str, Delivery] = {
    "name": sample_change("name"),
    "contact": sample_change("contact"),
    "contact-email-at-work": sample_change(
        "contact", previousContact=None, newContact={"system": "email", "use": "work", "value": "sian@gwaith.example"}
    ),
    "language": sample_change("language"),
    "bereavement": sample_change("bereavement"),
    "bereavement-some-month": sample_change("bereavement", deathDate="2026-03"),
}
"""Changes that are no move, by the name of their message."""


BACK = ("name-taken-back", "contact-taken-back", "language-taken-back")


def taken_back(name: str, **settings: Any) -> str:
    """Return the message that takes back what `TYPES` says."""
    data, kind = json.loads(TYPES[name].data), TYPES[name].type
    delivery = sample_withdrawal(canonical(data), type=kind)
    back = withdrawn(delivery, CARRIED)
    assert back is not None
    return undoing(delivery, back, Hl7v2Settings.model_validate(BOARD | settings))


def undone(data: bytes) -> str:
    delivery = sample_withdrawal(data)
    back = withdrawn(delivery)
    assert back is not None
    return undoing(delivery, back, Hl7v2Settings.model_validate(BOARD))


def golden(name: str) -> str:
    """Return the message of this name as it is made."""
    if name in TAKEN_BACK:
        return undone(TAKEN_BACK[name])
    if name.endswith("-taken-back"):
        return taken_back(name.removesuffix("-taken-back"))
    if name in TYPES:
        change = replace(TYPES[name], id=GOLDEN_ID)
        return message(change, told(change, CARRIED), Hl7v2Settings.model_validate(BOARD))
    settings, data = GOLDENS[name]
    delivery = sample_delivery(delivery_id=GOLDEN_ID, data=data)
    return message(delivery, told(delivery), Hl7v2Settings.model_validate(BOARD | settings))


@pytest.mark.parametrize("name", [*GOLDENS, *TAKEN_BACK, *TYPES, *BACK])
def test_golden_messages(name: str) -> None:
    made = golden(name)
    assert made.endswith("\r")
    assert "\n" not in made
    assert made.replace("\r", "\n") == (GOLDEN / f"hl7v2-{name}.hl7").read_text(encoding="utf-8")


SOMEBODY = {"nameParts": [{"type": "GivenName", "value": "Mair"}, {"type": "FamilyName", "value": "Arall"}]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (sample_change("contact", newContact=None), Reason.INVALID_FOR_RECEIVER),  # emptying a field takes all of it
        (sample_change("language", newLanguage=None), Reason.FIELDS_MISSING),  # formats have no field
        (sample_change("name", newName=None), Reason.FIELDS_MISSING),
        (sample_change("name", previousName=SOMEBODY), Reason.INVALID_FOR_RECEIVER),  # not the name that is verified
        (sample_change("bereavement", deceased=None), Reason.FIELDS_MISSING),
        (sample_change("bereavement", deathDate=None), Reason.FIELDS_MISSING),
    ],
    ids=lambda given: given.type if isinstance(given, Delivery) else given.value,
)
def test_what_has_no_field_is_rejected(change: Delivery, why: Reason) -> None:
    with pytest.raises(Rejected) as rejected:
        message(change, told(change, CARRIED), Hl7v2Settings.model_validate(BOARD))
    assert rejected.value.reason is why


def test_a_death_is_of_who_died_and_nothing_stands_there_of_who_tells_it() -> None:
    settings = Hl7v2Settings.model_validate(BOARD | {"person_authority": "UNWAITH"})
    change = TYPES["bereavement"]
    made = message(change, told(change, CARRIED), settings)
    assert "PID|1||9434765919^^^NHS^NH||Gŵyr^Tŷfai^^^^^L||19410228" in made
    assert "Siân" not in made
    assert "UNWAITH^PI" not in made


def test_a_death_that_is_taken_back_is_for_a_person() -> None:
    with pytest.raises(Rejected):
        taken_back("bereavement")
    with pytest.raises(Rejected):
        taken_back("contact-email-at-work")  # nothing was known of before


def test_a_number_that_was_added_beside_others_cannot_be_taken_out() -> None:
    with pytest.raises(Rejected):
        taken_back("contact", numbers="added")


async def test_no_number_is_sent_until_it_is_said_what_becomes_of_the_others() -> None:
    assert not carries("hl7v2", BOARD | {"numbers": None}, TYPES["contact"].type)
    assert all(carries("hl7v2", BOARD | {"numbers": said}, TYPES["contact"].type) for said in ("added", "replaced"))
    assert carries("hl7v2", BOARD | {"numbers": None}, TYPES["language"].type)
    async with board(numbers=None) as (adapter, peer):
        ended = await attempt(adapter, TYPES["contact"])
        assert isinstance(ended, Rejected)
        assert not peer.arrivals


@pytest.mark.parametrize(
    ("code", "error", "kind", "what"),
    [
        ("AA", "", Receipt, Outcome.ACCEPTED),
        ("CA", "", Receipt, Outcome.ACCEPTED),
        ("AA", "207", Receipt, Outcome.ACCEPTED),
        ("AE", "", Unknown, Reason.SERVER_ERROR),
        ("CE", "207", Unknown, Reason.SERVER_ERROR),
        ("AE", "100", Rejected, Reason.INVALID_FOR_RECEIVER),
        ("AE", "101", Rejected, Reason.INVALID_FOR_RECEIVER),
        ("CE", "102", Rejected, Reason.INVALID_FOR_RECEIVER),
        ("AR", "103", Rejected, Reason.INVALID_FOR_RECEIVER),
        ("AR", "", Rejected, Reason.INVALID_FOR_RECEIVER),
        ("CR", "207", Rejected, Reason.INVALID_FOR_RECEIVER),
        ("AR", "200", Misconfigured, Reason.ADAPTER_FAULT),
        ("AR", "201", Misconfigured, Reason.ADAPTER_FAULT),
        ("AE", "202", Misconfigured, Reason.ADAPTER_FAULT),
        ("CR", "203", Misconfigured, Reason.ADAPTER_FAULT),
        ("AE", "204", Receipt, Outcome.NOT_MATCHED),
        ("AR", "204", Receipt, Outcome.NOT_MATCHED),
        ("AR", "205", Receipt, Outcome.MUST_REVIEW),
        ("AE", "206", Unavailable, Reason.SERVER_ERROR),
        ("XX", "", Unknown, Reason.ANSWER_UNREADABLE),
        ("", "", Unknown, Reason.ANSWER_UNREADABLE),
    ],
)
async def test_the_table_of_answers(
    code: str, error: str, kind: type[Receipt | Failure], what: Outcome | Reason
) -> None:
    delivery = sample_delivery()
    sent = message(delivery, told(delivery), Hl7v2Settings.model_validate(BOARD)).encode()
    async with board() as (adapter, peer):
        peer.does(VT + acknowledges(sent, code, error, control_id="MPI-77") + END)
        ended = await attempt(adapter, delivery)
    assert type(ended) is kind, repr(ended)
    if isinstance(ended, Receipt):
        assert (ended.outcome, ended.reference) == (what, "MPI-77")
    else:
        assert ended.reason is what


def framed(text: str) -> bytes:
    return VT + text.encode("latin-1") + END


@pytest.mark.parametrize(
    "answer",
    [
        framed(""),
        framed("MSH"),
        framed("MSA|AA|{id}\r"),
        framed("MSH|^~\\&|A|B|C|D|20260301||ACK|1|P|2.5\r"),
        framed("MSH|^~\\&|A|B|C|D|20260301||ACK|1|P|2.5\rMSA\r"),
        framed("MSH|^~\\&|A|B|C|D|20260301||ACK|1|P|2.5\rMSA|AA\r"),
        framed("MSH|^~\\&|A|B|C|D|20260301||ACK|1|P|2.5\rMSA|AA|SOMEBODYELSES4711\r"),
        framed("MSH|^~\\&|A|B|C|D|20260301||ACK|1|P|2.5\rMSA|aa|{id}\r"),
        framed("\xff\xfe\x00"),
        b"\x1c\r",
        b"\x0b\x0b\x1c\r",
    ],
)
async def test_whatever_is_not_the_answer_to_this_message_is_unknown_and_ends_the_connection(answer: bytes) -> None:
    delivery = sample_delivery()
    async with board(closes=False, keep_open=True) as (adapter, peer):
        peer.does(answer.replace(b"{id}", control_id(delivery).encode()), Says(Outcome.ACCEPTED))
        ended = await attempt(adapter, delivery)
        assert isinstance(ended, Unknown), repr(ended)
        assert ended.reason is Reason.ANSWER_UNREADABLE
        assert isinstance(await attempt(adapter, delivery), Receipt)
        assert peer.accepted == 2
        assert peer.messages[0] == peer.messages[1]


async def test_a_silent_close_is_unknown_and_the_repeat_is_the_same_message() -> None:
    async with board() as (adapter, peer):
        peer.does(None, Says(Outcome.ACCEPTED))
        delivery = sample_delivery()
        ended = await attempt(adapter, delivery)
        assert isinstance(ended, Unknown)
        assert ended.reason is Reason.CONNECTION_LOST
        assert isinstance(await attempt(adapter, replace(delivery, attempt=2)), Receipt)
        assert peer.messages[0] == peer.messages[1]


async def test_a_line_feed_after_each_segment_and_other_delimiters_are_understood() -> None:
    delivery = sample_delivery()
    async with board() as (adapter, peer):
        for answer in (
            f"MSH|^~\\&|A|B|C|D|20260301||ACK|R1|P|2.5\r\nMSA|AA|{control_id(delivery)}\r\n",
            f"MSH#*~\\&#A#B#C#D#20260301##ACK#R1#P#2.5\rMSA#AA#{control_id(delivery)}\r",
            f"MSH|^~\\&|A|B|C|D|20260301||ACK|R1|P|2.5\rSFT|x\rMSA|AA|{control_id(delivery)}",
        ):
            peer.does(framed(answer))
            ended = await attempt(adapter, delivery)
            assert isinstance(ended, Receipt)
            assert ended.reference == "R1"


async def test_connections_are_kept_or_made_anew_as_agreed() -> None:
    async with board(closes=False, keep_open=True) as (adapter, peer):
        for _ in range(5):
            await adapter.deliver(sample_delivery())
        assert peer.accepted == 1
    async with board(closes=False) as (adapter, peer):
        for _ in range(5):
            await adapter.deliver(sample_delivery())
        assert peer.accepted == 5


async def test_a_receiver_that_closes_although_it_was_said_to_stay_open_loses_nothing() -> None:
    async with board(closes=True, keep_open=True) as (adapter, peer):
        for _ in range(20):
            ended = await attempt(adapter, sample_delivery())
            assert isinstance(ended, Receipt | Unknown)
        assert len(set(peer.messages)) == len(peer.messages)


class TestCertified(CertificateConformance):
    @asynccontextmanager
    async def certified(
        self, *, tls: ssl.SSLContext, trusts: trustme.CA, certificate: str | None
    ) -> AsyncIterator[tuple[Adapter, MllpPeer]]:
        rules = tls_context(spoken=None)
        trusts.configure_trust(rules)
        secrets = {"client-certificate": certificate} if certificate else {}
        async with MllpPeer(tls=tls) as peer:
            adapter = adapter_for("hl7v2", context(BOARD | {"port": peer.port}, secrets, tls=rules))
            try:
                yield adapter, peer
            finally:
                await adapter.close()


async def test_tls_is_verified_for_the_host() -> None:
    authority = trustme.CA()
    rules = tls_context(spoken=None)
    authority.configure_trust(rules)
    async with MllpPeer(tls=server_tls(authority)) as peer:
        for host, kind in (("localhost", Receipt), ("127.0.0.1", Misconfigured)):
            adapter = adapter_for("hl7v2", context(BOARD | {"host": host, "port": peer.port}, tls=rules))
            assert isinstance(await attempt(adapter, sample_delivery()), kind)
            await adapter.close()


async def test_messages_of_one_connection_keep_their_order() -> None:
    async with board(closes=False, keep_open=True) as (adapter, peer):
        deliveries = [sample_delivery() for _ in range(200)]
        await asyncio.gather(*map(adapter.deliver, deliveries))
        assert [arrival.key for arrival in peer.arrivals] == [control_id(delivery) for delivery in deliveries]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (minimised(effectiveDate=None), Reason.FIELDS_MISSING),
        (minimised(newAddress=None, previousAddress=None), Reason.FIELDS_MISSING),
        (canonical({"change": json.loads(WELSH)["change"]}), Reason.FIELDS_MISSING),
        (canonical({"person": json.loads(WELSH)["person"], "change": {}}), Reason.FIELDS_MISSING),
        (WELSH.replace(b"943 476 5919", b"943 476 5918"), Reason.FIELDS_MISSING),
        (WELSH.replace("Tŷ Gŵyr".encode(), rb"T\u0000"), Reason.UNDECODABLE),
        (WELSH.replace("Tŷ Gŵyr".encode(), rb"a\rMSH|x"), Reason.UNDECODABLE),
        (WELSH.replace(b"1987-05-14", b"14/05/1987"), Reason.UNDECODABLE),
        (b"{", Reason.UNDECODABLE),
        (b"\xff", Reason.UNDECODABLE),
        (b"[]", Reason.UNDECODABLE),
    ],
)
async def test_too_little_or_unsendable_is_rejected_before_anything_is_sent(data: bytes, reason: Reason) -> None:
    async with board() as (adapter, peer):
        ended = await attempt(adapter, sample_delivery(data=data))
        assert isinstance(ended, Rejected), repr(ended)
        assert ended.reason is reason
        assert ended.__cause__ is None
        assert peer.accepted == 0


def test_wherever_it_was_told_what_takes_it_back_is_the_same() -> None:
    for told_there in (minimised(roles=("leaving",), newAddress=None), minimised(moveKind="temporary")):
        assert undone(told_there) == undone(WELSH)


async def test_what_is_taken_back_is_the_address_that_held_before() -> None:
    async with board() as (adapter, peer):
        delivery = sample_withdrawal(WELSH)
        for attempts in (1, 2):
            assert (await adapter.deliver(replace(delivery, attempt=attempts))).outcome is Outcome.ACCEPTED
        first, again = (arrival.content.decode() for arrival in peer.arrivals)
        assert first == again
        assert control_id(delivery) in first
        assert "Treganna" in first
        assert "Gŵyr^2 Ffordd" not in first, "where she does not live after all"


@pytest.mark.parametrize(
    ("delivery", "settings"),
    [
        (sample_withdrawal(WELSH, numbered=3), {}),
        (sample_withdrawal(WELSH, sequence=None), {}),
        (sample_withdrawal(minimised(previousAddress=None)), {}),
        (sample_withdrawal(WELSH), {"arriving_as": "A28"}),
        (sample_withdrawal(WELSH, type="wales.unwaith.name-changed.v1"), {}),
        (sample_withdrawal(WELSH, change=None), {}),
    ],
    ids=["something came between", "not said", "nothing to go back to", "was added", "another type", "no change"],
)
async def test_what_cannot_honestly_be_taken_back_is_rejected_aloud(
    delivery: Delivery, settings: dict[str, Any]
) -> None:
    async with board(**settings) as (adapter, peer):
        ended = await attempt(adapter, delivery)
        assert isinstance(ended, Rejected), repr(ended)
        assert peer.accepted == 0


async def test_another_type_of_change_is_not_carried() -> None:
    async with board() as (adapter, peer):
        ended = await attempt(adapter, replace(sample_delivery(), type="wales.unwaith.birth.v1"))
        assert isinstance(ended, Rejected)
        assert peer.accepted == 0


@pytest.mark.parametrize(
    ("settings", "says_what"),
    [
        ({"host": None}, "host"),
        ({"host": "a b"}, "host"),
        ({"port": 0}, "port"),
        ({"port": "2575"}, "port"),
        ({"tls": "no"}, "tls"),
        ({"version": "2.3"}, "version"),
        ({"arriving_as": "A08"}, "arriving_as"),
        ({"sending_facility": "A|B"}, "sending_facility"),
        ({"person_authority": "hunter2^"}, "person_authority"),
        ({"connections": 17}, "connections"),
        ({"hunter2": True}, "hunter2"),
    ],
)
async def test_wrong_settings_are_named_without_their_value(settings: dict[str, Any], says_what: str) -> None:
    wrong = context({name: value for name, value in (BOARD | settings).items() if value is not None})
    with pytest.raises(ValueError, match=f"adapter setting {says_what}") as raised:
        Hl7v2(wrong)
    assert "hunter2^" not in str(raised.value)
    await wrong.close()


def test_the_control_id_fits_and_does_not_repeat() -> None:
    ids = [control_id(sample_delivery()) for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 20 and one.isascii() and one.isalnum() and one.upper() == one for one in ids)
