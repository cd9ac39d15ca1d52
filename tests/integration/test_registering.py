"""An operator's commands on the register, on a real database: all or nothing, and never a value in what is said."""

import asyncio
import importlib
import json
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner

from adapters.conformance_tls import certificate_of
from broker.cli.commands import app
from broker.cli.operating import ACTOR
from broker.cli.registering import read_registration
from broker.settings import load
from broker.store import Database, operations, register
from broker.vault import RootKeyFile, Vault
from contracts.publishing import PUBLISHED

EXAMPLE = PUBLISHED / "examples" / "registration.json"
HOST_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
CLIENT = json.loads(EXAMPLE.read_text())["clients"][0]
SFTP = {"host": "files.cardiff.example", "user": "unwaith", "hostKeys": ["ssh-ed25519 " + HOST_KEY], "folder": "in"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the published example of Standard Webhooks


@pytest.fixture
def settings(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root.key"
    for room in (
        "agreements",
        "dry_running",
        "organisations",
        "registering",
        "doctor",
        "keys",
        "workers",
    ):  # the runner's output is closed afterwards, and other tests log on
        monkeypatch.setattr(f"broker.cli.{room}.configure_logs", lambda **_: None)
    for name, value in {
        "UNWAITH_ENVIRONMENT": "test",
        "UNWAITH_LOG": "postgres",
        "UNWAITH_DATABASE_DSN": dsn,
        "UNWAITH_ROOT_KEY_FILE": str(root),
    }.items():
        monkeypatch.setenv(name, value)
    return root


def unwaith(*words: str, told: str = "") -> Any:
    return CliRunner().invoke(app, list(words), input=told)


def changed(tmp_path: Path, **changes: Any) -> str:
    document = json.loads(EXAMPLE.read_text()) | changes
    file = tmp_path / "registration.json"
    file.write_text(json.dumps(document))
    return str(file)


async def known(dsn: str) -> register.Configuration:
    database = await Database.open(dsn)
    try:
        return await register.configuration(database)
    finally:
        await database.close()


def run_known(dsn: str) -> register.Configuration:
    return asyncio.run(known(dsn))


def test_the_published_example_registers_and_again_changes_nothing(settings: Path, dsn: str, tmp_path: Path) -> None:
    agreement = json.loads(EXAMPLE.read_text())["agreements"][0] | {"reviewBy": "2999-01-01"}
    for _ in range(2):
        done = unwaith("register", changed(tmp_path, agreements=[agreement]))
        assert done.exit_code == 0, done.output
    found = run_known(dsn)
    assert set(found.organisations) == {"cardiff"}
    assert [item.id for item in found.agreements] == ["cardiff-council-tax"]
    assert unwaith("doctor", "--json").exit_code == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"organisations": [{"id": "Not An Id"}]},
        {"surprise": []},
        {"organisations": []},  # the agreement and the client then name nobody
        {"clients": [{**CLIENT, "organisation": "stranger"}]},
        {"clients": [{"clientId": "a", "organisation": "cardiff", "jwks": {"keys": []}, "scopes": ["receipts:write"]}]},
        {"clients": [{"clientId": "a", "organisation": "cardiff", "jwks": {}, "scopes": ["everything"]}]},
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_half_done(
    wrong: dict[str, Any], settings: Path, dsn: str, tmp_path: Path
) -> None:
    done = unwaith("register", changed(tmp_path, **wrong))
    assert done.exit_code == 1
    assert done.stderr
    assert run_known(dsn).organisations == {}


@pytest.mark.parametrize(
    ("adapter", "adapter_settings", "says_what"),
    [
        ("pigeon", {}, "organisation cardiff: adapter: must be one of"),
        ("webhook", {}, "organisation cardiff: adapter setting endpoint: Field required"),
        ("webhook", {"endpoint": "https://h.example/", "hunter2": 1}, "adapter setting hunter2"),
        ("webhook", {"endpoint": "ftp://hunter2.example/"}, "adapter setting endpoint"),
        ("sftp", {**SFTP, "hostKeys": ["hunter2"]}, "adapter setting host_keys"),
        ("fhir", {"base": "https://fhir.example/", "hunter2": 1}, "adapter setting"),
        ("hl7v2", {"host": "hunter2.example"}, "adapter setting port"),
    ],
)
def test_an_adapter_or_settings_that_cannot_be_are_said_before_anything_is_stored(
    adapter: str, adapter_settings: dict[str, Any], says_what: str, settings: Path, dsn: str, tmp_path: Path
) -> None:
    named = {"adapter": adapter, "adapterSettings": adapter_settings}
    organisation = json.loads(EXAMPLE.read_text())["organisations"][0] | named
    done = unwaith("register", changed(tmp_path, organisations=[organisation]))
    assert done.exit_code == 1
    assert says_what in " ".join(done.stderr.split())
    assert "=hunter2" not in done.output
    assert "hunter2.example" not in done.output
    assert run_known(dsn).organisations == {}


def test_a_secret_for_an_adapter_that_is_not_installed_here_is_refused_in_words(settings: Path, dsn: str) -> None:
    unwaith("register", str(EXAMPLE))

    async def elsewhere() -> None:
        database = await Database.open(dsn)
        try:
            found = (await register.configuration(database)).organisations["cardiff"]
            await register.put_organisation(database, found.model_copy(update={"adapter": "pigeon"}))
        finally:
            await database.close()

    asyncio.run(elsewhere())
    refused = unwaith("secret", "cardiff", told=SECRET)
    assert refused.exit_code == 1
    assert "adapter: must be one of" in refused.output
    assert "Traceback" not in refused.output


def test_a_private_key_is_refused_without_repeating_it() -> None:
    document = json.loads(EXAMPLE.read_text())
    document["clients"][0]["jwks"]["keys"][0]["d"] = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
    with pytest.raises(ValueError, match="no private one") as refused:
        read_registration(json.dumps(document).encode())
    assert "870MB6" not in str(refused.value)


def test_a_secret_is_one_its_adapter_asks_for(settings: Path, dsn: str, tmp_path: Path) -> None:
    organisation = json.loads(EXAMPLE.read_text())["organisations"][0] | {"adapter": "sftp", "adapterSettings": SFTP}
    assert unwaith("register", changed(tmp_path, organisations=[organisation])).exit_code == 0
    refused = unwaith("secret", "cardiff", told=SECRET)
    assert refused.exit_code == 1
    assert "ssh-key, ssh-key-previous" in refused.output
    assert unwaith("secret", "cardiff", "ssh-key", told="").exit_code == 1
    assert unwaith("secret", "cardiff", "ssh-key", told="x" * 16_385).exit_code == 1
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEA" * 150
    assert unwaith("secret", "cardiff", "ssh-key", told=key).exit_code == 0


def test_a_secret_goes_in_by_standard_input_and_only_the_vault_has_it(settings: Path, dsn: str) -> None:
    unwaith("register", str(EXAMPLE))
    refused = unwaith("secret", "cardiff", told="not a secret of that form")
    assert refused.exit_code == 1
    assert "not a secret of" not in refused.output
    assert unwaith("secret", "nobody", told=SECRET).exit_code == 1
    done = unwaith("secret", "cardiff", told=SECRET + "\n")
    assert done.exit_code == 0, done.output

    async def held() -> tuple[bytes | None, bytes]:
        database = await Database.open(dsn)
        try:
            vault = await Vault.open(database, RootKeyFile.open(settings))
            async with database.connection() as connection:
                wrapped = await connection.fetchval("SELECT wrapped FROM secret WHERE name LIKE 'webhook:%'")
            return await vault.find("webhook:cardiff:signing"), wrapped
        finally:
            await database.close()

    opened, wrapped = asyncio.run(held())
    assert opened == SECRET.encode()
    assert SECRET.encode() not in wrapped


def test_in_production_a_secret_waits_for_two_people(settings: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unwaith("register", str(EXAMPLE))
    place, known_settings = importlib.import_module("broker.cli.registering"), load()
    given = {"root_key_file": known_settings.root_key_file, "database_dsn": known_settings.database_dsn}
    monkeypatch.setattr(place, "load", lambda: SimpleNamespace(production=True, **given))
    assert unwaith("secret", "cardiff", "ssh-key", told=SECRET).exit_code == 1
    done = unwaith("secret", "cardiff", told=SECRET)
    assert done.exit_code == 0, done.output
    assert "Two people must approve it" in done.output
    assert SECRET not in done.output
    [waiting] = json.loads(unwaith("agreements", "list", "--json").stdout)["proposals"]
    assert (waiting["kind"], waiting["id"], waiting["approvals"]) == ("secret", "cardiff/signing", 0)

    async def held() -> tuple[bytes | None, bytes]:
        database = await Database.open(dsn)
        try:
            vault = await Vault.open(database, RootKeyFile.open(settings))
            async with database.connection() as connection:
                wrapped = await connection.fetchval("SELECT wrapped FROM proposed_secret")
            return await vault.find("webhook:cardiff:signing"), wrapped
        finally:
            await database.close()

    in_force, sealed = asyncio.run(held())
    assert in_force is None
    assert SECRET.encode() not in sealed
    assert run_known(dsn).organisations["cardiff"].paused


def test_a_certificate_is_looked_at_before_it_is_kept(settings: Path) -> None:
    unwaith("register", str(EXAMPLE))
    authority = trustme.CA()
    now = datetime.now(UTC)
    for pem, says_what in (
        ("hunter2", "must be PEM"),
        (certificate_of(authority, not_after=now - timedelta(days=1)), "has expired"),
    ):
        refused = unwaith("secret", "cardiff", "client-certificate", told=pem)
        assert refused.exit_code == 1
        assert says_what in " ".join(refused.stderr.split())
        assert "hunter2" not in refused.output
    kept = unwaith("secret", "cardiff", "client-certificate", told=certificate_of(authority))
    assert kept.exit_code == 0, kept.output


def test_pause_and_resume_say_whether_anything_changed(settings: Path) -> None:
    unwaith("register", str(EXAMPLE))
    assert [
        unwaith(*words).exit_code
        for words in (
            ("pause", "cardiff"),
            ("pause", "cardiff"),
            ("resume", "cardiff"),
            ("resume", "cardiff"),
            ("pause", "nobody"),
        )
    ] == [0, 1, 0, 1, 1]


def test_a_version_is_revoked_once(settings: Path, dsn: str) -> None:
    unwaith("register", str(EXAMPLE))
    assert [unwaith("revoke", "cardiff-council-tax", version).exit_code for version in ("1", "1", "2")] == [0, 1, 1]
    assert [item.revoked for item in run_known(dsn).agreements] == [True]


def test_in_production_what_is_registered_waits_for_two_people(
    settings: Path, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("registering", "agreements"):
        read = importlib.import_module(f"broker.cli.{room}")
        if hasattr(read, "load"):
            monkeypatch.setattr(read, "load", lambda: SimpleNamespace(production=True))
    document = json.loads(EXAMPLE.read_text())
    document["agreements"][0] |= {"reviewBy": "2999-01-01"}
    done = unwaith("register", changed(tmp_path, **document))
    assert done.exit_code == 0, done.output
    assert "Two people must approve each" in done.output
    assert run_known(dsn).organisations == {}
    listed = json.loads(unwaith("agreements", "list", "--json").stdout)
    assert {item["by"] for item in listed["proposals"]} == {ACTOR}
    assert [(item["kind"], item["approvals"]) for item in listed["proposals"]] == [
        ("organisation", 0),
        ("client", 0),
        ("agreement", 0),
    ]
    document["agreements"][0] |= {"area": [1]}
    refused = unwaith("register", changed(tmp_path, **document))
    assert refused.exit_code == 1
    assert "/cardiff-council-tax/area/0: is no local custodian code of Wales" in refused.stderr
    assert len(json.loads(unwaith("agreements", "list", "--json").stdout)["proposals"]) == 3


def test_an_agreement_is_proposed_from_a_file_and_exported(settings: Path, dsn: str, tmp_path: Path) -> None:
    unwaith("register", str(EXAMPLE))
    file = tmp_path / "agreement.json"
    agreement = json.loads(EXAMPLE.read_text())["agreements"][0] | {"version": 2, "reviewBy": "2999-01-01"}
    file.write_text(json.dumps(agreement | {"retentionDays": "hunter2"}))
    refused = unwaith("agreements", "propose", str(file))
    assert refused.exit_code == 1
    assert "/retentionDays: is not valid" in refused.stderr
    assert "hunter2" not in refused.output
    file.write_text(json.dumps(agreement))
    assert unwaith("agreements", "propose", str(file)).exit_code == 0
    tried = unwaith("agreements", "dry-run", str(file), "--json")
    assert tried.exit_code == 0, tried.output
    assert json.loads(tried.stdout)["looked_at"] == 0
    exported = unwaith("agreements", "export", "cardiff-council-tax", "--language", "cy")
    assert "# Treth gyngor: symud tŷ" in exported.stdout
    assert "fersiwn 1" in exported.stdout, "what is only proposed is not in force"
    assert unwaith("agreements", "export", "cardiff-council-tax", "2").exit_code == 1
    assert unwaith("revoke", "cardiff-council-tax", "1", "--reason", "hunter2").exit_code == 2


def test_an_agreement_that_should_have_been_reviewed_is_told_by_the_doctor(settings: Path, tmp_path: Path) -> None:
    agreement = json.loads(EXAMPLE.read_text())["agreements"][0] | {"reviewBy": "2026-01-02"}
    unwaith("register", changed(tmp_path, agreements=[agreement]))
    examined = unwaith("doctor", "--json")
    assert examined.exit_code == 1
    wrong = json.loads(examined.stdout)["wrong"]
    assert wrong == ["agreement cardiff-council-tax: it should have been reviewed by now"]


def test_keys_are_dated_by_the_stores_clock_and_not_by_that_of_whoever_rotates_them(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rotated(days: int) -> int:
        """Rotate on a machine whose clock is wrong by so many days."""

        class Wrong(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(days=days)

        with monkeypatch.context() as there:
            there.setattr("broker.main.rooms.datetime", Wrong)
            done: int = unwaith("keys", "rotate", "message-signatures").exit_code
        return done

    def shown() -> list[tuple[str, bool]]:
        said: list[dict[str, Any]] = json.loads(unwaith("keys", "list", "--json").stdout)
        ours = [key for key in said if key["purpose"] == "message-signatures"]
        return [(key["kid"], key["signsNow"]) for key in ours]

    [(first, _)] = shown()
    assert rotated(-8) == 0
    after = shown()
    assert (after[0], after[1][1]) == ((first, True), False), "nobody has met the next yet"
    assert rotated(8) == 1, "the newest do not sign yet"
    assert shown() == after, "what still signs is not withdrawn"


def test_who_there_is_and_every_version_of_one(settings: Path, tmp_path: Path) -> None:
    unwaith("register", str(EXAMPLE))
    document = json.loads(EXAMPLE.read_text())["organisations"][0]
    moved = document | {"adapterSettings": document["adapterSettings"] | {"endpoint": "https://new.cardiff.example/"}}
    unwaith("register", changed(tmp_path, organisations=[moved]))
    listed = json.loads(unwaith("organisations", "list", "--json").stdout)
    assert len(listed) == 29, "22 councils and 7 health boards; Cardiff's is the one connected"
    assert [item["id"] for item in listed if item["adapter"]] == ["cardiff"]
    shown = unwaith("organisations", "versions", "cardiff").stdout
    assert shown.index("Version 2") < shown.index("https://new.cardiff.example/") < shown.index("Version 1")
    assert unwaith("organisations", "versions", "nobody").exit_code == 1


def test_keys_are_shown_and_rotated_with_a_leaf_in_the_ledger(settings: Path, dsn: str) -> None:
    def shown() -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = json.loads(unwaith("keys", "list", "--json").stdout)
        return [key for key in said if key["purpose"] == "message-signatures"]

    [first] = shown()
    assert first["signsNow"]
    done = unwaith("keys", "rotate", "message-signatures")
    assert done.exit_code == 0, done.output
    assert [(key["kid"] == first["kid"], key["signsNow"]) for key in shown()] == [(True, True), (False, False)]
    again = unwaith("keys", "rotate", "message-signatures")
    assert again.exit_code == 1
    assert "do not sign yet" in again.stderr
    assert unwaith("keys", "rotate", "message-signatures", "--compromised").exit_code == 0
    [newest] = shown()
    assert newest["signsNow"]
    assert newest["kid"] != first["kid"]

    async def acts() -> list[dict[str, Any]]:
        database = await Database.open(dsn)
        try:
            return await operations.acts(database, 10)
        finally:
            await database.close()

    assert [act["detail"] for act in asyncio.run(acts()) if act["action"] == "keys.rotated"] == [
        {"purpose": "message-signatures", "compromised": 1},
        {"purpose": "message-signatures", "compromised": 0},
    ]


def test_an_agreement_about_what_its_organisation_cannot_be_told_is_refused(
    settings: Path, dsn: str, tmp_path: Path
) -> None:
    document = json.loads(EXAMPLE.read_text())
    cardiff = document["organisations"][0]
    by_file = cardiff | {"adapter": "sftp", "adapterSettings": SFTP}
    [moves] = document["agreements"]
    paths = ["/person/name", "/change/newName"]
    share = moves["shares"][0] | {"where": "home", "role": "resident", "paths": paths}
    names = moves | {"id": "cardiff-names", "changeType": "name", "shares": [share]}
    for agreement, organisation, why in (
        (names | {"changeType": "birth"}, cardiff, "changeType must be one of address, name"),
        (names | {"shares": [share | {"where": "old"}]}, cardiff, "a change of name has no place old"),
        (names | {"latestOnly": True}, cardiff, "latestOnly must be false"),
        (names, by_file, "reached by sftp, which cannot carry a change of name"),
    ):
        done = unwaith("register", changed(tmp_path, organisations=[organisation], agreements=[agreement], clients=[]))
        assert done.exit_code == 1
        assert why in " ".join(done.stderr.split())
        assert asyncio.run(known(dsn)).organisations == {}, "half done"
    done = unwaith("register", changed(tmp_path, agreements=[names]))
    assert done.exit_code == 0, done.stderr
    # the way it is reached may not become one that cannot carry what is agreed
    done = unwaith("register", changed(tmp_path, organisations=[by_file], agreements=[], clients=[]))
    assert done.exit_code == 1
    assert "cardiff-names" in done.stderr
    assert asyncio.run(known(dsn)).organisations["cardiff"].adapter == "webhook"
