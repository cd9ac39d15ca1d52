"""The sample organisations and their agreements, as a register would hold them. Examples, not legal advice."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import urlsplit

from broker.sandbox.residents import agreements_on_residents
from contracts.agreement import Agreement, Share
from contracts.organisation import AnswersPolicy, Contact, DeliveryPolicy, Organisation, Sector
from contracts.text import Bilingual

LAWFUL_BASIS: Final = "UK GDPR Article 6(1)(e), public task"
LEGAL_GATEWAY: Final = "Example, not legal advice"
PATIENCE: Final = DeliveryPolicy(first_delay_seconds=1.0, longest_delay_seconds=60.0)
"""Shorter delays than for a real organisation, so that a person watching sees the next try."""

SFTP_USER: Final = "unwaith"
DELIVERIES_FOLDER: Final = "incoming"
ANSWERS_FOLDER: Final = "answers"
FHIR_PATH: Final = "/fhir"
"""Where the sample FHIR server is, below its pages."""

_VALID_FROM: Final = date(2026, 1, 1)
_REVIEW_BY: Final = date(2036, 1, 1)
_COUNCIL_RETENTION_DAYS: Final = 7 * 365
_NATIONAL_RETENTION_DAYS: Final = 365
_PATIENT_RETENTION_DAYS: Final = 8 * 365

_WHO: Final = ("/person/name", "/person/birthDate")
_LEAVING: Final = (*_WHO, "/change/previousAddress", "/change/effectiveDate")
_ARRIVING: Final = (
    *_WHO,
    "/person/identityLevel",
    "/person/preferredLanguage",
    "/change/newAddress",
    "/change/effectiveDate",
    "/change/household",
    "/change/tenure",
)
_NATIONAL: Final = (*_WHO, "/change/newAddress", "/change/effectiveDate")
_PATIENT: Final = (*_WHO, "/person/identifiers", "/change/newAddress", "/change/effectiveDate")

_Party = tuple[str, Bilingual, Sector, dict[str, str]]

_SYSTEMS: Final[tuple[_Party, ...]] = (
    (
        "cardiff-council",
        Bilingual(en="Cardiff Council", cy="Cyngor Caerdydd"),
        "council",
        {"gss": "W06000015", "local-custodian-code": "6815"},
    ),
    (
        "swansea-council",
        Bilingual(en="Swansea Council", cy="Cyngor Abertawe"),
        "council",
        {"gss": "W06000011", "local-custodian-code": "6855"},
    ),
    ("transport-for-wales", Bilingual(en="Transport for Wales", cy="Trafnidiaeth Cymru"), "national", {}),
)

ORGANISATION_IDS: Final = tuple(identifier for identifier, *_ in _SYSTEMS)
"""Those that can all be reached by webhook, as they are where many changes are told: three to a move."""

_OTHERS: Final[tuple[_Party, ...]] = (
    (
        "cardiff-and-vale-uhb",
        Bilingual(en="Cardiff and Vale University Health Board", cy="Bwrdd Iechyd Prifysgol Caerdydd a'r Fro"),
        "health-board",
        {"gss": "W11000029", "ods": "7A4"},
    ),
    (
        "swansea-bay-uhb",
        Bilingual(en="Swansea Bay University Health Board", cy="Bwrdd Iechyd Prifysgol Bae Abertawe"),
        "health-board",
        {"gss": "W11000031", "ods": "7A3"},
    ),
    (
        "natural-resources-wales",
        Bilingual(en="Natural Resources Wales", cy="Cyfoeth Naturiol Cymru"),
        "national",
        {},
    ),
)

EVERY_ID: Final = (*ORGANISATION_IDS, *(identifier for identifier, *_ in _OTHERS))

SWANSEA: Final = "swansea-council"
CARDIFF_AND_VALE: Final = "cardiff-and-vale-uhb"
SWANSEA_BAY: Final = "swansea-bay-uhb"
NATURAL_RESOURCES: Final = "natural-resources-wales"

REACHED_BY: Final[Mapping[str, str]] = {
    "cardiff-council": "webhook",
    SWANSEA: "sftp",
    "transport-for-wales": "webhook",
    CARDIFF_AND_VALE: "hl7v2",
    SWANSEA_BAY: "fhir",
    NATURAL_RESOURCES: "pull",
}
"""By which adapter each is reached where each is reached in its own way (`every_organisation`)."""

WITH_DOORS: Final = (SWANSEA, CARDIFF_AND_VALE)
"""Those that are reached at a port of their own, by SFTP and MLLP; the others where their pages are."""


def sample_organisations(addresses: Mapping[str, str]) -> tuple[Organisation, ...]:
    """Return three sample organisations, all by webhook. `addresses` says where each is: `http://127.0.0.1:8111`.

    Raises KeyError for an organisation without one.
    """
    return tuple(_by_webhook(party, addresses[party[0]]) for party in _SYSTEMS)


def every_organisation(
    addresses: Mapping[str, str], doors: Mapping[str, int], *, host_key: str
) -> tuple[Organisation, ...]:
    """Return every sample organisation, each reached in its own way.

    `addresses` says where their pages are, `doors` the ports of those in `WITH_DOORS`, on the same host; `host_key` is
    the public key of Swansea's file server. Raises KeyError for one without its place.
    """
    cardiff, swansea, transport = _SYSTEMS
    cardiff_and_vale, swansea_bay, natural_resources = _OTHERS
    host = urlsplit(addresses[SWANSEA]).hostname or ""
    return (
        _by_webhook(cardiff, addresses[cardiff[0]]),
        _reached(
            swansea,
            host,
            "sftp",
            {
                "host": host,
                "port": doors[SWANSEA],
                "user": SFTP_USER,
                "host_keys": [host_key],
                "folder": DELIVERIES_FOLDER,
                "answers": ANSWERS_FOLDER,
            },
            # one file at a time over one connection; real answers by file are looked for every few minutes
            policy=PATIENCE.model_copy(update={"concurrency": 3, "answers": AnswersPolicy(every_seconds=2.0)}),
        ),
        _by_webhook(transport, addresses[transport[0]]),
        _reached(
            cardiff_and_vale,
            host,
            "hl7v2",
            {
                "host": host,
                "port": doors[CARDIFF_AND_VALE],
                "tls": False,
                "sending_application": "UNWAITH",
                "sending_facility": "UNWAITH",
                "receiving_application": "SAMPLE",
                "receiving_facility": "140",
                "person_authority": "UNWAITH",
                "numbers": "replaced",
            },
            # one connection, one message after the other
            partitions=1,
            policy=PATIENCE.model_copy(update={"concurrency": 1}),
        ),
        _reached(swansea_bay, host, "fhir", {"base": f"{addresses[SWANSEA_BAY].rstrip('/')}{FHIR_PATH}"}),
        _reached(natural_resources, host, "pull", {}),
    )


def _by_webhook(party: _Party, address: str) -> Organisation:
    return _reached(party, urlsplit(address).hostname or "", "webhook", {"endpoint": f"{address.rstrip('/')}/events"})


def _reached(party: _Party, host: str, adapter: str, settings: dict[str, Any], **more: Any) -> Organisation:
    identifier, name, sector, codes = party
    return Organisation(
        id=identifier,
        name=name,
        sector=sector,
        codes=codes,
        adapter=adapter,
        adapter_settings=settings,
        contacts=(
            Contact(email=f"newidiadau@{identifier}.example", language="cy"),
            Contact(email=f"changes@{identifier}.example", language="en"),
        ),
        allowed_hosts=(host,),  # loopback is a private range, so the guarded way out must be told
        **{"policy": PATIENCE, **more},
    )


def sample_agreements() -> tuple[Agreement, ...]:
    """Return every agreement of the sample organisations: on moves, and on what changes where people live."""
    return (
        *agreements_on_moves(),
        *agreements_on_residents(
            lawful_basis=LAWFUL_BASIS,
            legal_gateway=LEGAL_GATEWAY,
            valid_from=_VALID_FROM,
            review_by=_REVIEW_BY,
            retention_days=_NATIONAL_RETENTION_DAYS,
        ),
    )


def agreements_on_moves() -> tuple[Agreement, ...]:
    """Return one agreement for each sample organisation, all for a change of address."""
    return (
        _council(
            "cardiff-council",
            area=6815,
            leaving=Share(
                where="old",
                role="leaving",
                paths=(*_LEAVING, "/change/newAddress"),
                because=Bilingual(
                    en="To close your council tax account, send the final bill to your new address, and update the electoral register.",
                    cy="I gau eich cyfrif treth gyngor, anfon y bil terfynol i'ch cyfeiriad newydd, a diweddaru'r gofrestr etholiadol.",
                ),
            ),
        ),
        _council(
            "swansea-council",
            area=6855,
            leaving=Share(
                where="old",
                role="leaving",
                paths=_LEAVING,
                because=Bilingual(
                    en="To close your council tax account and update the electoral register. Your new address is not sent.",
                    cy="I gau eich cyfrif treth gyngor a diweddaru'r gofrestr etholiadol. Ni anfonir eich cyfeiriad newydd.",
                ),
            ),
        ),
        Agreement(
            id="transport-for-wales.address",
            version=1,
            organisation="transport-for-wales",
            title=Bilingual(en="Travel cards: change of address", cy="Cardiau teithio: newid cyfeiriad"),
            purpose=Bilingual(
                en="To keep the address of people who hold a travel card correct.",
                cy="Er mwyn cadw cyfeiriad pobl sydd â cherdyn teithio yn gywir.",
            ),
            lawful_basis=LAWFUL_BASIS,
            legal_gateway=LEGAL_GATEWAY,
            change_type="address",
            shares=(
                Share(
                    where="anywhere",
                    role="national",
                    paths=_NATIONAL,
                    because=Bilingual(
                        en="To send your travel card and letters about it to your new address.",
                        cy="I anfon eich cerdyn teithio a llythyrau amdano i'ch cyfeiriad newydd.",
                    ),
                ),
            ),
            retention_days=_NATIONAL_RETENTION_DAYS,
            valid_from=_VALID_FROM,
            review_by=_REVIEW_BY,
            example=True,
        ),
        _health_board(CARDIFF_AND_VALE, area=(6815, 6950)),
        _health_board(SWANSEA_BAY, area=(6855, 6930)),
        Agreement(
            id=f"{NATURAL_RESOURCES}.address",
            version=1,
            organisation=NATURAL_RESOURCES,
            title=Bilingual(en="Flood warnings: change of address", cy="Rhybuddion llifogydd: newid cyfeiriad"),
            purpose=Bilingual(
                en="To send flood warnings for the homes people live in.",
                cy="Er mwyn anfon rhybuddion llifogydd ar gyfer y cartrefi y mae pobl yn byw ynddynt.",
            ),
            lawful_basis=LAWFUL_BASIS,
            legal_gateway=LEGAL_GATEWAY,
            change_type="address",
            shares=(
                Share(
                    where="anywhere",
                    role="national",
                    paths=(*_NATIONAL, "/change/previousAddress"),
                    because=Bilingual(
                        en="To send you flood warnings for your new address, and no longer for the old one.",
                        cy="I anfon rhybuddion llifogydd atoch ar gyfer eich cyfeiriad newydd, ac nid ar gyfer yr hen un mwyach.",
                    ),
                ),
            ),
            retention_days=_NATIONAL_RETENTION_DAYS,
            valid_from=_VALID_FROM,
            review_by=_REVIEW_BY,
            example=True,
        ),
    )


def _health_board(organisation: str, *, area: tuple[int, ...]) -> Agreement:
    return Agreement(
        id=f"{organisation}.address",
        version=1,
        organisation=organisation,
        title=Bilingual(en="Patient records: change of address", cy="Cofnodion cleifion: newid cyfeiriad"),
        purpose=Bilingual(
            en="To keep patients' records correct, so that letters about care arrive.",
            cy="Er mwyn cadw cofnodion cleifion yn gywir, fel bod llythyrau am ofal yn cyrraedd.",
        ),
        lawful_basis=LAWFUL_BASIS,
        legal_gateway=LEGAL_GATEWAY,
        change_type="address",
        area=area,
        shares=(
            Share(
                where="old",
                role="leaving",
                paths=(*_PATIENT, "/change/previousAddress"),
                because=Bilingual(
                    en="So that letters about care you are already having reach you at your new address.",
                    cy="Fel bod llythyrau am ofal yr ydych eisoes yn ei gael yn eich cyrraedd yn eich cyfeiriad newydd.",
                ),
            ),
            Share(
                where="new",
                role="arriving",
                paths=_PATIENT,
                because=Bilingual(
                    en="To put your new address on your patient record, so that letters and invitations reach you.",
                    cy="I roi eich cyfeiriad newydd ar eich cofnod claf, fel bod llythyrau a gwahoddiadau yn eich cyrraedd.",
                ),
            ),
        ),
        retention_days=_PATIENT_RETENTION_DAYS,
        valid_from=_VALID_FROM,
        review_by=_REVIEW_BY,
        example=True,
    )


def _council(organisation: str, *, area: int, leaving: Share) -> Agreement:
    return Agreement(
        id=f"{organisation}.address",
        version=2,  # the first let councils have whatever was told of a person, their NHS number too
        organisation=organisation,
        title=Bilingual(
            en="Council tax and electoral register: change of address",
            cy="Treth gyngor a'r gofrestr etholiadol: newid cyfeiriad",
        ),
        purpose=Bilingual(
            en="To keep council tax accounts and the electoral register correct when people move.",
            cy="Er mwyn cadw cyfrifon treth gyngor a'r gofrestr etholiadol yn gywir pan fydd pobl yn symud.",
        ),
        lawful_basis=LAWFUL_BASIS,
        legal_gateway=LEGAL_GATEWAY,
        change_type="address",
        area=(area,),
        shares=(
            leaving,
            Share(
                where="new",
                role="arriving",
                paths=_ARRIVING,
                because=Bilingual(
                    en="To open your council tax account and invite you to join the electoral register.",
                    cy="I agor eich cyfrif treth gyngor a'ch gwahodd i ymuno â'r gofrestr etholiadol.",
                ),
            ),
        ),
        required=True,
        retention_days=_COUNCIL_RETENTION_DAYS,
        valid_from=_VALID_FROM,
        review_by=_REVIEW_BY,
        example=True,
    )
