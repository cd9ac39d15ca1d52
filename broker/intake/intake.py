"""The way in: from a person's words to a change that is stored with everything it owes."""

import base64
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from functools import partial
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel

from broker import audit, failpoints, sealing
from broker.intake import placing, previews, withdrawing
from broker.intake.joining import identity_mark
from broker.intake.letters import Letters, letters_of
from broker.intake.placing import Lay
from broker.intake.references import new_reference
from broker.intake.refusals import (
    AlreadyTold,
    KeyReused,
    LevelTooLow,
    NobodyToTell,
    NotAcceptable,
    PreviewChanged,
    Refusal,
    TooMany,
)
from broker.intake.untold import untold
from broker.intake.writer import Writer
from broker.notify import Contact
from broker.register import Directory
from broker.routing import Standing, recipients, standing
from broker.store import Database, changes, editions, holds
from broker.store.together import Together
from broker.store.withdrawals import Correctable
from broker.telemetry.metrics import Metrics
from broker.vault import PersonKey, Vault
from broker.verification import (
    REDIRECTS,
    Facts,
    Gazetteer,
    Hold,
    HoldPolicy,
    Registered,
    check_change,
    holds_on,
    registered,
    that_do_not_exist,
    too_many,
)
from contracts.agreement import Agreement
from contracts.changes import ChangeKind, change_types
from contracts.holds import HoldReason
from contracts.ids import new_id
from contracts.person import IdentityLevel, Person, PersonName
from contracts.problems import FieldProblem
from contracts.requests import ChangeRequest, NotTold, Preview, PreviewRequest
from contracts.times import WALES, day_in_wales


@dataclass(frozen=True, slots=True)
class Told:
    """Who tells a change, as the identity provider knows them."""

    issuer: str
    subject: str = field(repr=False)
    level: IdentityLevel
    name: PersonName = field(repr=False)
    birth_date: date = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that is stored, now or by an earlier request with the same key."""

    change_id: UUID
    reference: str
    person: PersonKey
    fresh: "Fresh | None" = None
    """What was stored just now; None where an earlier request had stored it, or where it replaces another."""
    corrects: UUID | None = None
    """The change it replaces, where that was stored just now: what of it is not sent is to be stopped."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A change in the moment it was stored: nothing need be read back to show it."""

    told: changes.Told
    content: bytes = field(repr=False)
    """What was told, as canonical JSON."""


@dataclass(frozen=True, slots=True)
class _Decided:
    frozen: list[previews.Frozen]
    agreements: Sequence[Agreement]
    """Those it was decided on."""
    in_force: Standing
    """Those of them that hold for the type and the day."""
    lay: Lay
    corrected: Correctable | None
    """The change it is to replace."""


