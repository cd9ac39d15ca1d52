"""Settings: what production refuses, and that no message holds a value."""

import os
from pathlib import Path

import pytest

from broker.settings import Settings, SettingsRefused, load

SECRET = "hunter2-canary"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("UNWAITH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A complete production installation, to be spoilt one setting at a time."""
    key = tmp_path / "root.key"
    key.write_bytes(b"sealed")
    key.chmod(0o400)
    for name, value in {
        "DATABASE_DSN": f"postgresql://unwaith:{SECRET}@db.internal/unwaith",
        "KAFKA__BOOTSTRAP": "kafka-1.internal:9093,kafka-2.internal:9093",
        "KAFKA__USERNAME": "unwaith",
        "KAFKA__PASSWORD": SECRET,
        "CITIZEN__ISSUER": "https://id.example.wales",
        "CITIZEN__AUDIENCE": "https://unwaith.example.wales",
        "PUBLIC_URL": "https://unwaith.example.wales",
        "ROOT_KEY_FILE": str(key),
    }.items():
        monkeypatch.setenv(f"UNWAITH_{name}", value)
    return monkeypatch


def _refusal(name: str, says: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load()
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"UNWAITH_{name}")
    assert says in line
    assert SECRET not in repr(refused.value)
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_unset_means_production_and_names_everything_that_is_missing() -> None:
    with pytest.raises(SettingsRefused) as refused:
        load()
    for name in ("DATABASE_DSN", "KAFKA__BOOTSTRAP", "KAFKA__PASSWORD", "PUBLIC_URL", "ROOT_KEY_FILE"):
        assert f"UNWAITH_{name}" in str(refused.value)


def test_a_complete_production_installation(production: pytest.MonkeyPatch) -> None:
    settings = load()
    assert settings.production
    assert settings.kafka.password is not None
    assert settings.kafka.password.get_secret_value() == SECRET
    assert settings.citizen is not None
    assert settings.citizen.jwks_uri is None
    assert settings.log == "kafka"
    assert SECRET not in f"{settings!r}{settings}{settings.model_dump_json()}"


def test_production_may_do_without_citizens_tokens(production: pytest.MonkeyPatch) -> None:
    production.delenv("UNWAITH_CITIZEN__ISSUER")
    production.delenv("UNWAITH_CITIZEN__AUDIENCE")
    assert load().citizen is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DATABASE_DSN", None, "postgresql://"),
        ("LOG", "postgres", "set UNWAITH_LOG=kafka"),
        ("KAFKA__BOOTSTRAP", None, "host:port"),
        ("KAFKA__SECURITY_PROTOCOL", "PLAINTEXT", "SASL_SSL"),
        ("KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT", "SASL_SSL"),
        ("KAFKA__REPLICATION_FACTOR", "1", "set 3"),
        ("KAFKA__USERNAME", None, "set both"),
        ("KAFKA__CERT_FILE", __file__, "set both or neither"),
        ("KAFKA__CA_FILE", "/nowhere/ca.pem", "PEM"),
        ("PUBLIC_URL", None, "https"),
        ("PUBLIC_URL", "http://unwaith.example.wales", "https"),
        ("PUBLIC_URL", "https://localhost", "this machine"),
        ("PUBLIC_URL", "https://127.0.0.1:8443", "this machine"),
        ("PUBLIC_URL", "https://[::1]", "this machine"),
        ("PUBLIC_URL", "https://unwaith.example.wales/", "closing slash"),
        ("CITIZEN__ISSUER", "http://id.example.wales", "https"),
        ("CITIZEN__JWKS_URI", "http://id.example.wales/jwks", "https"),
        ("ROOT_KEY_FILE", None, "missing"),
        ("ROOT_KEY_FILE", "/nowhere/root.key", "no file"),
        ("ROOT_KEY_FILE", "/tmp", "plain file"),
        ("FAILPOINTS", "relay.appended=1", "unset it"),
        ("PORT", SECRET, "integer"),
        ("ENVIRONMENT", SECRET, "production"),
        ("CITIZEN__AUDIENCE", None, "required"),
        ("CITIZEN__ISUER", SECRET, "not permitted"),
        ("KAFKA__PASSWORDS", SECRET, "not permitted"),
        ("PUBLICURL", SECRET, "no setting"),
    ],
)
def test_production_refuses(production: pytest.MonkeyPatch, name: str, value: str | None, says: str) -> None:
    if value is None:
        production.delenv(f"UNWAITH_{name}")
    else:
        production.setenv(f"UNWAITH_{name}", value)
    _refusal(name, says)


