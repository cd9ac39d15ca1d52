"""Invented people and homes of Wales by the thousand, the same every time: what adapters must carry unharmed."""

import random
from collections.abc import Iterator
from typing import Any

GIVEN = [
    "Siân",
    "Llŷr",
    "Gŵyneth",
    "Môn",
    "Angharad",
    "Heledd",
    "Rhŷs",
    "Ffïon",
    "Tegŵen",
    "Dafydd",
    "Gwenllïan",
    "Nïa",
    "Iŵan",
    "Mïr",
    "Elëri",
    "Ŵen",
    "Ŷnyr",
    "Bêca",
    "Tôm",
    "Glŷn",
    "Huŵ",
    "Anwën",
    "Órla",
    "Łukasz",
    "Zoë",
    "Muḥammad",
    "Đức",
    "Þóra",
    "Ἑλένη",
    "Олена",
    "明美",
]
FAMILY = [
    "Gŵyr-Môn",
    "Llŷn",
    "Ap-Rhŷs",
    "Tŷ-Gwyn",
    "Gruffŷdd",
    "Ŵyn",
    "Siôn",
    "Brân",
    "Ŷstwyth",
    "Môrgan",
    "D’Arcy",
    "O'Neill",
    "Jones",
    "Tân-yr-Allt",
    "Nguyễn",
    "Żółć",
    "Müller",
    "van-der-Bïjl",
    "Ó-Súilleabháin",
    "山田",
    "Llanfairpŵll-" * 21 + "gŵgych",  # 300 characters, the longest name there is
    r"ap|Rhŷs^~\&",
    "=cmd|'/C calc'!A0",
    "'t Hart",
]
HOUSES = (
    "Tŷ'r Ŵylan",
    "Tŷ Gŵyr",
    "Hafod-y-Gân",
    "Plas Ŷ Môr & Mynydd",
    "Bwthyn | y ~ Rhôs",
    r"Caer\Gybi ^ 1",
    'Y "Nyth"',
    "=HYPERLINK(1)",
    "@Y Felin",
    "-Tŷ-",
    "’Rallt",
)
STREETS = ("Heol y Dderwen", "Ffordd y Môr", "Lôn Cefn Gŵydd", "Stryd yr Ŷd", "Rhodfa’r Brenin", "Clôs Pen-y-Graig")
VILLAGES = ("Treganna", "Llanfair-pwll", "Pont-ŵyr", "Y Fâch", None, None)
TOWNS = ("Abertawe", "Caerdydd", "Llanelŵy", "Aberdâr", "Pwllheli", "Tŷ Ddewi", "Yr Wyddgrug")
NHS = "https://fhir.nhs.uk/Id/nhs-number"


def people(count: int, seed: int = 20260301) -> Iterator[dict[str, Any]]:
    """Give the data of so many deliveries: names, homes, NHS numbers of the test range that are all different."""
    chance = random.Random(seed)
    for number in range(count):
        given = chance.sample(GIVEN, chance.randint(1, 3))
        yield {
            "person": {
                "name": {
                    "nameParts": [
                        *({"type": "GivenName", "value": name} for name in given),
                        {"type": "FamilyName", "value": chance.choice(FAMILY)},
                    ]
                },
                "birthDate": f"{chance.randint(1930, 2007)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
                "identifiers": [{"system": NHS, "value": nhs_number(number), "assurance": "said-by-the-person"}],
            },
            "change": {
                "previousAddress": _home(chance),
                "newAddress": _home(chance),
                "effectiveDate": "2026-03-01",
            },
            "roles": ["arriving"],
        }


def nhs_number(number: int) -> str:
    """Return a different NHS number of the range that is never given out (999) for each number below 800,000."""
    while True:
        digits = f"999{number:06}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            return digits + str(check % 11)
        number = 999_999 - number  # a number whose check digit would be 10 is not given out


def _home(chance: random.Random) -> dict[str, Any]:
    home = {
        "buildingName": chance.choice((*HOUSES, None, None)),
        "buildingNumber": str(chance.randint(1, 300)),
        "streetName": chance.choice(STREETS),
        "dependentAddressLocality": chance.choice(VILLAGES),
        "addressLocality": chance.choice(TOWNS),
        "postalCode": f"{chance.choice(('CF', 'SA', 'LL'))}{chance.randint(1, 99)} {chance.randint(0, 9)}ZZ",
        "addressCountry": "GB",
    }
    return {name: value for name, value in home.items() if value is not None}
