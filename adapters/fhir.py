"""FHIR R4: a change on the `Patient` of a health board, matched, then patched under its version.

What the search is answered:

    one Patient, the same number, name and birth date   patched, if it does not say so already
      it says so already                                already current
      it is of someone dead, inactive or merged         a person must look
      another name or birth date                        not matched
    no Patient                                          not matched
    a Patient without id or version                     Unavailable: nothing could guard the patch
    several Patients, or an OperationOutcome that says
    so instead of a bundle, whatever the status         several matches

What the patch is answered:

    200 201 204   empty, a Patient, an outcome without error   applied
    200 201       anything else                                accepted, with `answer_unreadable`
    202                                                        accepted
    404 409 412   somebody changed the record meanwhile        searched and patched again, three times; then Unavailable
    410                                                        not matched
    400 422       the record with the change is not valid      Rejected; `business-rule` is refused by policy

Either is answered:

    401 403       they do not know us                          Misconfigured
    404 405 501   nothing there (of a search), or no patching  Misconfigured
    3xx           redirects are not followed                   Misconfigured
    408 425 429 5xx   see `Retry-After`                        Unavailable
    the rest      not what was agreed                          Misconfigured

A move that is taken back is patched back while the record stands as we left it; else, and for any other change, a
person must look, and where nothing of ours is left in it, it is already current.

A repeat finds what it wrote and says already current, so a lost answer needs no care: the version in `If-Match`
is the protocol's own guard. The delivery's id goes along as `X-Request-ID`. Diagnostics are never read.
"""

import asyncio
import json
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlencode

from pydantic import StringConstraints
from pydantic_core import from_json

from adapters.fhir_changes import CARRIED, Makes, elements, making, says_enough, unmaking
from adapters.fhir_patient import is_person, needs_a_person
from adapters.retry_after import retry_after
from adapters.settings import settings_from, settings_of
from adapters.told import NHS_NUMBER, Told, told, withdrawn
from contracts.adapters import AdapterContext, HttpAnswer
from contracts.credentials import CLIENT_CERTIFICATE, CLIENT_SECRET, ClientCredentials
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from contracts.text import Strict

SEVERAL: Final = frozenset({"multiple-matches", "MULTIPLE_MATCHES", "TOO_MANY_MATCHES"})
"""Codes of an issue, its own or in its details, by which servers say it; the last two are the Spine's."""
BUSINESS_RULE: Final = "business-rule"
WENT_WRONG: Final = frozenset({"fatal", "error"})
"""Severities of an issue."""

TAKEN: Final = frozenset({200, 201, 204})
CHANGED_MEANWHILE: Final = frozenset({404, 409, 412})
"""404 too: the record that was found a moment ago is gone."""
INVALID: Final = frozenset({400, 422})
MISCONFIGURED: Final = {
    401: Reason.UNAUTHORISED,
    403: Reason.UNAUTHORISED,
    404: Reason.ENDPOINT_MISSING,
    405: Reason.ENDPOINT_MISSING,
    501: Reason.ENDPOINT_MISSING,
    **dict.fromkeys(range(300, 400), Reason.REDIRECTED),
}
NOT_NOW: Final = {
    408: Reason.SERVER_ERROR,
    425: Reason.SERVER_ERROR,
    429: Reason.TOO_MANY_REQUESTS,
    500: Reason.SERVER_ERROR,
    **dict.fromkeys(range(502, 600), Reason.SERVER_ERROR),
}

ROUNDS: Final = 3
"""How often a record is read anew when somebody else changes it between our reading and our writing."""
TOKEN: Final = "bearer-token"  # noqa: S105  its name
FHIR_JSON: Final = "application/fhir+json"


class FhirSettings(Strict):
    """`adapter_settings` of an organisation reached by FHIR."""

    base: Annotated[
        str, StringConstraints(max_length=2000, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[!$->A-~]*[!$-.0->A-~])?$")
    ]
    """The server's base URL, without a closing slash."""
    authorization: ClientCredentials | None = None
    """How an access token is had, for a server that wants one that is renewed; else the secret `bearer-token`, if any."""


