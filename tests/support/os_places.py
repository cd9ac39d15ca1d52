"""A peer that answers as the documentation of OS Places says, with the sandbox's INVENTED addresses.

What is documented: `docs.os.uk`, OS Places API (find, postcode, uprn), authentication, error codes, rate limits.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from broker.language.address_words import words_of
from broker.sandbox.addresses import SampleAddress, sample_addresses

KEY: Final = "invented-key"
SECRET: Final = "invented-secret"
TOKEN: Final = "invented-token"


@dataclass
class Peer:
    """The peer, and what is wrong with it."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers of each request."""
    limit: int = 600
    status: int | None = None
    """What it answers instead."""
    body: bytes | None = None
    """What it says instead."""
    tokens: int = 0
    """How many it has given; only the last is good."""
    spoil: dict[str, Any] = field(default_factory=dict)
    """What it says in each result instead."""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path_qs, {name.lower(): value for name, value in request.headers.items()}))
        if self.status is not None:
            return web.Response(status=self.status, text="out of order")
        if not (
            request.headers.get("key") == KEY or request.headers.get("authorization") == f"Bearer {TOKEN}{self.tokens}"
        ):
            return web.json_response({"error": {"statuscode": 401}}, status=401)
        if len(self.asked) > self.limit:
            return web.json_response({"fault": {"faultstring": "Rate limit quota violation."}}, status=429)
        if self.body is not None:
            return web.Response(body=self.body, content_type="application/json")
        found = self._found(request.match_info["resource"], request.query)
        if found is None:
            return web.json_response({"error": {"statuscode": 400, "message": "Requested postcode must …"}}, status=400)
        first, most = int(request.query.get("offset", "0")), int(request.query.get("maxresults", "100"))
        page = [{kind: {**said, **self.spoil}} for kind, said in found[first : first + most]]
        header = {"uri": str(request.rel_url), "totalresults": len(found), "offset": first, "lr": "EN,CY"}
        return web.json_response({"header": header, **({"results": page} if page else {})})

    def _found(self, resource: str, query: Any) -> list[tuple[str, dict[str, Any]]] | None:
        homes = sample_addresses()
        if resource == "postcode":
            code = query["postcode"].replace(" ", "").upper()
            if len(code) < 5:
                return None
            homes = [home for home in homes if home.postal_code.replace(" ", "") == code]
        elif resource == "uprn":
            homes = [home for home in homes if str(home.uprn) == query["uprn"]]
        else:
            said = set(words_of(query["query"]))
            homes = [home for home in homes if said <= set(words_of(_line(home)))]
        return [result for home in homes for result in (("DPA", _dpa(home)), ("LPI", _lpi(home)))]

    async def token(self, request: web.Request) -> web.Response:
        pair = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        form = await request.post()
        if request.headers.get("authorization") != f"Basic {pair}" or form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens += 1
        given = {"access_token": f"{TOKEN}{self.tokens}", "expires_in": "299", "issued_at": "1", "token_type": "Bearer"}
        return web.json_response(given)


@asynccontextmanager
async def a_peer() -> AsyncIterator[Peer]:
    peer = Peer()
    app = web.Application()
    app.router.add_get("/search/places/v1/{resource}", peer.answer)
    app.router.add_post("/oauth2/token/v1", peer.token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield peer
    finally:
        await runner.cleanup()


def _line(home: SampleAddress) -> str:
    parts = (
        home.sub_building_name,
        home.building_name,
        home.building_number,
        home.street_name,
        home.dependent_address_locality,
        home.address_locality,
    )
    return ", ".join(part for part in parts if part)


def _dpa(home: SampleAddress) -> dict[str, Any]:
    said = {
        "UPRN": str(home.uprn),
        "UDPRN": "0",
        "ADDRESS": f"{_line(home)}, {home.postal_code}".upper(),
        "SUB_BUILDING_NAME": home.sub_building_name,
        "BUILDING_NAME": home.building_name,
        "BUILDING_NUMBER": home.building_number,
        "THOROUGHFARE_NAME": home.street_name,
        "DEPENDENT_LOCALITY": home.dependent_address_locality,
        "POST_TOWN": home.address_locality,
        "POSTCODE": home.postal_code,
        "RPC": "1",
        "STATUS": "APPROVED",
        "LOGICAL_STATUS_CODE": "1",
        "LOCAL_CUSTODIAN_CODE": home.custodian_code,
        "COUNTRY_CODE": "W",
        "LANGUAGE": home.language.upper(),
        "MATCH": 1.0,
        "MATCH_DESCRIPTION": "EXACT",
    }
    return {
        name: value.upper() if isinstance(value, str) else value for name, value in said.items() if value is not None
    }


def _lpi(home: SampleAddress) -> dict[str, Any]:
    digits = "".join(one for one in home.building_number or "" if one.isdigit())
    said = {
        "UPRN": str(home.uprn),
        "LPI_KEY": f"{home.custodian_code}L000000001",
        "SAO_TEXT": home.sub_building_name,
        "PAO_TEXT": home.building_name,
        "PAO_START_NUMBER": digits or None,
        "PAO_START_SUFFIX": (home.building_number or "")[len(digits) :] or None,
        "STREET_DESCRIPTION": home.street_name,
        "LOCALITY_NAME": home.dependent_address_locality,
        "TOWN_NAME": home.address_locality,
        "POSTCODE_LOCATOR": home.postal_code,
        "LOCAL_CUSTODIAN_CODE": home.custodian_code,
        "LPI_LOGICAL_STATUS_CODE": "1",
        "POSTAL_ADDRESS_CODE": "D",
        "LANGUAGE": home.language.upper(),
        "MATCH": 1.0,
    }
    return {
        name: value.upper() if isinstance(value, str) else value for name, value in said.items() if value is not None
    }
