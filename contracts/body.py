"""A public body or another organisation as the register knows it, whether or not anything can be sent to it."""

from typing import Annotated

from pydantic import Field

from contracts.agreement import CustodianCode
from contracts.organisation import Sector
from contracts.text import Bilingual, Code, Line, Strict


class Body(Strict):
    """Who somebody is and where they answer for, without how they are reached: that is an `Organisation`."""

    id: Code
    name: Bilingual
    """Its own name in each language, `Cyngor Caerdydd`."""
    sector: Sector
    codes: dict[Code, Line] = Field(default_factory=dict)
    """Official codes by register: `gss`, `local-custodian-code`, `ods`. By `gss` an organisation is known to be it."""
    area: Annotated[tuple[CustodianCode, ...], Field(max_length=400)] = ()
    """Custodian codes of where it answers for; empty for all of Wales."""