class Intake:
    """Previews and accepts changes."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        gazetteer: Gazetteer,
        writer: Writer,
        metrics: Metrics,
        clock: Callable[[], datetime],
        holding: HoldPolicy,
    ) -> None:
        self._database = database
        self._vault = vault
        self._holding = holding
        self._past = Together(partial(holds.known, database, holding.most_a_day))
        self._directory = directory
        self._gazetteer = gazetteer
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._in_force: dict[str, tuple[Sequence[Agreement], date, Standing]] = {}
        """By change type: the agreements as they were read, the day, and those in force on it."""

    async def preview(self, who: Told, request: PreviewRequest) -> Preview:
        """Return who would be told what, and why. Raises Refusal and StoreUnavailable; stores nothing of the change."""
        person = await self._vault.person(who.issuer, who.subject)
        return self._shown(request, await self._decide(who, person, request, _wire(request.change)))

    async def untold(
        self, change_type: str, change: Any, told: Collection[str] | None, lay: Lay | None = None
    ) -> tuple[NotTold, ...]:
        """Return who is not told of a change and what the person can do instead. Raises StoreUnavailable.

        `change` is of its type's model; `told` are the organisations that it is owed to, None for one that nobody
        would be told of; `lay` is where it lay when it was told, None where that is to be asked now.
        """
        kind = change_types()[change_type]
        today = day_in_wales(self._clock())
        in_force = self._standing(self._directory.agreements(), kind.name, today)
        then, lay = lay, lay or await self._placed(kind, change)
        organisations = self._directory.organisations()
        bodies = self._directory.bodies()
        found = untold(kind, change, lay.areas, in_force, organisations, bodies, told or (), sent=told is not None)
        if told is None or then is not None:
            return found
        # What the gazetteer cannot be asked now may have been known then, and whoever it was told.
        return tuple(one for one in found if one.reason != "area-unknown" or not lay.unchecked >= set(one.ends))

    async def accept(self, who: Told, key: str, request: ChangeRequest, *, contact: Contact | None = None) -> Accepted:
        """Take a change in, once for each key. Raises Refusal and StoreUnavailable (ask again with the same key).

        `contact` is where the person wants a confirmation; it is owed with the change.
        """
        person = await self._vault.person(who.issuer, who.subject)
        key_digest = (await self._vault.digester("idempotency"))(b"%d" % person.person_id, key.encode())
        whole = request.model_dump(mode="json", exclude_none=True)
        fingerprint = (await self._vault.digester("fingerprints"))(sealing.canonical(whole))
        change = _without_empty(whole["change"])
        content = sealing.canonical(change)
        try:
            decided = await self._decide(who, person, request, change)
            owed = await self._agreed(request, decided)
            owed, held, letters = await self._verified(person, request, content, owed, contact)
        except Refusal:
            # What was accepted stays accepted, whatever would be decided today.
            known = await self._known(person, key_digest, fingerprint)
            if known is None:
                raise
            return known
        told = await self._sealed(
            who, person, key_digest, fingerprint, request, content, owed, lay=decided.lay, held=held, letters=letters
        )
        failpoints.reach("intake.decided")
        started = time.perf_counter()
        try:
            if decided.corrected is None:
                stored = await self._writer.write(told)
            else:
                at = await withdrawing.replace_by(self._database, person, told, decided.corrected, told.accepted_at)
                stored = replace(told, accepted_at=at) if at else None
        except changes.PersonErased:
            self._vault.forget(person.person_id)  # their account may be another's by now
            raise
        self._metrics.accept_seconds.observe(time.perf_counter() - started)
        failpoints.reach("intake.stored")
        if stored is not None and decided.corrected is not None:
            self._metrics.changes_accepted.labels(request.type).inc()
            return Accepted(stored.id, stored.reference, person, corrects=decided.corrected.change_id)
        if stored is not None:
            self._metrics.changes_accepted.labels(request.type).inc()
            return Accepted(stored.id, stored.reference, person, Fresh(stored, content))
        known = await self._known(person, key_digest, fingerprint)
        if known is None:
            raise LookupError("a key that is known has no change")
        return known

    async def _known(self, person: PersonKey, key: bytes, fingerprint: bytes) -> Accepted | None:
        found = (await changes.stored_under(self._database, [(person.person_id, key)])).get((person.person_id, key))
        if found is None:
            return None
        if not sealing.same(found.fingerprint, fingerprint):
            raise KeyReused
        return Accepted(found.change_id, found.reference, person)

    async def _decide(
        self, who: Told, person: PersonKey, request: PreviewRequest, change: Mapping[str, Any]
    ) -> _Decided:
        """Return who is told what. `change` is the request's, in wire form."""
        kind = change_types()[request.type]
        if not who.level.meets(kind.identity_level):
            raise LevelTooLow(kind.identity_level)
        today = day_in_wales(self._clock())
        doubts = check_change(kind, request.change, who.name, today)
        if doubts:
            raise NotAcceptable([FieldProblem(pointer=d.pointer, code=d.code, detail=d.detail) for d in doubts])
        await self._postcodes_exist(kind, request.change)
        lay = await self._placed(kind, request.change)
        told = {"person": _person(who, request), "change": change}
        agreements = self._directory.agreements()
        in_force = self._standing(agreements, kind.name, today)
        found = recipients(told, who.level, lay.areas, in_force, kind.special, kind.context, unchecked=lay.unchecked)
        if not found:
            raise NobodyToTell
        corrected = None
        if request.corrects is not None:
            corrected = await withdrawing.correctable(self._database, person, request.corrects, kind.name)
            found = withdrawing.naming(found, corrected)
        frozen = previews.freeze(await self._vault.digester("previews"), person.person_id, found)
        return _Decided(frozen, agreements, in_force, lay, corrected)

    def _shown(self, request: PreviewRequest, decided: _Decided) -> Preview:
        organisations = self._directory.organisations()
        told = [item.recipient.organisation for item in decided.frozen]
        return previews.preview_of(
            decided.frozen,
            organisations,
            {(item.id, item.version): item for item in decided.agreements},
            [place for place, code in decided.lay.areas.items() if code is None],
            [place for place in decided.lay.areas if place in decided.lay.unchecked],
            untold(
                change_types()[request.type],
                request.change,
                decided.lay.areas,
                decided.in_force,
                organisations,
                self._directory.bodies(),
                told,
                sent=False,
            ),
            change_types()[request.type].sensitivity,
        )

    def _standing(self, agreements: Sequence[Agreement], change_type: str, on: date) -> Standing:
        """Return those in force, worked out once for each day and each reading of the configuration."""
        known = self._in_force.get(change_type)
        if known is None or known[0] is not agreements or known[1] != on:
            known = agreements, on, standing(agreements, change_type, on)
            self._in_force[change_type] = known
        return known[2]

    async def _postcodes_exist(self, kind: ChangeKind, change: Any) -> None:
        """Raise NotAcceptable for a typed postcode that does not exist. One somebody leaves may have ended since."""
        places = kind.places(change)
        wrong = await that_do_not_exist(self._database, places.values())
        if not wrong:
            return  # nearly always, and then the store was not asked
        ended = "old" in places and not await editions.keeps_ended_postcodes(self._database)
        asked = [address for place, address in places.items() if not (ended and place == "old")]
        members = {name: getattr(change, name) for name in type(change).model_fields}
        faults = [
            FieldProblem(
                pointer=f"/change/{to_camel(name)}/postalCode",
                code="no_such_postcode",
                detail="is not a postcode that exists",
            )
            for name, value in members.items()
            if any(value is address for address in asked) and value.uprn is None and value.postal_code in wrong
        ]
        if faults:
            raise NotAcceptable(faults)

    async def _placed(self, kind: ChangeKind, change: Any) -> Lay:
        """Return where each place of a change lies, and those whose address could not be checked."""
        places = kind.places(change)
        found = dict(zip(places, await self._gazetteer.placed(list(places.values())), strict=True))
        areas = {place: placed.custodian_code for place, placed in found.items()}
        return Lay(areas, frozenset(place for place, placed in found.items() if not placed.checked))

    async def _agreed(self, request: ChangeRequest, decided: _Decided) -> list[previews.Frozen]:
        """Return whom to tell: exactly those shown, less those left out. Raises Refusal."""
        marks = previews.shown(request.preview)
        if marks is None:
            raise NotAcceptable([FieldProblem(pointer="/preview", code="not_ours", detail="is not a preview of ours")])
        by_organisation = {item.recipient.organisation: item.recipient for item in decided.frozen}
        for place, organisation in enumerate(request.leave_out):
            recipient = by_organisation.get(organisation)
            if recipient is None and organisation not in marks:
                code, detail = "not_a_recipient", "would not be told anyway"
            elif recipient is not None and recipient.required:
                code, detail = "required", "must be told by law"
            else:
                continue
            raise NotAcceptable([FieldProblem(pointer=f"/leaveOut/{place}", code=code, detail=detail)])
        owed = [item for item in decided.frozen if item.recipient.organisation not in request.leave_out]
        if not owed:
            raise NobodyToTell
        fewer = set(marks) - set(request.leave_out) - by_organisation.keys()
        if previews.grown(owed, marks) or (decided.lay.unchecked and fewer):  # checked when it was shown, and not now
            raise PreviewChanged(self._shown(request, decided))
        return owed

    async def _verified(
        self,
        person: PersonKey,
        request: ChangeRequest,
        content: bytes,
        owed: list[previews.Frozen],
        contact: Contact | None,
    ) -> tuple[list[previews.Frozen], tuple[holds.Placed, ...], Letters]:
        """Return whom it is news to, what it waits for, and who is written to. Raises AlreadyTold and TooMany.

        Two requests at one moment may both be let in where the day's last, or the same change, is one: nothing is locked.
        """
        kind, policy = change_types()[request.type], self._holding
        asked = person.person_id, kind.name
        known = (await self._past.answers([asked]))[asked]
        if policy.repeats and known.last is not None and request.corrects is None:
            before = opened(person, known.last.id, known.last.type, known.last.sealed)
            if before == content:
                owed = [item for item in owed if item.recipient.organisation not in known.last.told]
                if not owed:
                    raise AlreadyTold(person.person_id, known.last.reference)
        letters = letters_of(person, known, contact, policy.new_contact, redirects=kind.name in REDIRECTS)
        facts = Facts(
            now=known.now,
            known_since=known.known_since,
            contact_since=letters.contact_since,
            told=known.told,
            objected=known.objected,
            earlier=None if known.lapsing is None else Hold(known.lapsing.reason, known.lapsing.until),
        )
        if too_many(facts, policy):
            raise TooMany
        found = holds_on(kind.name, kind.confirmation, facts, policy)
        entry = registered(await self._vault.digester("registrations"), request.change)
        return owed, tuple(_placed(one, entry, known.now) for one in found), letters

    async def _sealed(
        self,
        who: Told,
        person: PersonKey,
        key: bytes,
        fingerprint: bytes,
        request: ChangeRequest,
        content: bytes,
        owed: list[previews.Frozen],
        *,
        lay: Lay,
        held: tuple[holds.Placed, ...],
        letters: Letters,
    ) -> changes.Told:
        now = self._clock()
        change_id = new_id(now)
        kind = change_types()[request.type]
        since = _start_of(kind.effective(request.change))
        sealed = tuple(
            [
                await self._owed(person, change_id, item, since, await self._newest_of(person, request, item), now)
                for item in owed
            ]
        )
        return changes.Told(
            id=change_id,
            person_id=person.person_id,
            key=key,
            fingerprint=fingerprint,
            reference=new_reference(),
            type=kind.name,
            generation=person.generation,
            sealed=sealing.seal(sealing.record_key(person.key, change_id), content, _bound_to(change_id, kind.name)),
            accepted_at=now,
            owed=sealed,
            leaf=audit.leaf(
                "change.accepted",
                now,
                audit.by_oneself(person.person_id),
                change_id=change_id,
                detail={
                    "type": kind.name,
                    "told": [
                        f"{item.recipient.organisation} {item.recipient.agreement}/{item.recipient.agreement_version}"
                        for item in owed
                    ],
                    "fields": [
                        f"{item.recipient.organisation} {' '.join(fields(item.recipient.data))}" for item in owed
                    ],
                    "digests": [f"{one.organisation} {one.id} {one.digest.hex()}" for one in sealed],
                    "left_out": list(request.leave_out),
                    **({"held": [hold.reason.value for hold in held]} if held else {}),
                },
            ),
            holds=held,
            placed=placing.sealed(person, change_id, lay),
            verified=identity_mark(person.key, who.name, who.birth_date),
            notices=letters.owed(person, await self._vault.digester("hold-links"), now),
            contact=letters.contact(person, now),
        )

    async def _owed(
        self,
        person: PersonKey,
        change_id: UUID,
        item: previews.Frozen,
        not_before: datetime,
        newest_of: bytes | None,
        now: datetime,
    ) -> changes.Owed:
        organisation = item.recipient.organisation
        delivery_id = new_id(now)
        pseudonyms = await self._vault.digester(f"pseudonyms:{organisation}")  # never rotated
        sealed, digest = sealing.seal_delivery(sealing.delivery_key(person.key, delivery_id), delivery_id, item.data)
        return changes.Owed(
            id=delivery_id,
            organisation=organisation,
            subject=_pseudonym(pseudonyms, b"person", b"%d" % person.person_id),
            agreement=item.recipient.agreement,
            agreement_version=item.recipient.agreement_version,
            not_before=not_before,
            origin=_pseudonym(pseudonyms, b"change", change_id.bytes),
            digest=digest,
            sealed=sealed,
            newest_of=newest_of,
        )

    async def _newest_of(self, person: PersonKey, request: ChangeRequest, item: previews.Frozen) -> bytes | None:
        """Return the mark of what only a newer one says as well, keyed: the same part, of a change that says as much."""
        kind, recipient = change_types()[request.type], item.recipient
        if kind.replaces is None or not recipient.latest_only:
            return None
        agreed = [recipient.agreement, recipient.agreement_version, recipient.roles]
        return (await self._vault.digester("newest"))(
            b"%d" % person.person_id, sealing.canonical({"agreed": agreed, "said": kind.replaces(request.change)})
        )


