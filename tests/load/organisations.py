"""Many organisations, each told of every move, on databases of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import asyncpg

from broker.sandbox.definitions import LAWFUL_BASIS, LEGAL_GATEWAY
from broker.store.embedded import EmbeddedPostgres
from contracts.agreement import Agreement, Share
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.text import Bilingual
from tests.load.exchange import AUDIENCE, Exchange, Orderly, Receiver, an_exchange, places

CONNECTIONS: Final = 64
PATHS: Final = ("/person/name", "/person/birthDate", "/change/newAddress", "/change/effectiveDate")


@dataclass(frozen=True, slots=True)
class Ground:
    """What every part of a run shares, and which log its exchanges go by."""

    kind: str
    home: Path
    postgres: EmbeddedPostgres
    bootstrap: str | None
    """Of the Kafka, where that is the log."""
    receiver: Receiver
    citizens: Orderly

    @asynccontextmanager
    async def exchange(self, name: str, organisations: Sequence[Organisation], **more: str) -> AsyncIterator[Exchange]:
        """Run an exchange with these organisations on a database called `name`, made anew. `more` are its settings."""
        administrator = await asyncpg.connect(self.postgres.dsn)
        try:
            await administrator.execute(f'CREATE DATABASE "{name}"')
        finally:
            await administrator.close()
        agreed = [(one, agreement(one)) for one in organisations]
        async with an_exchange(
            self.postgres.dsn_of(name), self.home / name, self.receiver, self.bootstrap, agreed
        ) as opened:
            opened.environment |= {f"UNWAITH_{key}": value for key, value in more.items()}
            yield opened

    async def sign_in(self, people: int) -> None:
        """Have so many people, and forget whoever there was."""
        old, new = places()
        await self.citizens.do(
            "mint",
            state=str(self.home / "state"),
            issuer=f"{self.receiver.url}/",
            audience=AUDIENCE,
            people=people,
            old=old,
            new=new,
        )

    async def preview(self, opened: Exchange, recipients: int, people: int | None = None) -> None:
        """Show the first so many people (all, by default) whom a move is told to; they tell from then on, there.

        The API must run.
        """
        await self.citizens.do("preview", url=opened.url, connections=CONNECTIONS, recipients=recipients, people=people)

    async def tell(self, opened: Exchange, count: int) -> None:
        """Have so many moves told, as fast as they are accepted. The API must run."""
        told = await self.citizens.do("tell", url=opened.url, connections=CONNECTIONS, count=count)
        if told["refused"]:
            raise RuntimeError(f"changes were refused: {told['refused']}")


def many(
    count: int, receiver: Receiver, policy: DeliveryPolicy, *, prefix: str, partitions: int = 1
) -> list[Organisation]:
    """Return so many organisations, called by the prefix and a number from 1; each is reached under its id."""
    return [
        Organisation(
            id=f"{prefix}-{number}",
            name=Bilingual(en=f"Sample {number}", cy=f"Sampl {number}"),
            sector="other",
            adapter="webhook",
            adapter_settings={"endpoint": f"{receiver.url}/{prefix}-{number}"},
            allowed_hosts=("127.0.0.1",),
            policy=policy,
            partitions=partitions,
        )
        for number in range(1, count + 1)
    ]


def agreement(organisation: Organisation) -> Agreement:
    """Return the agreement by which an organisation is told of every move, wherever it is."""
    words = Bilingual(en="Changes of address", cy="Newidiadau cyfeiriad")
    return Agreement(
        id=f"{organisation.id}.address",
        version=1,
        organisation=organisation.id,
        title=words,
        purpose=words,
        lawful_basis=LAWFUL_BASIS,
        legal_gateway=LEGAL_GATEWAY,
        change_type="address",
        shares=(Share(where="anywhere", role="national", paths=PATHS, because=words),),
        retention_days=365,
        valid_from=date(2026, 1, 1),
        review_by=date(2028, 1, 1),
    )
