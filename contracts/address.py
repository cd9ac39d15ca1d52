"""Addresses in the `data-vocab` names of GOV.UK One Login, with UPRN as BS 7666 has it."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from contracts.text import Line, Strict, normalise
from contracts.times import Day

Uprn = Annotated[int, Field(ge=1, le=999_999_999_999)]
"""Unique Property Reference Number (BS 7666): 1 to 12 digits."""

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""


def _postal_code(value: str) -> str:
    return " ".join(normalise(value).upper().split())


PostalCode = Annotated[
    str,
    StringConstraints(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9][A-Za-z0-9 -]*$"),
    AfterValidator(_postal_code),
]
"""A postcode as written, in capitals with single spaces. Whether it exists is verification's question."""


class Address(Strict):
    """One address. At least a UPRN, or something that names the building, the street or the place."""

    uprn: Uprn | None = None
    organisation_name: Line | None = None
    department_name: Line | None = None
    sub_building_name: Line | None = None
    building_number: Line | None = None
    building_name: Line | None = None
    po_box_number: Line | None = None
    dependent_street_name: Line | None = None
    street_name: Line | None = None
    double_dependent_address_locality: Line | None = None
    dependent_address_locality: Line | None = None
    address_locality: Line | None = None
    postal_code: PostalCode | None = None
    address_country: Country = "GB"
    valid_from: Day | None = None
    valid_until: Day | None = None

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        names_a_building = self.building_number or self.building_name or self.sub_building_name or self.po_box_number
        if self.uprn is None and not (names_a_building or self.street_name or self.address_locality):
            raise ValueError("needs a uprn, or the building, street or place")
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValueError("validUntil is before validFrom")
        return self
