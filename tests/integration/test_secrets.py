"""A secret of an organisation in production: sealed at once, in force by two people, and nothing sent meanwhile."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.audit.proposals import on_proposals
from broker.register import proposing, reading
from broker.register.entrusting import EntrustedSecret, entrusted
from broker.register.reading import Faulty
from broker.store import Database, operations, proposals, register
from broker.store.keys import Sealed
from broker.store.proposals import NoLongerFits, Proposal
from broker.vault import RootKeyFile, Vault
from contracts.examples import ORGANISATION

OLWEN, RHYS = "staff:olwen", "staff:rhys"
SIGNING, PREVIOUS = "webhook:cardiff:signing", "webhook:cardiff:signing-previous"


@pytest.fixture
async def known(database: Database) -> Database:
    await register.put_organisation(database, ORGANISATION)
    return database


@pytest.fixture
async def vault(known: Database, tmp_path: Path) -> Vault:
    return await Vault.open(known, RootKeyFile.open(tmp_path / "root.key"))


async def proposed(database: Database, sealed: Sealed, name: str = "signing") -> Proposal:
    at = datetime.now(UTC)
    leaves, document = on_proposals("command-line", at), entrusted("cardiff", name, sealed)
    return await proposing.propose(database, document, "command-line", at, leaves, counts=False, sealed=sealed)


async def approved(database: Database, proposal: Proposal, *people: str) -> list[bool]:
    at = datetime.now(UTC)
    return [
        await proposing.approve(database, proposal.id, one, at, on_proposals(one, at))
        for one in people or (OLWEN, RHYS)
    ]


async def sealed_there(database: Database) -> int:
    async with database.connection() as connection:
        found: int = await connection.fetchval("SELECT count(*) FROM proposed_secret")
        return found


async def paused(database: Database) -> bool:
    return (await register.configuration(database)).organisations["cardiff"].paused


async def test_a_secret_comes_into_force_by_two_people_and_nothing_is_sent_until_then(
    known: Database, vault: Vault
) -> None:
    await vault.entrust(SIGNING, b"before")
    proposal = await proposed(known, vault.sealed(SIGNING, b"hunter2"))
    assert proposal.pauses
    assert await paused(known)
    assert await approved(known, proposal, OLWEN) == [False]
    assert await vault.find(SIGNING) == b"before"
    version = await register.version(known)
    assert await approved(known, proposal, RHYS) == [True]
    assert await vault.find(SIGNING) == b"hunter2"
    assert await register.version(known) > version, "adapters are made anew"
    assert not await paused(known)
    assert await sealed_there(known) == 0
    said = repr((await operations.acts(known, 10), await proposals.find(known, proposal.id)))
    assert "hunter2" not in said


async def test_one_who_rejects_leaves_nothing_of_it(known: Database, vault: Vault) -> None:
    await vault.entrust(SIGNING, b"before")
    proposal = await proposed(known, vault.sealed(SIGNING, b"hunter2"))
    assert await sealed_there(known) == 1
    at = datetime.now(UTC)
    leaves = on_proposals(RHYS, at, reason="document_wrong", note="INC-1")
    await proposing.reject(known, proposal.id, RHYS, at, "document_wrong", "INC-1", leaves)
    assert (await sealed_there(known), await vault.find(SIGNING), await paused(known)) == (0, b"before", False)


async def test_secrets_change_over_with_both_there(known: Database, vault: Vault) -> None:
    await approved(known, await proposed(known, vault.sealed(SIGNING, b"old")))
    beside = await proposed(known, vault.sealed(PREVIOUS, b"old"), "signing-previous")
    fresh = await proposed(known, vault.sealed(SIGNING, b"new"))
    await approved(known, beside)
    assert await paused(known), "another still waits"
    await approved(known, fresh)
    assert (await vault.find(SIGNING), await vault.find(PREVIOUS)) == (b"new", b"old")
    assert not await paused(known)


async def test_of_two_for_one_name_the_second_is_proposed_anew(known: Database, vault: Vault) -> None:
    first, second = [await proposed(known, vault.sealed(SIGNING, value)) for value in (b"one", b"two")]
    await approved(known, first)
    with pytest.raises(NoLongerFits):
        await approved(known, second)
    assert await vault.find(SIGNING) == b"one"


async def test_only_the_bytes_that_were_proposed_come_into_force(known: Database, vault: Vault) -> None:
    proposal = await proposed(known, vault.sealed(SIGNING, b"approved"))
    async with known.connection() as connection:
        await connection.execute("UPDATE proposed_secret SET wrapped = $1", vault.sealed(SIGNING, b"other").wrapped)
    with pytest.raises(NoLongerFits):
        await approved(known, proposal)
    assert await vault.find(SIGNING) is None


async def test_what_its_adapter_does_not_take_is_not_proposed(known: Database, vault: Vault) -> None:
    with pytest.raises(Faulty) as refused:
        await proposed(known, vault.sealed("webhook:cardiff:ssh-key", b"hunter2"), "ssh-key")
    assert [(one.pointer, one.code) for one in refused.value.faults] == [("/name", "secret_other")]


def test_a_document_that_is_pasted_is_never_a_secret() -> None:
    pasted = EntrustedSecret(organisation="cardiff", name="signing", sealed=hashlib.sha256(b"").hexdigest())
    assert reading.kind_of(pasted.model_dump_json().encode()) == "body"
