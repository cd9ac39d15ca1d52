"""How quickly pages answer: citizens' at a steady rate, how much a first view takes, and the operators' one page.

People sign in as everybody does, at the sandbox's two providers, and keep their session's cookie. Rates are open: a page
is asked for when its moment has come, whether those before were answered or not, and its time counts from that moment.
"""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from broker.identity.page_policy import STAFF
from broker.main.listening import Listener
from broker.main.samples import sample_places
from broker.main.serving import serve
from broker.sandbox.apps import staff_provider_app
from broker.sandbox.clients import Client
from broker.sandbox.people import SAMPLE_PEOPLE
from broker.sandbox.provider import provider_app
from broker.sandbox.state import SandboxState
from broker.store import Database, register
from tests.load.exchange import AUDIENCE, DidNotRun, Exchange, Receiver, an_exchange
from tests.load.figures import Figure, percentile
from tests.support.guest import Guest, a_guest

RATE = 50.0
"""Citizens' pages a second."""
GUESTS = 24
CITIZEN_P95_GOAL, OPERATOR_P95_GOAL, FIRST_VIEW_GOAL = 30.0, 150.0, 50.0
CLIENT = "unwaith-pages"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a page, again and again the same."""

    path: str
    form: dict[str, str] | None = None


async def measured(dsn: str, home: Path, receiver: Receiver, *, seconds: float, name: str = "pages") -> list[Figure]:
    """Return the figures of the pages of one process, on the exchange in `dsn` with whatever it has stored."""
    async with an_exchange(dsn, home / name, receiver, None) as opened, with_pages(opened, home) as url:
        await with_addresses(dsn)
        await opened.start("api")
        async with AsyncExitStack() as guests:
            people = [await guests.enter_async_context(a_guest(url)) for _ in range(GUESTS)]
            proven = [person.key for person in SAMPLE_PEOPLE if person.proved()]
            for guest, person in zip(people, itertools.cycle(proven), strict=False):
                await at_check(guest, person)
            walks = [await walk(guest) for guest in people]
            await asked_steadily(zip(people, walks, strict=True), 2.0)
            before = opened.processor_seconds("api")
            took = await asked_steadily(zip(people, walks, strict=True), seconds)
            processor = (opened.processor_seconds("api") - before) / len(took) * 1000
            kilobytes = await first_view(people[0])
            operators = await guests.enter_async_context(a_guest(url))
            operator = await operator_page(operators, rounds=int(seconds * 10))
    return [
        Figure(f"{name}.citizen.p50", percentile(took, 0.5), "ms", "lower"),
        Figure(f"{name}.citizen.p95", percentile(took, 0.95), "ms", "lower", CITIZEN_P95_GOAL),
        Figure(f"{name}.citizen.processor", processor, "ms", "lower"),
        Figure(f"{name}.first_view", kilobytes, "KB", "lower", FIRST_VIEW_GOAL),
        Figure(f"{name}.operator.p50", percentile(operator, 0.5), "ms", "lower"),
        Figure(f"{name}.operator.p95", percentile(operator, 0.95), "ms", "lower", OPERATOR_P95_GOAL),
    ]


@asynccontextmanager
async def with_pages(opened: Exchange, home: Path) -> AsyncIterator[str]:
    """Serve both providers, tell the exchange of them, and give the address of its pages."""
    url = opened.environment["UNWAITH_PUBLIC_URL"]
    stop = asyncio.Event()
    doors = []
    for setting, folder, prefix in (("SIGN_IN", "citizens", ""), ("STAFF_SIGN_IN", "staff", STAFF)):
        door = Listener(None, HOST, 0, folder, lifespan=True)
        door.bind()
        doors.append(door)
        state, issuer = SandboxState.open(home / "providers" / folder), f"http://localhost:{door.port}/"
        client = Client(
            client_id=CLIENT,
            jwk=state.client_key(CLIENT, "RSA").as_dict(private=False),
            redirect_uris=(f"{url}{prefix}/signed-in",),
            sector="unwaith",
        )
        opened.environment |= {
            f"UNWAITH_{setting}__ISSUER": issuer,
            f"UNWAITH_{setting}__CLIENT_ID": CLIENT,
            f"UNWAITH_{setting}__CLIENT_KEY_FILE": str(state.directory / f"client-{CLIENT}-rsa.jwk"),
        }
        if prefix:
            door.app = staff_provider_app(state, issuer=issuer, clients=[client])
        else:
            door.app = provider_app(issuer=issuer, state=state, clients=[client], api_audience=AUDIENCE)
            opened.environment |= {
                "UNWAITH_SIGN_IN__PRESET": "gov-uk-one-login",
                "UNWAITH_SIGN_IN__IDENTITY__ISSUER": f"{issuer}identity/",
                "UNWAITH_SIGN_IN__IDENTITY__DID": f"did:web:localhost%3A{door.port}",
                "UNWAITH_SIGN_IN__IDENTITY__DID_URL": f"{issuer}.well-known/did.json",
            }
    serving = asyncio.create_task(serve(doors, stop))
    try:
        for door in doors:
            await door.started.wait()
        yield url
    finally:
        stop.set()
        await serving


async def with_addresses(dsn: str) -> None:
    """Put the sandbox's addresses into the gazetteer: a postcode of theirs has as many homes as a real one."""
    database = await Database.open(dsn, size=1)
    try:
        await register.put_places(database, sample_places())
    finally:
        await database.close()