def test_production_refuses_the_embedded_database(production: pytest.MonkeyPatch, tmp_path: Path) -> None:
    production.delenv("UNWAITH_DATABASE_DSN")
    production.setenv("UNWAITH_EMBEDDED", str(tmp_path))
    _refusal("EMBEDDED", "for development")


def test_production_refuses_a_root_key_others_can_read(production: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for mode in (0o440, 0o404, 0o700, 0o644):
        (tmp_path / "root.key").chmod(mode)
        _refusal("ROOT_KEY_FILE", "chmod 0400")
    (tmp_path / "root.key").chmod(0o600)
    (tmp_path / "mounted").symlink_to(tmp_path / "root.key")
    production.setenv("UNWAITH_ROOT_KEY_FILE", str(tmp_path / "mounted"))
    assert load().root_key_file == tmp_path / "mounted"


def test_development_fills_what_the_environment_leaves_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    development = {"environment": "sandbox", "embedded": tmp_path, "log": "postgres", "kafka": {"bootstrap": "k:1"}}
    settings = load(development)
    assert (settings.environment, settings.embedded, settings.log) == ("sandbox", tmp_path, "postgres")
    monkeypatch.setenv("UNWAITH_PORT", "8123")
    monkeypatch.setenv("unwaith_embedded", str(tmp_path / "other"))
    monkeypatch.setenv("UNWAITH_KAFKA__REPLICATION_FACTOR", "1")
    settings = load(development)
    assert (settings.port, settings.embedded) == (8123, tmp_path / "other")
    assert settings.kafka.bootstrap == ""


def test_the_environment_can_say_production_where_the_command_says_sandbox(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNWAITH_ENVIRONMENT", "production")
    with pytest.raises(SettingsRefused, match="UNWAITH_EMBEDDED is for development"):
        load({"environment": "sandbox", "embedded": tmp_path, "log": "postgres"})


def test_two_databases_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNWAITH_DATABASE_DSN", "postgresql://db/unwaith")
    with pytest.raises(SettingsRefused, match="both set"):
        load({"environment": "sandbox", "embedded": tmp_path, "log": "postgres"})


def test_switches_of_the_tests_are_no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNWAITH_TEST_KAFKA", "localhost:9092")
    assert load({"environment": "test", "embedded": tmp_path, "log": "postgres"}).environment == "test"


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = Settings(environment="test", embedded=tmp_path, log="postgres")
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # that is the point


def signing_in(monkeypatch: pytest.MonkeyPatch, door: str = "SIGN_IN", **more: str) -> None:
    settings = {"ISSUER": "https://oidc.account.gov.uk/", "CLIENT_ID": "us", "CLIENT_KEY_FILE": "key.pem"} | more
    for name, value in settings.items():
        monkeypatch.setenv(f"UNWAITH_{door}__{name}", value)


def test_one_login_is_named_and_known(production: pytest.MonkeyPatch) -> None:
    signing_in(production, PRESET="gov-uk-one-login")
    assert load().sign_in is not None
    production.setenv("UNWAITH_SIGN_IN__ISSUER", "https://oidc.account.gov.uk")
    _refusal("SIGN_IN__ISSUER", "https://oidc.account.gov.uk/ or https://oidc.integration.account.gov.uk/")
    production.setenv("UNWAITH_SIGN_IN__PRESET", "nhs-login")
    assert load().sign_in is not None


def test_an_identity_service_that_nobody_would_ask_is_refused(production: pytest.MonkeyPatch) -> None:
    service = {
        "IDENTITY__ISSUER": "https://i.example/",
        "IDENTITY__DID": "did:web:i.example",
        "IDENTITY__DID_URL": "https://i.example/.well-known/did.json",
    }
    signing_in(production, **service)
    _refusal("SIGN_IN__IDENTITY__ISSUER", "UNWAITH_SIGN_IN__PRESET=gov-uk-one-login")
    production.setenv("UNWAITH_SIGN_IN__PRESET", "gov-uk-one-login")
    assert load().sign_in is not None


def test_staff_sign_in_nowhere_that_speaks_for_citizens(production: pytest.MonkeyPatch) -> None:
    signing_in(production, "STAFF_SIGN_IN", ISSUER="https://id.example.wales")
    _refusal("STAFF_SIGN_IN__ISSUER", "citizens use")  # by token
    signing_in(production, PRESET="gov-uk-one-login")
    signing_in(production, "STAFF_SIGN_IN", ISSUER="https://oidc.account.gov.uk/")
    _refusal("STAFF_SIGN_IN__ISSUER", "citizens use")
    signing_in(production, "STAFF_SIGN_IN", ISSUER="https://staff.example/")
    assert load().staff_sign_in is not None
