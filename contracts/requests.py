"""What a citizen's software sends and gets on `/v1`."""

import functools
import operator
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    SerializeAsAny,
    StringConstraints,
    TypeAdapter,
    create_model,
    model_validator,
)

from contracts.address import Address, PostalCode
from contracts.changes import change_types
from contracts.changes.kind import Place, Sensitivity
from contracts.holds import HoldView
from contracts.person import Identifier
from contracts.statuses import Status
from contracts.text import Bilingual, Code, Line, Strict, normalise

Reference = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]$")
]
"""Of a change, as we write it: ten characters and a check character."""

WebAddress = Annotated[str, StringConstraints(pattern=r"^https://[!-~]+$", max_length=500)]
"""Of a public page (RFC 3986)."""

PreviewDigest = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,16000}$")]
"""Opaque: what was shown to the person, to be sent back with the change."""


class PreviewRequest(Strict):
    """A change that may be told: asks who would be told what. Read with `preview_requests`, which knows each type."""

    type: Code
    change: SerializeAsAny[Strict]
    """What has changed, as the type has it."""
    preferred_language: Literal["cy", "en"] | None = None
    """The language the person wants to be written to in; stored, and sent on where agreed."""
    identifiers: Annotated[tuple[Identifier, ...], Field(max_length=5)] = ()
    """Numbers the person knows for themselves; marked as said by them."""
    corrects: Reference | None = None
    """The person's own change that this one replaces: what of it is not sent is not sent any more."""

    @model_validator(mode="after")
    def _is_of_its_type(self) -> Self:
        kind = change_types().get(self.type)
        if kind is None or not isinstance(self.change, kind.model):
            raise ValueError("change is not of its type")
        return self


class ChangeRequest(PreviewRequest):
    """A change, told. Read with `change_requests`."""

    preview: PreviewDigest
    leave_out: Annotated[tuple[Code, ...], Field(max_length=100)] = ()
    """Organisations not to tell, where the law leaves it to the person."""


@cache
def preview_requests() -> TypeAdapter[PreviewRequest]:
    """Return what reads a preview's request: each type with its own schema, told apart by `type`."""
    return _by_type(PreviewRequest)


@cache
def change_requests() -> TypeAdapter[ChangeRequest]:
    """Return what reads a change's request, as `preview_requests`."""
    return _by_type(ChangeRequest)


R = TypeVar("R", bound=PreviewRequest)


def _by_type(base: type[R]) -> TypeAdapter[R]:
    models: list[Any] = []
    for kind in change_types().values():
        own: dict[str, Any] = {"type": (Literal[kind.name], ...), "change": (kind.model, ...)}
        name = f"{kind.name.title().replace('-', '')}{base.__name__}"
        models.append(create_model(name, __base__=base, __doc__=base.__doc__, **own))
    one_of: Any = Annotated[functools.reduce(operator.or_, models), Field(discriminator="type")]
    return TypeAdapter(one_of)


class PreviewedRecipient(Strict):
    """One organisation that would be told: what exactly, and why."""

    organisation: Code
    name: Bilingual
    required: bool
    """True where the law requires it; it cannot be left out."""
    because: tuple[Bilingual, ...]
    purpose: Bilingual
    lawful_basis: Line
    agreement: str
    """Identifier and version."""
    data: dict[str, Any]
    """Byte for byte what it will receive, once accepted."""
    sensitive: dict[str, Sensitivity] = Field(default_factory=dict)
    """Parts of that data that need care, by path: to be shown marked."""


class WebPage(Strict):
    """A public page of somebody else's."""

    en: WebAddress
    cy: WebAddress | None = None
    """Absent where they publish none in Welsh."""


NotToldReason = Literal[
    "not-connected",
    "no-agreement",
    "not-agreed-for-this",
    "left-out",
    "outside-wales",
    "area-unknown",
    "no-fixed-abode",
    "only-yourself",
]
"""Why somebody is not told: they take no part in the exchange; they do, without an agreement for this type of change;
with one that does not cover this change; left out by the person, told the same before, or taking part only since; in no area of Wales; in an
area that is not known; of a person without a fixed address; they take such a change from the person alone."""


class NotTold(Strict):
    """Somebody the change may concern who is not told of it here, and what the person can do instead."""

    id: Code
    who: Bilingual
    ends: tuple[Place, ...] = ()
    """The places of the change because of which it concerns them; none where it is not because of a place."""
    reason: NotToldReason
    instead: Bilingual
    """What to do: the words of a link, where there is a page."""
    page: WebPage | None = None