def fields(data: Mapping[str, Any]) -> list[str]:
    """Return the names of what an organisation is told, for the ledger: `change/newAddress`. Never a value."""
    return sorted(f"{part}/{name}" for part, members in data.items() if isinstance(members, dict) for name in members)


def opened(person: PersonKey, change_id: UUID, change_type: str, sealed: bytes) -> bytes:
    """Return what a person told, as canonical JSON. Raises sealing.CannotOpen."""
    return sealing.open_sealed(sealing.record_key(person.key, change_id), sealed, _bound_to(change_id, change_type))


def _placed(hold: Hold, entry: Registered | None, now: datetime) -> holds.Placed:
    if hold.reason is HoldReason.AWAITS_REGISTRAR and entry is not None:
        return holds.Placed(
            id=new_id(now), reason=hold.reason, until=None, registration=entry.registration, fact=entry.fact
        )
    return holds.Placed(id=new_id(now), reason=hold.reason, until=hold.until)


def _bound_to(change_id: UUID, change_type: str) -> bytes:
    return b"change|v1|" + change_id.bytes + b"|" + change_type.encode()


def _person(who: Told, request: PreviewRequest) -> Mapping[str, Any]:
    return _wire(
        Person(
            name=who.name,
            birth_date=who.birth_date,
            identity_level=who.level,
            preferred_language=request.preferred_language,
            identifiers=request.identifiers,
        )
    )


def _wire(model: Any) -> dict[str, Any]:
    return _without_empty(model.model_dump(mode="json", exclude_none=True))


def _without_empty(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wire.items() if value not in ([], ())}


def _pseudonym(digest: sealing.Digester, *parts: bytes) -> str:
    return base64.urlsafe_b64encode(digest(*parts)).decode().rstrip("=")


def _start_of(day: date) -> datetime:
    """Return the first moment of a day in Wales."""
    return datetime.combine(day, time_of_day.min, WALES).astimezone(UTC)
