"""Sample agreements about what changes for people where they live: name, contact, language, a death. Not legal advice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from contracts.agreement import Agreement, Share
from contracts.text import Bilingual

_WHO: Final = ("/person/name", "/person/birthDate")

_NAME: Final = (*_WHO, "/change/previousName", "/change/newName", "/change/title", "/change/effectiveDate")
_CONTACT: Final = (*_WHO, "/change/previousContact", "/change/newContact", "/change/effectiveDate")
_LANGUAGE: Final = (*_WHO, "/change/newLanguage", "/change/effectiveDate")
_FORMATS: Final = (*_LANGUAGE, "/change/newFormats")
_DEATH: Final = ("/change/deceased", "/change/deathDate")
_DEATH_IN_AREA: Final = (*_DEATH, "/change/registration", "/change/homeAddress", "/change/informant", "/person/name")

_TITLES: Final = {
    "name": Bilingual(en="Records: change of name", cy="Cofnodion: newid enw"),
    "contact": Bilingual(en="Records: change of telephone or e-mail", cy="Cofnodion: newid ffôn neu e-bost"),
    "language": Bilingual(en="Records: change of language or format", cy="Cofnodion: newid iaith neu fformat"),
    "bereavement": Bilingual(en="Records: a death", cy="Cofnodion: marwolaeth"),
}
_PURPOSES: Final = {
    "name": Bilingual(
        en="To write to people by the name they have now.",
        cy="Er mwyn ysgrifennu at bobl wrth yr enw sydd ganddynt nawr.",
    ),
    "contact": Bilingual(en="To reach people when it matters.", cy="Er mwyn cyrraedd pobl pan fydd o bwys."),
    "language": Bilingual(
        en="To write and speak to people in their language, in a form they can use.",
        cy="Er mwyn ysgrifennu a siarad â phobl yn eu hiaith, ar ffurf y gallant ei defnyddio.",
    ),
    "bereavement": Bilingual(
        en="To close what was in the name of somebody who has died, and to write to them no more.",
        cy="Er mwyn cau’r hyn oedd yn enw rhywun sydd wedi marw, a pheidio ag ysgrifennu atynt mwyach.",
    ),
}


@dataclass(frozen=True, slots=True)
class _Told:
    """What one organisation is told of one type, and why."""

    type: str
    paths: tuple[str, ...]
    because: Bilingual


_COUNCIL: Final = (
    _Told(
        "name",
        _NAME,
        Bilingual(
            en="To put your new name on your council tax bill and the electoral register.",
            cy="I roi eich enw newydd ar eich bil treth gyngor a’r gofrestr etholiadol.",
        ),
    ),
    _Told(
        "contact",
        _CONTACT,
        Bilingual(
            en="So that the council can reach you about your home and your services.",
            cy="Fel y gall y cyngor eich cyrraedd ynghylch eich cartref a’ch gwasanaethau.",
        ),
    ),
    _Told(
        "language",
        _FORMATS,
        Bilingual(
            en="So that the council writes to you in your language, in a form you can use.",
            cy="Fel bod y cyngor yn ysgrifennu atoch yn eich iaith, ar ffurf y gallwch ei defnyddio.",
        ),
    ),
    _Told(
        "bereavement",
        _DEATH_IN_AREA,
        Bilingual(
            en="To close their council tax account and take them off the electoral register.",
            cy="I gau eu cyfrif treth gyngor a’u tynnu oddi ar y gofrestr etholiadol.",
        ),
    ),
)
_TRANSPORT: Final = (
    _Told(
        "name",
        _NAME,
        Bilingual(
            en="To send you a travel card in your new name.", cy="I anfon cerdyn teithio atoch yn eich enw newydd."
        ),
    ),
    _Told(
        "contact",
        _CONTACT,
        Bilingual(
            en="To tell you when your train or bus does not run.",
            cy="I roi gwybod i chi pan na fydd eich trên neu’ch bws yn rhedeg.",
        ),
    ),
    _Told(
        "language",
        _FORMATS,
        Bilingual(
            en="So that letters about your travel card come in your language, in a form you can use.",
            cy="Fel bod llythyrau am eich cerdyn teithio yn dod yn eich iaith, ar ffurf y gallwch ei defnyddio.",
        ),
    ),
    _Told(
        "bereavement",
        _DEATH,
        Bilingual(en="To end their travel card.", cy="I ddod â’u cerdyn teithio i ben."),
    ),
)
_FLOODS: Final = (
    _Told(
        "contact",
        (*_CONTACT, "/change/homeAddress"),
        Bilingual(
            en="To warn you of floods by telephone or e-mail.",
            cy="I’ch rhybuddio am lifogydd dros y ffôn neu drwy e-bost.",
        ),
    ),
    _Told(
        "language",
        _LANGUAGE,
        Bilingual(en="To warn you of floods in your language.", cy="I’ch rhybuddio am lifogydd yn eich iaith."),
    ),
    _Told(
        "bereavement",
        _DEATH,
        Bilingual(en="To send them no more flood warnings.", cy="I beidio ag anfon rhybuddion llifogydd atynt mwyach."),
    ),
)
_PATIENT: Final = "/person/identifiers"
_BOARD: Final = (
    _Told(
        "name",
        (*_NAME, _PATIENT),
        Bilingual(en="To put your new name on your patient record.", cy="I roi eich enw newydd ar eich cofnod claf."),
    ),
    _Told(
        "contact",
        (*_CONTACT, _PATIENT),
        Bilingual(
            en="So that your hospital can reach you about your care.",
            cy="Fel y gall eich ysbyty eich cyrraedd ynghylch eich gofal.",
        ),
    ),
    _Told(
        "language",
        (*_LANGUAGE, "/change/previousLanguage", _PATIENT),
        Bilingual(
            en="So that you are cared for, and written to, in your language.",
            cy="Fel eich bod yn cael gofal, a llythyrau, yn eich iaith.",
        ),
    ),
    _Told(
        "bereavement",
        _DEATH,
        Bilingual(
            en="To mark their patient record, so that no letter or appointment is sent to them.",
            cy="I farcio eu cofnod claf, fel na anfonir llythyr nac apwyntiad atynt.",
        ),
    ),
)


def agreements_on_residents(
    *, lawful_basis: str, legal_gateway: str, valid_from: date, review_by: date, retention_days: int
) -> tuple[Agreement, ...]:
    """Return them for those sample organisations whose way of being reached carries such changes."""
    parties: Sequence[tuple[str, tuple[int, ...], Sequence[_Told]]] = (
        ("cardiff-council", (6815,), _COUNCIL),
        ("cardiff-and-vale-uhb", (6815, 6950), _BOARD),
        ("swansea-bay-uhb", (6855, 6930), _BOARD),
        ("transport-for-wales", (), _TRANSPORT),
        ("natural-resources-wales", (), _FLOODS),
    )
    return tuple(
        Agreement(
            id=f"{organisation}.{told.type}",
            version=1,
            organisation=organisation,
            title=_TITLES[told.type],
            purpose=_PURPOSES[told.type],
            lawful_basis=lawful_basis,
            legal_gateway=legal_gateway,
            change_type=told.type,
            area=area,
            shares=(
                Share(
                    where="home" if area else "anywhere",
                    role="resident" if area else "national",
                    paths=told.paths,
                    because=told.because,
                ),
            ),
            retention_days=retention_days,
            valid_from=valid_from,
            review_by=review_by,
            example=True,
        )
        for organisation, area, tells in parties
        for told in tells
    )
