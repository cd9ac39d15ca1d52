"""A sharing agreement: who may be told what, and why, in the words of the ICO data sharing code and WASPI."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.changes.kind import Place, Role
from contracts.person import IdentityLevel
from contracts.text import Bilingual, Code, Line, Strict

PermittedPath = Annotated[str, StringConstraints(pattern=r"^/(person|change)(/[A-Za-z]+)*$", max_length=200)]
"""A place in `{person, change}` (RFC 6901 without indexes). Permits what is below it; anything not named is not sent."""

CustodianCode = Annotated[int, Field(ge=1, le=9999)]
"""Local custodian code of the gazetteer (GeoPlace), 6815 for Cardiff."""


class Share(Strict):
    """Under one condition, these fields, for this reason."""

    where: Place | Literal["anywhere"]
    """Which place of the change must lie in the area; `anywhere` needs no area."""
    role: Role
    """What the change is to the recipient; sent with it."""
    paths: Annotated[tuple[PermittedPath, ...], Field(min_length=1)]
    because: Bilingual
    """Shown to the person before they send."""


class Signatory(Strict):
    """Who signed it, for whom, and when."""

    organisation: Line
    name: Line
    post: Line
    signed_on: date


Version = Annotated[int, Field(ge=1)]


class Terms(Strict):
    """What is agreed with an organisation, by whichever version of whichever agreement."""

    title: Bilingual
    purpose: Bilingual
    lawful_basis: Line
    legal_gateway: Line
    """The signatories' own statement; ours makes no legal claim."""
    controller_role: Literal["controller", "joint-controller", "processor"] = "controller"
    change_type: Code
    area: tuple[CustodianCode, ...] = ()
    """Custodian codes of its area. Empty matches no share but `anywhere`: filters fail closed."""
    shares: Annotated[tuple[Share, ...], Field(min_length=1)]
    identity_level: IdentityLevel = IdentityLevel.P2
    required: bool = False
    """True where the law requires the telling; the person sees it marked and cannot leave it out."""
    latest_only: bool = False
    """True where only the newest change matters: an older one that is still to be sent is `superseded`."""
    unverified_addresses: bool = False
    """True where it takes a change whose address is only typed, because the gazetteer could not be asked about it."""
    retention_days: Annotated[int, Field(ge=1)]
    valid_from: date
    valid_until: date | None = None
    review_by: date
    """By then its parties look at it again. It stays in force; that it is overdue is an alarm."""
    exchange_role: Literal["controller", "joint-controller", "processor"] = "processor"
    """Of whoever runs the exchange, beside `controllerRole`, which is the organisation's."""
    special_category_condition: Line | None = None
    """UK GDPR Article 9(2) and Schedule 1 of the Data Protection Act 2018, where data of a special category is shared."""
    impact_assessment: Line | None = None
    """Where the data protection impact assessment is found."""
    contact: Line | None = None
    """The post or mailbox that answers for it at the organisation; never a person's own."""
    benefits: Bilingual | None = None
    rights: Bilingual | None = None
    """How somebody uses their rights with the organisation: access, rectification, objection, complaint."""
    quality: Bilingual | None = None
    """How what is received is kept right."""
    deletion: Bilingual | None = None
    """What becomes of it when `retentionDays` are over."""
    security: Bilingual | None = None
    signatories: Annotated[tuple[Signatory, ...], Field(max_length=20)] = ()


class Agreement(Terms):
    """One version of one agreement. A version never changes; a new one replaces it."""

    id: Code
    version: Version
    organisation: Code
    example: bool = False
    """Invented, for development: its document says that it is no legal advice."""
    revoked: bool = False