class Preview(Strict):
    """Who would be told what, and why; nobody else ever is."""

    digest: PreviewDigest
    recipients: tuple[PreviewedRecipient, ...]
    not_told: tuple[NotTold, ...] = ()
    """Whom it may concern and who is not told. Information: the digest does not cover it, and nothing is sent for it."""
    unknown_areas: tuple[Place, ...] = ()
    """Places of the change whose local authority is not known here: nobody is told because of them."""
    unverified: tuple[Place, ...] = ()
    """Places whose address could not be checked now, for the gazetteer does not answer: only those are told whose
    agreements take what is only typed."""


class TimelineEntry(Strict):
    """One thing that happened on the way to one organisation."""

    at: AwareDatetime
    what: Literal["accepted", "published", "deferred", "withheld", "answered", "undelivered", "conflict"]
    status: Status
    """The delivery's status from then on."""
    outcome: str | None = None
    reason: str | None = None
    reference: str | None = None
    next_try: AwareDatetime | None = None


class DeliveryView(Strict):
    """How far one organisation's delivery has come."""

    organisation: Code
    name: Bilingual
    status: Status
    not_before: AwareDatetime | None = None
    """Set while it waits for its day."""
    held: bool | None = None
    """True while something holds the change, and this is not on its way."""
    stopping: bool | None = None
    """True while it is to be stopped and may be on its way all the same; what the organisation answers counts."""
    reference: str | None = None
    timeline: tuple[TimelineEntry, ...]


class ChangeSummary(Strict):
    """One of a person's changes."""

    reference: str
    """Ten characters and a check character, to be read out over the phone; no credential."""
    type: str
    accepted_at: AwareDatetime
    deliveries: dict[str, Status]
    """Status by organisation."""


class Withdrawn(Strict):
    """That a change was cancelled, or replaced by another."""

    at: AwareDatetime
    corrected_by: str | None = None
    """The reference of the change that replaces it; absent where it was cancelled."""
    taken_back: tuple[DeliveryView, ...] = ()
    """How far each organisation that had been told has come with taking it back."""


class ChangeView(Strict):
    """One of a person's changes, whole."""

    reference: str
    type: str
    accepted_at: AwareDatetime
    change: dict[str, Any]
    deliveries: tuple[DeliveryView, ...]
    holds: tuple[HoldView, ...] | None = None
    """What keeps it, or kept it, from being sent; absent where nothing ever did."""
    corrects: str | None = None
    """The reference of the change that this one replaces."""
    withdrawn: Withdrawn | None = None
    not_told: tuple[NotTold, ...] | None = None
    """Whom it may concern and who was not told. Absent from the answer to the telling itself, whose preview said it,
    and from a change that was taken back."""


class ChangeList(Strict):
    """A person's changes, newest first."""

    changes: tuple[ChangeSummary, ...]


SearchText = Annotated[str, AfterValidator(normalise), StringConstraints(min_length=1, max_length=200)]
"""What somebody types of an address: `3 Otter Row, Cardiff`."""


class AddressSearch(Strict):
    """Addresses at a postcode, or those that may be meant by a text. By POST: neither stands in a URL of ours."""

    postal_code: PostalCode | None = None
    text: SearchText | None = None
    """Part of the address, as people type it, in either language; with a postcode, the likeliest of those there."""
    language: Literal["cy", "en"] = "en"

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.postal_code is None and self.text is None:
            raise ValueError("needs a postalCode or a text")
        return self


class FoundAddress(Strict):
    """One address of the gazetteer."""

    address: Address
    invented: bool
    """True for the sandbox's sample addresses, which exist nowhere."""


class AddressSearchResult(Strict):
    addresses: tuple[FoundAddress, ...]


class SubjectDelivery(Strict):
    """What became of one delivery, for the organisation it was for."""

    id: str
    subject: str | None = None
    """The organisation's own pseudonym for the person."""
    sequence: int
    status: Status
    reason: str | None = None
    """Why it ended so, where it was not the organisation that ended it."""
    published_at: AwareDatetime | None = None


class SubjectDeliveries(Strict):
    """An organisation's deliveries: those of one of its subjects by sequence, or a page of all by id."""

    deliveries: tuple[SubjectDelivery, ...]


class TokenForm(Strict):
    """The form of the token endpoint (RFC 6749, section 4.4; RFC 7523, section 2.2)."""

    grant_type: Literal["client_credentials"]
    client_assertion_type: Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    client_assertion: str
    scope: str | None = None
