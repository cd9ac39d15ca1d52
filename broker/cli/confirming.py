"""Those who confirm what people have told: staff at their pages, as a browser would, and a registrar's software."""

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urljoin

import httpx
import httpx2

from broker.cli.citizen import DidNotHappen
from broker.main.embedded import Addresses
from broker.sandbox.exchange_access import AccessTokens, ExchangeAccess
from broker.sandbox.state import SandboxState

CASEWORKER: Final = "tegid"
"""Of the sample staff, one who may decide on what is held."""
REGISTRAR: Final = "cardiff-council"
"""Whose software confirms deaths here: councils keep the registers."""
_WHY: Final = {"reveal": "evidence", "release": "evidence_agrees"}


async def staff_release(addresses: Addresses, reference: str) -> None:
    """Sign in as a caseworker, look at what was told under this reference, and release it. Raises DidNotHappen."""
    async with httpx2.AsyncClient(base_url=addresses.public_url, trust_env=False, timeout=10.0) as browser:
        asked = await browser.get("/staff/sign-in")
        place = str(asked.headers.get("location", ""))
        page = await browser.get(place)
        chosen = {**_hidden(page.text, "ticket"), "person": CASEWORKER, "answer": "sign-in"}
        answer = await browser.post(urljoin(place, "/choose"), data=chosen)
        await browser.get(urljoin(place, str(answer.headers.get("location", ""))))
        queue = (await browser.get("/staff/holds")).text
        for path in dict.fromkeys(re.findall(r'href="(/staff/holds/[0-9a-f-]+)"', queue)):
            if reference in (await browser.get(path)).text:
                break
        else:
            raise DidNotHappen(f"{reference} is not among what waits for a decision of staff's")
        for step, why in _WHY.items():
            form = {**_hidden((await browser.get(path)).text, "csrf"), "reason": why, "note": "DEMO-1"}
            done = await browser.post(f"{path}/{step}", data=form)
            if done.status_code != httpx2.codes.SEE_OTHER:
                raise DidNotHappen(f"staff could not {step} what is held (HTTP {done.status_code})")


def _hidden(page: str, name: str) -> Mapping[str, str]:
    """Return a hidden field of a page's form. Raises DidNotHappen where it has none."""
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    if found is None:
        raise DidNotHappen(f"a page that should have a form has none with {name}")
    return {name: html.unescape(found[1])}


async def registrar_confirms(addresses: Addresses, state: SandboxState, registration: str, died_on: str) -> None:
    """Say as a registrar that a death is registered under this number, and its day. Raises DidNotHappen."""
    access = ExchangeAccess(
        token_url=f"{addresses.public_url}/oauth/token",
        receipts_url=f"{addresses.public_url}/v1/receipts",
        client_id=REGISTRAR,
        key=state.client_key(REGISTRAR),
    )
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        tokens = AccessTokens(access, client, lambda: datetime.now(UTC))
        answer = await client.post(
            f"{addresses.public_url}/v1/confirmations",
            json={"registrationReference": registration, "deathDate": died_on},
            headers=await tokens.header(),
        )
    if answer.status_code != httpx.codes.ACCEPTED:
        raise DidNotHappen(f"the registrar's confirmation was answered {answer.status_code}")
