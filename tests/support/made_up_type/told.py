"""Tells a change of a type that is not ours at a whole exchange of its own, and prints what became of it as JSON.

Run in a process that has the type installed: which types there are is looked up once.
"""

import asyncio
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx

from broker.api.publish import document
from broker.cli.citizen import Citizen, DidNotHappen
from broker.intake.dry_run import A_MONTH, dry_run
from broker.language import words_in
from broker.main.embedded import DEMO_CLIENT, REDIRECT, sandbox
from broker.sandbox.addresses import sample_addresses
from broker.store import register
from broker.telemetry.logs import configure_logs
from broker.verification import StoredGazetteer
from broker.web.telling.wording import told_fields
from contracts.agreement import Agreement, Share
from contracts.changes import change_types
from contracts.text import Bilingual

TYPE, COUNCIL, CARDIFF = "parking-permit", "cardiff-council", 6815
WORDS = Bilingual(cy="Enghraifft", en="Example")
AGREED = Agreement(
    id="cardiff-council.parking-permit",
    version=1,
    organisation=COUNCIL,
    title=WORDS,
    purpose=WORDS,
    lawful_basis="UK GDPR Article 6(1)(e)",
    legal_gateway="Example, not legal advice",
    change_type=TYPE,
    area=(CARDIFF,),
    shares=(
        Share(
            where="home",
            role="resident",
            paths=("/person/name", "/change/newVehicle", "/change/effectiveDate"),
            because=WORDS,
        ),
    ),
    retention_days=365,
    valid_from=date(2026, 1, 1),
    review_by=date(2030, 1, 1),
)


async def told(folder: Path) -> dict[str, Any]:
    """Return everything the test asks about, once the council has said that it applied the change."""
    configure_logs(level="ERROR", style="console")
    async with (
        sandbox(folder, first_port=None, stop=asyncio.Event(), defaults={"log_level": "ERROR"}) as running,
        Citizen(
            issuer=running.addresses.issuer,
            api=running.addresses.public_url,
            audience=running.addresses.audience,
            client_id=DEMO_CLIENT,
            key=running.state.client_key(DEMO_CLIENT),
            redirect_uri=REDIRECT.replace("127.0.0.1", "127.0.0.1:49152"),
        ) as citizen,
    ):
        await register.put_agreement(running.rooms.database, AGREED)
        await running.rooms.directory.refresh()
        await citizen.sign_in("sian")
        home = next(one for one in sample_addresses() if one.custodian_code == CARDIFF).address()
        change = {
            "previousVehicle": "CA26ABC",
            "newVehicle": "CA27XYZ",
            "effectiveDate": datetime.now(UTC).date().isoformat(),
            "homeAddress": home.model_dump(mode="json", exclude_none=True),
        }
        asked = {"type": TYPE, "change": change}
        preview = await citizen.preview(asked)
        view = await citizen.tell(asked, preview)
        while {one.status.value for one in view.deliveries} != {"applied"}:  # the test's own limit ends a wait in vain
            await asyncio.sleep(0.05)
            view = await citizen.follow(view.reference)
        rooms, now = running.rooms, datetime.now(UTC)
        gazetteer = StoredGazetteer(rooms.database)
        tried = await dry_run(rooms.database, rooms.vault, gazetteer, AGREED, now - A_MONTH, now, b"{}")
        async with httpx.AsyncClient(trust_env=False) as client:
            inbox = (await client.get(f"{running.addresses.organisation(COUNCIL)}/inbox.json")).json()
        try:
            await citizen.preview({"type": TYPE, "change": change | {"newVehicle": "CA26ABC"}})
            refused = ""
        except DidNotHappen as wrong:
            refused = str(wrong)
    [recipient] = preview.recipients
    return {
        "types": list(change_types()),
        "data": recipient.data,
        "said": {language: told_fields({"change": change}, words_in(language))[0] for language in ("cy", "en")},
        "title": words_in("cy")(f"change-title-{view.type}"),
        "statuses": {one.organisation: one.status.value for one in view.deliveries},
        "arrived": [event["type"] for event in inbox["events"]],
        "described": sorted(document()["components"]["schemas"]["PreviewRequest"]["discriminator"]["mapping"]),
        "refused": refused,
        "tried": (tried.looked_at, tried.told),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(told(Path(sys.argv[1])))))  # noqa: T201  what it is run for