class Fhir:
    """Delivers to one FHIR server."""

    carries: ClassVar[Collection[str] | None] = CARRIED
    secrets: ClassVar[Sequence[str]] = (TOKEN, CLIENT_SECRET, CLIENT_CERTIFICATE)

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong."""
        settings_from(settings, FhirSettings)

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting or secret that is wrong."""
        settings = settings_of(context, FhirSettings)
        self._base = settings.base
        self._context = context
        self._http = context.http if settings.authorization is None else context.authorized(settings.authorization)
        self._authorization = _authorization(context) if settings.authorization is None else {}

    async def deliver(self, delivery: Delivery) -> Receipt:
        back = withdrawn(delivery, CARRIED)
        kind, change = (delivery.type, told(delivery, CARRIED)) if back is None else (back.type, back.told)
        if not (change.nhs_number and change.birth_date and change.family and says_enough(kind, change)):
            raise Rejected(Reason.FIELDS_MISSING)
        under_way = _UnderWay(delivery, change, making(kind) if back is None else unmaking(kind), elements(kind))
        failure: Failure = Unavailable(Reason.CONFLICTS)
        try:
            async with asyncio.timeout(self._context.deadline.total_seconds()):
                for _ in range(ROUNDS):
                    if (receipt := await self._round(under_way)) is not None:
                        return receipt
        except TimeoutError:
            failure = (Unknown if under_way.writing else Unavailable)(Reason.DEADLINE_PASSED)
        raise failure from None

    async def close(self) -> None:
        await self._context.close()

    async def _round(self, under_way: "_UnderWay") -> Receipt | None:
        """Search, match, patch once; None if somebody else changed the record in between."""
        delivery, change = under_way.delivery, under_way.change
        found = await self._search(under_way)
        if isinstance(found, Outcome):
            return delivery.answered(found, self._context.clock())
        if not is_person(found, change):
            return delivery.answered(Outcome.NOT_MATCHED, self._context.clock())
        dead = change.change.death_date is not None  # then that is what is told
        operations = None if needs_a_person(found, dead=dead) else under_way.makes(found, change)
        if operations is None:
            return delivery.answered(Outcome.MUST_REVIEW, self._context.clock())
        if not operations:
            return delivery.answered(Outcome.ALREADY_CURRENT, self._context.clock())
        identity, version = _id(found.get("id")), _id(_object(found.get("meta")).get("versionId"))
        if identity is None or version is None:
            raise Unavailable(Reason.ANSWER_UNREADABLE)  # without a version nothing can be guarded
        under_way.writing = True
        answer = await self._http.patch(
            f"{self._base}/Patient/{identity}",
            headers=self._headers(delivery)
            | {
                "content-type": "application/json-patch+json",
                "if-match": f'W/"{version}"',
                "prefer": "return=minimal",
            },
            content=json.dumps(operations, ensure_ascii=False, separators=(",", ":")).encode(),
        )
        under_way.writing = False
        return self._patched(delivery, answer)

    async def _search(self, under_way: "_UnderWay") -> Mapping[str, Any] | Outcome:
        """Return the one Patient with the number and birth date, or what became of the search. Raises Failure."""
        change = under_way.change
        wanted = {
            "identifier": f"{NHS_NUMBER}|{change.nhs_number}",
            "birthdate": str(change.birth_date),
            "_elements": under_way.elements,
            "_count": "5",
        }
        try:
            answer = await self._http.post(
                f"{self._base}/Patient/_search",  # by POST: no number of anybody's in a URL
                headers=self._headers(under_way.delivery) | {"content-type": "application/x-www-form-urlencoded"},
                content=urlencode(wanted).encode(),
            )
        except Unknown as failure:
            raise Unavailable(failure.reason) from None  # asking changes nothing
        bundle = _resource(answer)
        if _codes(bundle) & SEVERAL:
            return Outcome.SEVERAL_MATCHES
        if answer.status != HTTPStatus.OK:
            raise self._failure(answer)
        if bundle.get("resourceType") != "Bundle":
            raise Unavailable(Reason.ANSWER_UNREADABLE)
        resources = [_object(_object(entry).get("resource")) for entry in _list(bundle.get("entry"))]
        if any(_codes(resource) & SEVERAL for resource in resources):
            return Outcome.SEVERAL_MATCHES
        patients = [resource for resource in resources if resource.get("resourceType") == "Patient"]
        if len(patients) > 1:
            return Outcome.SEVERAL_MATCHES
        return patients[0] if patients else Outcome.NOT_MATCHED

    def _patched(self, delivery: Delivery, answer: HttpAnswer) -> Receipt | None:
        """Return or raise what the table at the top of this file says of a patch; None to read the record anew."""
        now = self._context.clock()
        if answer.status in CHANGED_MEANWHILE:
            return None
        if answer.status == HTTPStatus.ACCEPTED:
            return delivery.answered(Outcome.ACCEPTED, now)
        if answer.status == HTTPStatus.GONE:
            return delivery.answered(Outcome.NOT_MATCHED, now)
        if answer.status in TAKEN:
            if not answer.body.strip():
                return delivery.answered(Outcome.APPLIED, now)
            said = _resource(answer)
            kind = said.get("resourceType")
            if kind == "Patient" or (kind == "OperationOutcome" and not _went_wrong(said)):
                return delivery.answered(Outcome.APPLIED, now)
            return delivery.answered(Outcome.ACCEPTED, now, reason=Reason.ANSWER_UNREADABLE)
        raise self._failure(answer)

    def _failure(self, answer: HttpAnswer) -> Failure:
        if answer.status in INVALID:
            if BUSINESS_RULE in _codes(_resource(answer)):
                return Rejected(Reason.REFUSED_BY_POLICY, outcome=Outcome.REJECTED_POLICY)
            return Rejected(Reason.INVALID_FOR_RECEIVER)
        if answer.status in NOT_NOW:
            wait = retry_after(answer.headers.get("retry-after"), self._context.clock())
            return Unavailable(NOT_NOW[answer.status], retry_after=wait)
        return Misconfigured(MISCONFIGURED.get(answer.status, Reason.ADAPTER_FAULT))

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        return {"accept": FHIR_JSON, "x-request-id": str(delivery.id)} | self._authorization


