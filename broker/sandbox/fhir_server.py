"""A sample health board that is reached by FHIR R4: a small server of Patients, found by POST and patched.

    applied       200 to the patch
    not_matched   the search finds nobody
    must_review   the search finds a record that is not active
    slow          200 to the patch, after its time
    failing       the status to the search, and `Retry-After`
    refusing      422 to the patch, `business-rule`
    silent        no answer to the search until the caller hangs up

The inbox holds each patch that was applied. After a restart the records are the sample people's with every patch of the
inbox once more, so nothing that was answered is lost.
"""

import asyncio
import hmac
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.sandbox.behaviours import EVERY_KIND, Behaviour
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.definitions import FHIR_PATH
from broker.sandbox.desk import Desk, desk_app, until_they_leave
from broker.sandbox.events import Event
from broker.sandbox.inbox import Arrival
from broker.sandbox.json_patch import NotApplicable
from broker.sandbox.loopback import body_of
from broker.sandbox.patients import Patient, Patients
from contracts.events import canonical
from contracts.organisation import Organisation
from contracts.statuses import Outcome

MEDIA_TYPE: Final = "application/fhir+json"
LARGEST_BODY: Final = 256 * 1024
MOST_REMEMBERED: Final = 1000
"""Requests whose search met a behaviour that shows in their patch."""
MOST_FIELDS: Final = 20
DEEPEST: Final = 20
PAGE: Final = 1000


def fhir_server_app(*, organisation: Organisation, token: str, inbox: Path, clock: Clock = utc_now) -> Starlette:
    """Return a health board's server and pages as an ASGI app with a lifespan. `token` is what the exchange brings."""
    desk = Desk(organisation, inbox, clock, EVERY_KIND - {"later"})
    server = _Server(desk, token)
    routes = [
        Route(f"{FHIR_PATH}/metadata", server.metadata),
        Route(f"{FHIR_PATH}/Patient/_search", server.search, methods=["POST"]),
        Route(f"{FHIR_PATH}/Patient/{{identity}}", server.read, methods=["GET"]),
        Route(f"{FHIR_PATH}/Patient/{{identity}}", server.patch, methods=["PATCH"]),
    ]
    return desk_app(desk, routes, server.restored)


