"""What is wrong with an agreement somebody proposes: held against its change type, the register, and what is in force.

Pure. A fault names the field (RFC 6901) and a code; what was written there is never repeated. Words for the codes stand
in the catalogues as `staff-problem-…`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from broker.register.wales import councils
from contracts.agreement import Agreement, Share
from contracts.changes import ChangeKind, change_types
from contracts.person import Person

Code = Literal[
    "not_json", "too_large", "missing", "not_known", "not_valid",
    "organisation_unknown", "type_unknown", "area_unknown", "area_missing", "area_unused", "path_outside",
    "path_nothing", "where_outside", "over_before", "over", "review_past", "not_next", "organisation_other", "type_other", "overlaps",
    "area_other", "not_own", "latest_partial", "unsigned", "adapter_wrong", "keys_wrong", "not_carried", "secret_other",
    "key_replaced",
]  # fmt: skip
Standing = Literal["revoked", "overdue", "in_force", "to_come", "over"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that must be put right."""

    pointer: str
    """Where in the document; empty for the whole."""
    code: Code
    about: str = ""
    """An id of ours that helps to find it: the other agreement it overlaps. Never what was written."""


def agreement_faults(
    proposed: Agreement, agreements: Iterable[Agreement], organisations: Collection[str], today: date
) -> list[Fault]:
    """Return what is wrong with a version of an agreement, given every version there is."""
    known = list(agreements)
    found = [*_of_itself(proposed, today), *_of_its_area(proposed), *_of_its_shares(proposed)]
    if proposed.organisation not in organisations:
        found.append(Fault("/organisation", "organisation_unknown"))
    return [*found, *_of_its_history(proposed, known), *_overlaps(proposed, known, today)]


def is_overdue(agreement: Agreement, today: date) -> bool:
    """Return whether it is in force and should have been looked at again by now."""
    return in_force(agreement, today) and agreement.review_by < today


def in_force(agreement: Agreement, today: date) -> bool:
    """Return whether somebody can be told under it today."""
    return not agreement.revoked and agreement.valid_from <= today and not _is_over(agreement, today)


def state(agreement: Agreement, today: date) -> Standing:
    """Return where a version stands; words for it are `staff-standing-…` in the catalogues."""
    if agreement.revoked:
        return "revoked"
    if in_force(agreement, today):
        return "overdue" if is_overdue(agreement, today) else "in_force"
    return "to_come" if today < agreement.valid_from else "over"


def newest(agreements: Iterable[Agreement]) -> Mapping[str, Agreement]:
    """Return the newest version of each agreement."""
    return {item.id: item for item in sorted(agreements, key=lambda item: item.version)}


def broader(versions: Iterable[Agreement], today: date) -> list[Agreement]:
    """Return which older versions of one agreement still stand and permit what the one in force does not.

    What is unsent under those is sent as it was agreed then, until somebody revokes them.
    """
    known = list(versions)
    now = max((item for item in known if in_force(item, today)), key=lambda item: item.version, default=None)
    if now is None:
        return []
    return [
        item
        for item in sorted(known, key=lambda item: item.version)
        if item.version < now.version and not item.revoked and not _is_over(item, today) and permits_less(now, item)
    ]


def permits_less(agreement: Agreement, before: Agreement) -> bool:
    """Return whether something that could be sent under `before` could not be sent under this version."""
    if not before.identity_level.meets(agreement.identity_level) or not set(before.area) <= set(agreement.area):
        return True
    if agreement.valid_until is not None and (before.valid_until is None or agreement.valid_until < before.valid_until):
        return True
    return any(
        not any(f"{path}/".startswith(f"{wider}/") for wider in _permitted(agreement, share))
        for share in before.shares
        for path in share.paths
    )


def _permitted(agreement: Agreement, share: Share) -> set[str]:
    return {
        path for one in agreement.shares if (one.where, one.role) == (share.where, share.role) for path in one.paths
    }


