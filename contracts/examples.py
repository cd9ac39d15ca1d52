"""Examples for the published contracts: invented people and homes, on a move from Cardiff to Swansea and after it.

Built from the models, so that they cannot be wrong. No real person, and no home that exists, may enter.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from contracts.address import Address
from contracts.agreement import Agreement, Share, Signatory, Terms
from contracts.changes import CHANGE_TYPES, EventKind, withdrawal
from contracts.changes.address import KIND, AddressChange, Dependant
from contracts.changes.bereavement import Bereavement, DeathRegistration, Deceased
from contracts.changes.contact import ContactChange, ContactPoint
from contracts.changes.language import LanguageChange
from contracts.changes.name import NameChange
from contracts.delivery import Delivery
from contracts.events import canonical, structured
from contracts.organisation import Contact, Organisation
from contracts.person import Identifier, IdentityLevel, NamePart, Person, PersonName
from contracts.problems import TYPE_PREFIX, FieldProblem, Problem
from contracts.receipts import Answer, FailureKind, Receipt, ReceiptKind
from contracts.registration import RegisteredClient, Registration
from contracts.statuses import Outcome, Reason
from contracts.subscriptions import AgreementVersion, SettingsRequest, SubscriptionRequest
from contracts.text import Bilingual, Strict


def _name(*given: str, family: str) -> PersonName:
    parts = [NamePart(type="GivenName", value=name) for name in given]
    return PersonName(name_parts=(*parts, NamePart(type="FamilyName", value=family)))


PERSON: Final = Person(
    name=_name("Siân", "Heledd", family="Gŵyr-Llŷn"),
    birth_date=date(1987, 5, 14),
    identity_level=IdentityLevel.P2,
    preferred_language="cy",
)

MOVE: Final = AddressChange(
    previous_address=Address(
        uprn=100100999001,
        building_number="14",
        street_name="Heol y Dderwen Ddychmygol",
        dependent_address_locality="Treganna",
        address_locality="Caerdydd",
        postal_code="CF11 0ZZ",
    ),
    new_address=Address(
        uprn=100100999002,
        building_name="Tŷ'r Ŵylan",
        building_number="2",
        street_name="Ffordd y Môr Dychmygol",
        address_locality="Abertawe",
        postal_code="SA1 0ZZ",
    ),
    effective_date=date(2026, 3, 1),
    household=(Dependant(name=_name("Llŷr", family="Gŵyr-Llŷn"), birth_date=date(2015, 8, 2)),),
    tenure="private-tenant",
)

HOME: Final = MOVE.new_address

RENAMING: Final = NameChange(
    previous_name=PERSON.name,
    new_name=_name("Siân", "Heledd", family="Ŵylan-Gŵyr"),
    title="Dr",
    reason="marriage",
    evidence_reference="HYS 2026/00412",
    effective_date=date(2026, 4, 18),
    home_address=HOME,
)

REACHED: Final = ContactChange(
    previous_contact=ContactPoint(system="phone", use="mobile", value="+447700900123"),
    new_contact=ContactPoint(
        system="phone", use="mobile", value="+447700900456", verified_at=datetime(2026, 4, 20, 8, 15, tzinfo=UTC)
    ),
    effective_date=date(2026, 4, 20),
    home_address=HOME,
)

PREFERENCE: Final = LanguageChange(
    previous_language="en",
    new_language="cy",
    previous_formats=("standard",),
    new_formats=("large-print", "text-relay"),
    effective_date=date(2026, 4, 20),
    home_address=HOME,
)

DEATH: Final = Bereavement(
    deceased=Deceased(
        name=_name("Tŷfai", family="Gŵyr"),
        birth_date=date(1941, 2, 28),
        identifiers=(Identifier(system="https://fhir.nhs.uk/Id/nhs-number", value="9434765919"),),
    ),
    death_date="2026-04-02",
    registration=DeathRegistration(
        reference="ABT/2026/0731", registered_at=datetime(2026, 4, 5, 10, 0, tzinfo=UTC), district="Abertawe"
    ),
    informant="child",
    home_address=HOME,
)

CHANGES: Final[Mapping[str, Strict]] = {
    "address": MOVE,
    "name": RENAMING,
    "contact": REACHED,
    "language": PREFERENCE,
    "bereavement": DEATH,
}
"""An example of each change type of ours."""

AGREEMENT: Final = Agreement(
    id="cardiff-council-tax",
    version=1,
    organisation="cardiff",
    title=Bilingual(cy="Treth gyngor: symud tŷ", en="Council tax: moving home"),
    purpose=Bilingual(cy="Cau neu agor cyfrif treth gyngor", en="To close or open a council tax account"),
    lawful_basis="UK GDPR Article 6(1)(e), public task",
    legal_gateway="An example, not legal advice",
    change_type="address",
    area=(6815,),
    shares=(
        Share(
            where="old",
            role="leaving",
            paths=("/person/name", "/person/birthDate", "/change/previousAddress", "/change/effectiveDate"),
            because=Bilingual(cy="Rydych yn gadael ardal y cyngor", en="You are leaving the council's area"),
        ),
        Share(
            where="new",
            role="arriving",
            paths=("/person", "/change"),
            because=Bilingual(cy="Rydych yn symud i ardal y cyngor", en="You are moving into the council's area"),
        ),
    ),
    retention_days=365,
    valid_from=date(2026, 1, 1),
    review_by=date(2027, 1, 1),
    impact_assessment="DPIA-2026-014",
    contact="Data Protection Officer",
    rights=Bilingual(cy="Ysgrifennwch at y swyddog diogelu data", en="Write to the data protection officer"),
    quality=Bilingual(
        cy="Caiff pob newid ei baru â’r cyfrif cyn ei ddefnyddio",
        en="Each change is matched to its account before it is used",
    ),
    deletion=Bilingual(cy="Caiff ei ddileu’n awtomatig", en="It is deleted automatically"),
    security=Bilingual(cy="Staff treth gyngor yn unig sy’n ei weld", en="Only council tax staff see it"),
    signatories=(
        Signatory(
            organisation="Cardiff Council",
            name="Heulwen Enghraifft",
            post="Head of Revenues",
            signed_on=date(2025, 12, 1),
        ),
        Signatory(organisation="Unwaith", name="Ifan Dychmygol", post="Service Owner", signed_on=date(2025, 12, 2)),
    ),
    example=True,
)

ORGANISATION: Final = Organisation(
    id="cardiff",
    name=Bilingual(cy="Cyngor Caerdydd", en="Cardiff Council"),
    sector="council",
    codes={"gss": "W06000015", "local-custodian-code": "6815"},
    adapter="webhook",
    adapter_settings={"endpoint": "https://tell-us-once.cardiff.example/deliveries"},
    contacts=(
        Contact(email="data-changes@cardiff.example", language="cy"),
        Contact(email="it-security@cardiff.example", language="en"),
    ),
)

SUBSCRIPTION: Final = SubscriptionRequest(
    **{name: getattr(AGREEMENT, name) for name in Terms.model_fields},
    replaces=AgreementVersion(id=AGREEMENT.id, version=AGREEMENT.version),
)
SUBSCRIPTION_SETTINGS: Final = SettingsRequest(
    adapter_settings={"endpoint": "https://tell-us-once.cardiff.example/changes"}, contacts=ORGANISATION.contacts
)

REGISTRATION: Final = Registration(
    organisations=(ORGANISATION,),
    agreements=(AGREEMENT,),
    clients=(
        RegisteredClient(
            client_id="cardiff-events",
            organisation="cardiff",
            jwks={
                "keys": [
                    {  # the example key of RFC 7517, appendix A.1
                        "kty": "EC",
                        "crv": "P-256",
                        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
                        "use": "sig",
                        "kid": "1",
                    }
                ]
            },
            scopes=("receipts:write", "deliveries:read"),
        ),
    ),
)

_DELIVERED: Final = UUID("0f5bb1f2-62d0-4d5c-9a3c-4a2f3c9d7e10")
_WHEN: Final = datetime(2026, 2, 20, 9, 30, tzinfo=UTC)

RECEIPTS: Final = {
    "applied": Receipt(
        id=UUID("5d0a3f0e-9f7c-4c0e-8a53-0c8c1d1e2f01"),
        delivery_id=_DELIVERED,
        epoch=0,
        attempt=2,
        kind=ReceiptKind.ANSWERED,
        outcome=Outcome.APPLIED,
        reference="CT-2026/00117",
        at=_WHEN,
    ),
    "deferred": Receipt(
        id=UUID("5d0a3f0e-9f7c-4c0e-8a53-0c8c1d1e2f02"),
        delivery_id=_DELIVERED,
        epoch=0,
        attempt=1,
        kind=ReceiptKind.DEFERRED,
        failure=FailureKind.UNAVAILABLE,
        reason=Reason.TOO_MANY_REQUESTS,
        not_before=datetime(2026, 2, 20, 9, 35, tzinfo=UTC),
        at=_WHEN,
    ),
}

ANSWER: Final = Answer(
    id=UUID("5d0a3f0e-9f7c-4c0e-8a53-0c8c1d1e2f03"),
    delivery_id=_DELIVERED,
    outcome=Outcome.MUST_REVIEW,
    reference="CRM-88213",
    at=_WHEN,
)

PROBLEM: Final = Problem(
    type=f"{TYPE_PREFIX}invalid",
    title="The request is not valid",
    status=422,
    errors=(FieldProblem(pointer="/change/effectiveDate", code="date_parsing", detail="must be a date"),),
)


def asked(name: str) -> dict[str, Any]:
    """Return the request by which the example of a change type is previewed."""
    return {"type": name, "change": CHANGES[name].model_dump(mode="json", exclude_none=True, exclude_defaults=True)}


def _wire(model: Strict) -> dict[str, Any]:
    written: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return written


def _told(role: str, person: Iterable[str], change: Iterable[str]) -> dict[str, Any]:
    """Return the data of one delivery, minimised to these members."""
    whole_person, whole_change = _wire(PERSON), _wire(MOVE)
    return {
        "person": {name: whole_person[name] for name in person},
        "change": {name: whole_change[name] for name in change},
        "roles": [role],
    }


TOLD: Final = {
    "cardiff": _told("leaving", ("name", "birthDate"), ("previousAddress", "effectiveDate")),
    "swansea": _told("arriving", _wire(PERSON), _wire(MOVE)),
}
"""The data two councils receive of the same move: each what its agreement permits."""


_TOLD_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("newName", "previousName", "effectiveDate"),
    "contact": ("newContact", "effectiveDate"),
    "language": ("newLanguage", "newFormats", "effectiveDate"),
    "bereavement": ("deceased", "deathDate", "registration", "informant"),
}
"""What a council is told of each change that is no move."""


def _resident(name: str, place: int) -> dict[str, Any]:
    """Return the event by which a council hears of a change of somebody who lives there."""
    change = _wire(CHANGES[name])
    return _event(
        "swansea",
        UUID(int=0xB1C7E5D40A3E4F6B8D2C91F0A7C3E530 + place),
        "c41e2a9b77d04c1f8e0b5a6d3f29e810",
        f"90ac4d7be5f2137{place}",
        kind=CHANGE_TYPES[name],
        sequence=1 + place,
        data={
            "person": {member: _wire(PERSON)[member] for member in ("name", "birthDate")},
            "change": {member: change[member] for member in _TOLD_OF[name]},
            "roles": ["resident"],
        },
    )


def _event(
    organisation: str,
    delivery_id: UUID,
    subject: str,
    origin: str,
    *,
    kind: EventKind = KIND,
    sequence: int = 1,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(
        structured(
            Delivery(
                id=delivery_id,
                organisation=organisation,
                epoch=0,
                attempt=1,
                sequence=sequence,
                type=kind.event_type,
                source="urn:wales:unwaith",
                subject=subject,
                time=_WHEN,
                dataschema=kind.dataschema,
                traceparent=f"00-{subject}-{origin}-01",
                origin=origin,
                data=canonical(data or TOLD[organisation]),
            )
        )
    )
    return event


def examples() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return each example by its file's name: the name of its schema, and the document."""
    return {
        "address-changed.leaving": (
            "event.v1",
            _event("cardiff", _DELIVERED, "7d9f0c6a1b2e4f807d9f0c6a1b2e4f80", "3b1f8c52d0a94e17"),
        ),
        "address-changed.arriving": (
            "event.v1",
            _event(
                "swansea",
                UUID("b1c7e5d4-0a3e-4f6b-8d2c-91f0a7c3e522"),
                "c41e2a9b77d04c1f8e0b5a6d3f29e810",
                "90ac4d7be5f21368",
            ),
        ),
        **{
            CHANGE_TYPES[name].event_type.removeprefix("wales.unwaith.").removesuffix(".v1"): (
                "event.v1",
                _resident(name, place),
            )
            for place, name in enumerate(_TOLD_OF, start=1)
        },
        "change-withdrawn": (
            "event.v1",
            _event(
                "cardiff",
                UUID("7c2e9a41-5b0d-4e86-a1f3-60d8b7c95e24"),
                "7d9f0c6a1b2e4f807d9f0c6a1b2e4f80",
                "3b1f8c52d0a94e17",
                kind=withdrawal.KIND,
                sequence=2,
                data={
                    "person": TOLD["cardiff"]["person"],
                    "roles": TOLD["cardiff"]["roles"],
                    "withdraws": {
                        "id": str(_DELIVERED),
                        "type": KIND.event_type,
                        "sequence": "000000000001",
                        "change": TOLD["cardiff"]["change"],
                    },
                },
            ),
        ),
        "receipt.applied": ("receipt.v1", _wire(RECEIPTS["applied"])),
        "receipt.deferred": ("receipt.v1", _wire(RECEIPTS["deferred"])),
        "answer": ("answer.v1", _wire(ANSWER)),
        "agreement": ("agreement.v1", _wire(AGREEMENT)),
        "organisation": ("organisation.v1", _wire(ORGANISATION)),
        "registration": ("registration.v1", _wire(REGISTRATION)),
        "subscription": ("subscription.v1", _wire(SUBSCRIPTION)),
        "subscription-settings": ("subscription-settings.v1", _wire(SUBSCRIPTION_SETTINGS)),
        "problem": ("problem.v1", _wire(PROBLEM)),
    }