MOVED = date.today() - timedelta(days=3)  # noqa: DTZ011  the day before a run is never in the future
DAY = {"date-day": str(MOVED.day), "date-month": str(MOVED.month), "date-year": str(MOVED.year)}


async def at_check(guest: Guest, person: str) -> None:
    """Sign in, tell one move, and answer everything about another."""
    for telling in (True, False):
        await guest.sign_in(person)
        await guest.fill("/change", kind="address")
        await guest.sign_in(person, prove=True)
        await guest.fill("/move/new/postcode", postcode="SA99 9AA")
        await guest.fill("/move/new/choose", uprn=await a_home(guest))
        await guest.fill("/move/previous", suggested="yes")
        await guest.fill("/move/date", **DAY)
        await guest.fill("/move/children", moved="no")
        await guest.fill("/move/private", private="no")
        await guest.fill("/move/contact", language="cy", by="none")
        await guest.fill("/move/tell", tell="transport-for-wales")
        told = await guest.fill("/move/declaration") if telling else await guest.get("/move/check")
        if told.status not in {200, 303} or "/move" in told.location:
            raise DidNotRun(f"{person} came no further than {told.location or told.status}")


async def a_home(guest: Guest) -> str:
    """Return a home to choose that is nobody's present one."""
    found = re.findall(r'name="uprn"[^>]*value="(\d+)"', (await guest.get("/move/new/choose")).html)
    return str(found[1])


async def walk(guest: Guest) -> list[Asked]:
    """Return the pages of a whole journey as they are asked for and filled in, over and over."""
    uprn = await a_home(guest)
    csrf = (await guest.get("/move/date")).page.forms[0].fields["csrf"]
    digest = (await guest.get("/move/tell")).page.forms[-1].fields["digest"]
    steps: list[tuple[str, dict[str, str] | None]] = [
        ("/", None),
        ("/change", None),
        ("/change", {"kind": "address"}),
        ("/move/new/postcode", None),
        ("/move/new/postcode", {"postcode": "SA99 9AA"}),
        ("/move/new/choose", None),
        ("/move/new/choose", {"uprn": uprn}),
        ("/move/previous", None),
        ("/move/previous", {"suggested": "yes"}),
        ("/move/date", None),
        ("/move/date", DAY),
        ("/move/children", None),
        ("/move/private", None),
        ("/move/contact", None),
        ("/move/tell", None),
        ("/move/tell", {"tell": "transport-for-wales", "digest": digest}),
        ("/move/check", None),
        ("/move/declaration", None),
        ("/changes", None),
        ("/changes/1", None),
    ]
    return [Asked(path, form and {"csrf": csrf, **form}) for path, form in steps]


async def asked_steadily(walks: Iterable[tuple[Guest, list[Asked]]], seconds: float) -> list[float]:
    """Ask for `RATE` pages a second, each person in turn for their next; return how long each took, in ms."""
    turns = itertools.cycle([(guest, itertools.cycle(pages)) for guest, pages in walks])
    took: list[float] = []

    async def ask(guest: Guest, page: Asked, due: float) -> None:
        answer = await guest.ask("POST" if page.form else "GET", page.path, page.form)
        took.append((time.perf_counter() - due) * 1000)
        if answer.status not in {200, 303} or "sign-in" in answer.location or "again=1" in answer.location:
            raise DidNotRun(f"{page.path} was answered {answer.status} {answer.location}")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        for number in range(int(seconds * RATE)):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            guest, pages = next(turns)
            asking.create_task(ask(guest, next(pages), due))
    return took


async def first_view(guest: Guest) -> float:
    """Return what somebody's browser fetches for the start page the first time, in KB (1,024 bytes), as it is sent."""
    total = 0
    headers = {"Accept-Encoding": "gzip, br"}
    async with aiohttp.ClientSession(auto_decompress=False, trust_env=False, headers=headers) as fresh:
        places, seen = ["/"], set[str]()
        while places:
            place = places.pop()
            seen.add(place)
            async with fresh.get(f"{guest.url}{place}") as answer:
                total += len(await answer.read())
            text = (await guest.get(place)).html
            found = re.findall(r'(?:href|src)="(/static/[^"]+)"', text) if place == "/" else []
            found += [f"/static/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
            places += [one for one in found if one not in seen]
    return total / 1024


async def operator_page(guest: Guest, rounds: int) -> list[float]:
    """Return how long the line takes to be shown, in ms, one after the other."""
    await guest.sign_in("rhys", prefix=STAFF)
    took: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer: Any = await guest.get(STAFF)
        took.append((time.perf_counter() - began) * 1000)
        if answer.status != 200 or "<svg" not in answer.html:
            raise DidNotRun(f"the line was answered {answer.status}")
    return took