@dataclass(slots=True)
class _UnderWay:
    """One attempt, and whether a patch of it may be arriving."""

    delivery: Delivery
    change: Told
    makes: Makes
    """The patch that is wanted of a record."""
    elements: str
    """What is asked for of a record."""
    writing: bool = False


def _authorization(context: AdapterContext) -> dict[str, str]:
    try:
        token = context.secret(TOKEN).decode("ascii")
    except KeyError:
        return {}
    except UnicodeDecodeError:
        token = ""
    if not _BEARER.fullmatch(token):
        raise ValueError(f"secret {TOKEN}: must be a token as RFC 6750 has it")
    return {"authorization": f"Bearer {token}"}


_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def _resource(answer: HttpAnswer) -> Mapping[str, Any]:
    """Return the resource in an answer, nothing for what is none."""
    try:
        return _object(from_json(answer.body.removeprefix(BOM_UTF8), allow_inf_nan=False))
    except ValueError:
        return {}


def _went_wrong(outcome: Mapping[str, Any]) -> bool:
    return any(_object(issue).get("severity") in WENT_WRONG for issue in _list(outcome.get("issue")))


def _codes(outcome: Mapping[str, Any]) -> set[str]:
    """Return the codes of an OperationOutcome's issues and of their details; none for another resource."""
    if outcome.get("resourceType") != "OperationOutcome":
        return set()
    codes: set[str] = set()
    for issue in map(_object, _list(outcome.get("issue"))):
        coded = _list(_object(issue.get("details")).get("coding"))
        codes |= {
            code for code in (issue.get("code"), *(_object(one).get("code") for one in coded)) if isinstance(code, str)
        }
    return codes


def _id(value: Any) -> str | None:
    """Return an `id` (FHIR R4, section 2.24.0.1), None for anything else: it goes into an address and a header."""
    return value if isinstance(value, str) and _ID.fullmatch(value) and value.strip(".") else None


_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
