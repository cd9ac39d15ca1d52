"""The sample organisations and their agreements, as a register would hold them. Examples, not legal advice."""

from collections.abc import Mapping
from datetime import date
from typing import Final
from urllib.parse import urlsplit

from contracts.agreement import Agreement, Share
from contracts.organisation import DeliveryPolicy, Organisation, Sector
from contracts.text import Bilingual

LAWFUL_BASIS: Final = "UK GDPR Article 6(1)(e), public task"
LEGAL_GATEWAY: Final = "Example, not legal advice"
PATIENCE: Final = DeliveryPolicy(first_delay_seconds=1.0, longest_delay_seconds=60.0)
"""Shorter delays than for a real organisation, so that a person watching sees the next try."""

_VALID_FROM: Final = date(2026, 1, 1)
_REVIEW_BY: Final = date(2028, 1, 1)
_COUNCIL_RETENTION_DAYS: Final = 7 * 365
_TRAVEL_RETENTION_DAYS: Final = 365

_WHO: Final = ("/person/name", "/person/birthDate")
_LEAVING: Final = (*_WHO, "/change/previousAddress", "/change/effectiveDate")
_ARRIVING: Final = ("/person", "/change/newAddress", "/change/effectiveDate", "/change/household", "/change/tenure")
_NATIONAL: Final = (*_WHO, "/change/newAddress", "/change/effectiveDate")

_SYSTEMS: Final[tuple[tuple[str, Bilingual, Sector, dict[str, str]], ...]] = (
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


def sample_organisations(addresses: Mapping[str, str]) -> tuple[Organisation, ...]:
    """Return the three sample organisations. `addresses` says where each is served: `http://127.0.0.1:8111`.

    Raises KeyError for an organisation without one.
    """
    return tuple(
        Organisation(
            id=identifier,
            name=name,
            sector=sector,
            codes=codes,
            adapter="webhook",
            adapter_settings={"endpoint": f"{addresses[identifier].rstrip('/')}/events"},
            # loopback is a private range, so the guarded way out must be told
            allowed_hosts=(urlsplit(addresses[identifier]).hostname or "",),
            policy=PATIENCE,
        )
        for identifier, name, sector, codes in _SYSTEMS
    )


def sample_agreements() -> tuple[Agreement, ...]:
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
            retention_days=_TRAVEL_RETENTION_DAYS,
            valid_from=_VALID_FROM,
            review_by=_REVIEW_BY,
        ),
    )


def _council(organisation: str, *, area: int, leaving: Share) -> Agreement:
    return Agreement(
        id=f"{organisation}.address",
        version=1,
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
    )