def leads_somewhere(kind: ChangeKind, path: str) -> bool:
    """Return whether a path names a part of `{person, change}` that changes of this type can have.

    Whatever is in a list is permitted as a whole or not at all, so no path leads into one.
    """
    top, *steps = path.split("/")[1:]
    there: list[Any] = [{"person": Person, "change": kind.model}.get(top)]
    for step in steps:
        there = [
            field.annotation
            for model in there
            if isinstance(model, type) and issubclass(model, BaseModel)
            for field in model.model_fields.values()
            if field.alias == step
        ]
        there = [plain for annotation in there for plain in _alternatives(annotation)]
    return any(item is not None for item in there)


def _alternatives(annotation: Any) -> list[Any]:
    """Return the types a field may have, without None and what only constrains it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin is UnionType or origin is Union:
        return [plain for item in get_args(annotation) for plain in _alternatives(item)]
    return [] if annotation is type(None) else [annotation]


def _of_itself(proposed: Agreement, today: date) -> Iterable[Fault]:
    if proposed.valid_until is not None and proposed.valid_until < proposed.valid_from:
        yield Fault("/validUntil", "over_before")
    elif _is_over(proposed, today):
        yield Fault("/validUntil", "over")
    if proposed.review_by < today:
        yield Fault("/reviewBy", "review_past")
    if not proposed.signatories:
        yield Fault("/signatories", "unsigned")


def _of_its_area(proposed: Agreement) -> Iterable[Fault]:
    for place, code in enumerate(proposed.area):
        if code not in councils():
            yield Fault(f"/area/{place}", "area_unknown")
    by_area = any(share.where != "anywhere" for share in proposed.shares)
    if by_area and not proposed.area:
        yield Fault("/area", "area_missing")
    if proposed.area and not by_area:
        yield Fault("/area", "area_unused")


def _of_its_shares(proposed: Agreement) -> Iterable[Fault]:
    kind = change_types().get(proposed.change_type)
    if kind is None:
        yield Fault("/changeType", "type_unknown")
        return
    if proposed.latest_only and not kind.replaces:
        yield Fault("/latestOnly", "latest_partial")
    for number, share in enumerate(proposed.shares):
        if share.where != "anywhere" and share.where not in kind.ends:
            yield Fault(f"/shares/{number}/where", "where_outside")
        for place, path in enumerate(share.paths):
            if not leads_somewhere(kind, path):
                yield Fault(f"/shares/{number}/paths/{place}", "path_outside")
        if not any(f"{path}/".startswith("/change/") for path in share.paths):
            yield Fault(f"/shares/{number}/paths", "path_nothing")


def _of_its_history(proposed: Agreement, known: list[Agreement]) -> Iterable[Fault]:
    before = newest(known).get(proposed.id)
    if proposed.version != (before.version if before else 0) + 1:
        yield Fault("/version", "not_next")
    if before is not None and before.organisation != proposed.organisation:
        yield Fault("/organisation", "organisation_other")
    if before is not None and before.change_type != proposed.change_type:
        yield Fault("/changeType", "type_other")


def _overlaps(proposed: Agreement, known: list[Agreement], today: date) -> Iterable[Fault]:
    """An organisation is told of one change under one agreement: which must not hang on which id comes first."""
    for other in newest(known).values():
        if (
            other.id != proposed.id
            and (other.organisation, other.change_type) == (proposed.organisation, proposed.change_type)
            and not other.revoked
            and not _is_over(other, today)
            and _at_one_time(other, proposed)
            and _in_one_place(other, proposed)
        ):
            yield Fault("", "overlaps", other.id)


def _is_over(agreement: Agreement, today: date) -> bool:
    return agreement.valid_until is not None and agreement.valid_until < today


def _at_one_time(one: Agreement, other: Agreement) -> bool:
    return all(
        first.valid_until is None or second.valid_from <= first.valid_until
        for first, second in ((one, other), (other, one))
    )


def _in_one_place(one: Agreement, other: Agreement) -> bool:
    anywhere = any(share.where == "anywhere" for item in (one, other) for share in item.shares)
    return anywhere or bool(set(one.area) & set(other.area))
