"""The Patients of a sample health board: every sample person, with what was patched since. FHIR R4."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.sandbox.addresses import SampleAddress, sample_addresses
from broker.sandbox.json_patch import NotApplicable, patched
from broker.sandbox.people import SamplePerson, sample_people

NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"
ADDRESS_KEY: Final = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-AddressKey"
ADDRESS_KEY_TYPE: Final = "https://fhir.hl7.org.uk/CodeSystem/UKCore-AddressKeyType"

_LISTS: Final = ("address", "name", "telecom", "communication")
_CHANGEABLE: Final = frozenset({*_LISTS, "deceasedDateTime", "deceasedBoolean"})

Patient = dict[str, Any]


class Patients:
    """Every Patient by its id, as its newest version is."""

    def __init__(self) -> None:
        homes = {home.uprn: home for home in sample_addresses() if home.language == "en"}
        people = [person for person in sample_people() if person.nhs_number]
        self._by_id = {
            one["id"]: one
            for one in (_patient(place, person, homes[person.uprn]) for place, person in enumerate(people, start=1))
        }

    def find(self, identity: str) -> Patient | None:
        return self._by_id.get(identity)

    def search(self, system: str, value: str, birth_date: str | None) -> Sequence[Patient]:
        """Return those with this identifier, and this birth date where one is given."""
        return [
            one
            for one in self._by_id.values()
            if {"system": system, "value": value} in one["identifier"] and birth_date in (None, one["birthDate"])
        ]

    def after(self, patient: Patient, operations: Any) -> Patient:
        """Return the next version of a Patient under a JSON Patch. Raises NotApplicable, saying what is wrong."""
        changed = patched(patient, operations)
        fixed = {member for member in (*changed, *patient) if member not in _CHANGEABLE}
        if any(changed.get(member) != patient.get(member) for member in fixed):
            raise NotApplicable(f"nothing but {', '.join(sorted(_CHANGEABLE))} is changed here")
        for member in _LISTS:
            listed = changed.get(member, [])
            if not isinstance(listed, list) or not all(isinstance(one, dict) and one for one in listed):
                raise NotApplicable(f"{member} is a list")
        if not isinstance(changed.get("deceasedDateTime", ""), str):
            raise NotApplicable("deceasedDateTime is a date")
        version = int(patient["meta"]["versionId"]) + 1
        return {**changed, "meta": {**patient["meta"], "versionId": str(version)}}

    def put(self, patient: Patient) -> None:
        self._by_id[patient["id"]] = patient


def _patient(place: int, person: SamplePerson, home: SampleAddress) -> Patient:
    """Return a person's first version, at the home where their provider knows them."""
    given = [value for kind, value in person.name_parts if kind == "GivenName"]
    family = " ".join(value for kind, value in person.name_parts if kind == "FamilyName")
    # a single name stands as the family name, as the NHS records it
    name: dict[str, Any] = {"use": "official", "family": family, "given": given} if family else {"family": given[0]}
    return {
        "resourceType": "Patient",
        "id": f"sample-{place}",
        "meta": {"versionId": "1"},
        "active": True,
        "identifier": [{"system": NHS_NUMBER, "value": person.nhs_number}],
        "name": [name],
        "birthDate": person.birth_date.isoformat(),
        "address": [_address(home, person.lived_there_since)],
    }


def _address(home: SampleAddress, since: int) -> Mapping[str, Any]:
    street = f"{home.building_number} {home.street_name}" if home.building_number else home.street_name
    kind = {"coding": [{"system": ADDRESS_KEY_TYPE, "code": "UPRN"}]}
    return {
        "extension": [
            {
                "url": ADDRESS_KEY,
                "extension": [
                    {"url": "type", "valueCodeableConcept": kind},
                    {"url": "value", "valueString": str(home.uprn)},
                ],
            }
        ],
        "use": "home",
        "line": [
            line
            for line in (home.sub_building_name, home.building_name, street, home.dependent_address_locality)
            if line
        ],
        "city": home.address_locality,
        "postalCode": home.postal_code,
        "period": {"start": str(since)},
    }