class _Server:
    def __init__(self, desk: Desk, token: str) -> None:
        self._desk = desk
        self._token = token.encode()
        self._patients = Patients()
        self._writing = asyncio.Lock()
        self._patching: OrderedDict[str, Behaviour] = OrderedDict()

    @asynccontextmanager
    async def restored(self) -> AsyncIterator[None]:
        after = 0
        while entries := await self._desk.inbox.entries(before=None, after=after, limit=PAGE):
            for entry in entries:
                patient = self._patients.find(entry.subject)
                if patient is not None:
                    self._patients.put(self._patients.after(patient, json.loads(entry.data)["patch"]))
            after = entries[-1].position
        yield

    async def metadata(self, _request: Request) -> Response:
        """Answer the capabilities interaction (FHIR R4, section 3.1.0.13)."""
        return _resource(
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": "2026-01-01",
                "kind": "instance",
                "implementation": {"description": "A sample server: everybody in it is invented"},
                "fhirVersion": "4.0.1",
                "format": ["json"],
                "patchFormat": ["application/json-patch+json"],
                "rest": [
                    {
                        "mode": "server",
                        "resource": [
                            {
                                "type": "Patient",
                                "interaction": [{"code": code} for code in ("read", "search-type", "patch")],
                                "versioning": "versioned-update",
                                "searchParam": [
                                    {"name": "identifier", "type": "token"},
                                    {"name": "birthdate", "type": "date"},
                                ],
                            }
                        ],
                    }
                ],
            }
        )

    async def search(self, request: Request) -> Response:
        if refused := self._not_let_in(request):
            return refused
        body = await body_of(request, LARGEST_BODY)
        try:
            form = parse_qs(body.decode(), max_num_fields=MOST_FIELDS)
        except ValueError:
            return _outcome(400, "invalid", "the body is no form")
        system, bar, value = form.get("identifier", [""])[0].partition("|")
        if not bar or not value:
            return _outcome(400, "required", "search by identifier, system|value")
        behaviour = self._desk.conduct.next()
        match behaviour.behaviour:
            case "failing":
                wait = {} if behaviour.retry_after is None else {"Retry-After": str(behaviour.retry_after)}
                return _outcome(behaviour.status, "transient", "told to fail", wait)
            case "silent":
                await until_they_leave(request)
                return _outcome(503, "timeout", "told not to answer")
        found: Sequence[Patient] = self._patients.search(system, value, form.get("birthdate", [None])[0])
        match behaviour.behaviour:
            case "not_matched":
                found = []
            case "must_review":
                found = [{**one, "active": False} for one in found]
            case "slow" | "refusing":
                self._remember(request.headers.get("x-request-id", ""), behaviour)
        return _resource(
            {
                "resourceType": "Bundle",
                "type": "searchset",
                "total": len(found),
                "entry": [{"resource": one, "search": {"mode": "match"}} for one in found],
            }
        )

    async def read(self, request: Request) -> Response:
        if refused := self._not_let_in(request):
            return refused
        patient = self._patients.find(request.path_params["identity"])
        return _outcome(404, "not-found", "no such Patient") if patient is None else _versioned(patient)

    async def patch(self, request: Request) -> Response:
        """Apply a JSON Patch under the version in `If-Match`; answered once it is durable."""
        if refused := self._not_let_in(request):
            return refused
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json-patch+json":
            return _outcome(415, "not-supported", "send application/json-patch+json")
        body = await body_of(request, LARGEST_BODY)
        try:
            operations = json.loads(body)
            data = {"requestId": request.headers.get("x-request-id", "")[:64], "patch": operations}
            told = canonical(data)
        except (ValueError, TypeError, RecursionError):
            return _outcome(400, "invalid", "the body is no JSON, or holds a number that is not whole")
        if _depth(operations) > DEEPEST:
            return _outcome(400, "too-costly", "the body is nested too deep")
        behaviour = self._patching.pop(data["requestId"], Behaviour())
        if behaviour.behaviour == "refusing":
            return _outcome(422, "business-rule", "told to refuse")
        async with self._writing:
            patient = self._patients.find(request.path_params["identity"])
            if patient is None:
                return _outcome(404, "not-found", "no such Patient")
            if request.headers.get("if-match") != _tag(patient):
                return _outcome(412, "conflict", "If-Match is not the version there is")
            try:
                changed = self._patients.after(patient, operations)
            except NotApplicable as fault:
                return _outcome(422, "invalid", str(fault))
            await self._desk.inbox.take(self._arrival(patient, told))
            self._patients.put(changed)
        if behaviour.behaviour == "slow":
            await until_they_leave(request, behaviour.seconds)
        minimal = "return=minimal" in request.headers.get("prefer", "")
        return Response(status_code=200, headers={"ETag": _tag(changed)}) if minimal else _versioned(changed)

    def _arrival(self, patient: Patient, told: bytes) -> Arrival:
        now = self._desk.clock()
        identifier = f"{patient['id']}-{patient['meta']['versionId']}"
        event = Event(identifier, "PATCH Patient", patient["id"], None, now.isoformat(), "", told)
        return Arrival(event, identifier, Outcome.APPLIED, now)

    def _not_let_in(self, request: Request) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self._token):
            return None
        self._desk.turn_away("a request: its bearer token is not ours")
        return _outcome(401, "login", "bring the bearer token", {"WWW-Authenticate": "Bearer"})

    def _remember(self, request_id: str, behaviour: Behaviour) -> None:
        self._patching[request_id] = behaviour
        while len(self._patching) > MOST_REMEMBERED:
            self._patching.popitem(last=False)


def _depth(value: Any) -> int:
    """Return how deep lists and objects are nested; without recursion, as that is what it guards against."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [below for one in level for below in (one.values() if isinstance(one, dict) else one)]
    return depth


def _tag(patient: Patient) -> str:
    return f'W/"{patient["meta"]["versionId"]}"'


def _versioned(patient: Patient) -> Response:
    return _resource(patient, headers={"ETag": _tag(patient)})


def _outcome(status: int, code: str, says: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an OperationOutcome; `code` is of FHIR's issue types."""
    issue = {"severity": "error", "code": code, "diagnostics": says}
    return _resource({"resourceType": "OperationOutcome", "issue": [issue]}, status, headers)


def _resource(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False).encode()
    return Response(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)
