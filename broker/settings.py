"""Everything that differs between installations, read from `UNWAITH_…` variables. Only `broker.main` reads it.

An unset environment means production, and production refuses whatever only development may have. A nested setting takes
two underscores: `UNWAITH_KAFKA__BOOTSTRAP`.
"""

import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from broker.identity.presets import PRESETS, PresetName

PREFIX: Final = "UNWAITH_"
_TESTS: Final = f"{PREFIX}TEST_"

Port = Annotated[int, Field(ge=1, le=65_535)]
Environment = Literal["production", "sandbox", "test"]


class SettingsRefused(Exception):  # noqa: N818  it says what holds
    """The settings do not make an installation. One line for each reason: the variable, and what to do. No values."""


class KafkaSettings(BaseModel):
    """How to reach Kafka; used when `log` is `kafka`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    bootstrap: str = ""
    """host:port, several separated by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "SASL_SSL"
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    replication_factor: Annotated[int, Field(ge=1, le=7)] = 3
    session_seconds: Annotated[float, Field(ge=1, le=300)] = 10.0
    """How long a worker may be silent before its partitions are given to others. Longer than its longest pause."""


class Tuning(BaseModel):
    """What an operator may weigh: how soon others take over, how much is under way, how long an ending may take."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    relay_lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """What a relay has claimed is left to it for so long; then it is taken for dead and others claim it. Longer than
    an append to a log in trouble, else things are published twice (which is harmless, but work)."""
    relay_credit: Annotated[int, Field(ge=1, le=1_000_000)] = 8192
    """At most so many published deliveries of one organisation without a receipt."""
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = 10.0
    """How long attempts under way may take to end when a worker is asked to stop. Less than its supervisor's patience."""


class Holding(BaseModel):
    """What is waited for before a change is sent. Nought asks for nothing; see docs/holds.md.

    What is unset is as `broker.verification.HoldPolicy` has it in production, and nought elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    new_account_hours: Annotated[float, Field(ge=0, le=720)] | None = None
    """A change of address waits until we have known whoever tells it for so long."""
    new_contact_hours: Annotated[float, Field(ge=0, le=720)] | None = None
    """And so long after a change of where we write to them."""
    most_a_day: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Changes taken in from one person in 24 hours."""
    repeats: bool | None = None
    """The same change told again is not taken in again. False takes it in: for tests that tell one change a thousand times."""


class CitizenServer(BaseModel):
    """The authorization server whose RFC 9068 access tokens citizens may bring to `/v1`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str
    """Compared letter by letter with `iss`."""
    audience: str
    jwks_uri: str | None = None
    """Found by discovery at the issuer when absent."""


class IdentityServer(BaseModel):
    """Who states, at the citizens' provider, that an identity is proven (GOV.UK One Login's `coreIdentityJWT`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str
    did: str
    did_url: str
    """Where its DID document is. Fixed here; what a token says of it is never followed."""


class SignInServer(BaseModel):
    """An OpenID provider at which people sign in to our pages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str
    """Compared letter by letter, to the closing slash."""
    client_id: str
    client_key_file: Path
    """The private key of our client assertions (`private_key_jwt`): RSA or P-256, as JWK or PEM."""
    preset: PresetName | None = None
    """Which provider this is, where its particulars are known. None: any that conforms to OpenID Connect."""
    scopes: str | None = None
    """Those of the preset unless given; `openid email` without one."""
    identity: IdentityServer | None = None
    """Known for the two issuers of GOV.UK One Login."""
    second_factor_amr: str = "mfa"
    """Of staff: methods (RFC 8176) that prove a second factor, one of which their ID token must name in `amr`."""
    second_factor_acr: str = ""
    """Of staff: classes of the provider's own, one of which in `acr` proves it too."""


class OsPlacesServer(BaseModel):
    """Ordnance Survey's OS Places API as the gazetteer. With a secret by OAuth 2.0, else by the key in a header."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: SecretStr
    """Of the API project."""
    secret: SecretStr | None = None
    url: str = "https://api.os.uk/search/places/v1"
    token_url: str = "https://api.os.uk/oauth2/token/v1"  # noqa: S105  an address
    a_minute: Annotated[int, Field(ge=1, le=6_000)] = 600
    """How many requests this process may make. The project's limit (600) is shared by all processes of the API."""


class MailServer(BaseModel):
    """Where confirmations to people are handed in (RFC 6409)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str
    port: Port = 587
    sender: str
    """An address people can recognise."""
    username: str | None = None
    password: SecretStr | None = None
    encrypted: bool = True
    """STARTTLS. Required in production."""


class Settings(BaseSettings):
    """One installation. Immutable; parts of it are passed on as values."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    environment: Environment = "production"

    database_dsn: SecretStr | None = None
    """postgresql://…; it may hold a password."""
    embedded: Path | None = None
    """The directory of the embedded PostgreSQL, instead of `database_dsn`. Never in production."""

    log: Literal["postgres", "kafka"] = "kafka"
    kafka: KafkaSettings = KafkaSettings()

    citizen: CitizenServer | None = None
    """Absent: citizens' access by bearer token is off."""

    sign_in: SignInServer | None = None
    """Where citizens sign in to the pages. Absent: there are no pages."""
    staff_sign_in: SignInServer | None = None
    """Where staff sign in. Absent: there are no pages for staff."""

    gazetteer: OsPlacesServer | None = None
    """Absent: the gazetteer is what our own store holds."""

    mail: MailServer | None = None
    """Absent: nobody is written to, and nothing else changes."""
    outbox: Path | None = None
    """A folder for letters instead of `mail`. Never in production."""

    public_url: str = "http://localhost:8000"
    """Where we are reached, without a closing slash; also the issuer of organisations' tokens."""
    host: str = "127.0.0.1"
    port: Port = 8000
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9464
    """Health and metrics of the processes that have no other interface."""

    root_key_file: Path | None = None
    """The sealed file that wraps every key. Absent outside production: one is made beside the embedded data."""

    tuning: Tuning = Tuning()
    holding: Holding = Holding()

    failpoints: str = ""
    """Places where this process dies, for tests; see `broker.failpoints`. Never in production."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @model_validator(mode="after")
    def _makes_an_installation(self) -> Self:
        refused = list(_needs(self))
        if self.production:
            refused += _production_refuses(self)
        if refused:
            # Not a ValueError: pydantic would quote it with a prefix of its own.
            raise PydanticCustomError("refused", "{lines}", {"lines": "\n".join(refused)})
        return self


def load(defaults: Mapping[str, object] | None = None) -> Settings:
    """Read the settings from the environment; `defaults` fill what it leaves unset.

    Raises SettingsRefused, also for an `UNWAITH_…` variable that names no setting: a misspelt one would be in force
    nowhere.
    """
    if strangers := sorted(name for name in os.environ if name.upper().startswith(PREFIX) and not _is_setting(name)):
        raise SettingsRefused("\n".join(f"{name} is no setting. Correct its name or unset it." for name in strangers))
    unset = {name: value for name, value in (defaults or {}).items() if not _is_set(name)}
    try:
        return Settings(**unset)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [
            one["msg"] if one["type"] == "refused" else f"{_variable(*map(str, one['loc']))}: {one['msg']}."
            for one in found
        ]
    # Outside the handler, so that no chain leads to the values.
    raise SettingsRefused("\n".join(lines))


def _needs(settings: Settings) -> Iterator[str]:
    """Say what is missing or contradictory in any environment."""
    if settings.database_dsn is None and settings.embedded is None:
        yield "UNWAITH_DATABASE_DSN is missing: give the address of a PostgreSQL, postgresql://user@host/database."
    if settings.database_dsn is not None and settings.embedded is not None:
        yield "UNWAITH_DATABASE_DSN and UNWAITH_EMBEDDED are both set: unset one."
    if settings.public_url.endswith("/") or urlsplit(settings.public_url).scheme not in {"http", "https"}:
        yield "UNWAITH_PUBLIC_URL must be an http or https address without a closing slash."
    if settings.mail is not None and settings.outbox is not None:
        yield "UNWAITH_MAIL__HOST and UNWAITH_OUTBOX are both set: unset one."
    theirs = {server.issuer for server in (settings.sign_in, settings.citizen) if server is not None}
    if settings.staff_sign_in is not None and settings.staff_sign_in.issuer in theirs:
        yield "UNWAITH_STAFF_SIGN_IN__ISSUER must be another provider than citizens use: the two never mix."
    yield from _identity_needs(settings)
    if settings.log == "kafka":
        yield from _kafka_needs(settings.kafka)


def _identity_needs(settings: Settings) -> Iterator[str]:
    """Say where an identity service would never be asked, or is missing."""
    for door in ("sign_in", "staff_sign_in"):
        server: SignInServer | None = getattr(settings, door)
        if server is None:
            continue
        known = PRESETS[server.preset].services if server.preset is not None else {}
        if server.identity is not None and not known:
            yield f"{_variable(door, 'identity', 'issuer')} needs {_variable(door, 'preset')}=gov-uk-one-login: no other is asked."
        if known and server.identity is None and server.issuer not in known:
            yield f"{_variable(door, 'issuer')} must be {' or '.join(known)}, or {_variable(door, 'identity', 'issuer')} be given."


def _kafka_needs(kafka: KafkaSettings) -> Iterator[str]:
    if not kafka.bootstrap:
        yield "UNWAITH_KAFKA__BOOTSTRAP is missing: give host:port of a broker, or set UNWAITH_LOG=postgres on one machine."
    if kafka.security_protocol.startswith("SASL") and not (kafka.username and kafka.password):
        yield "UNWAITH_KAFKA__USERNAME and UNWAITH_KAFKA__PASSWORD are needed for SASL: set both."
    if (kafka.cert_file is None) != (kafka.key_file is None):
        yield "UNWAITH_KAFKA__CERT_FILE and UNWAITH_KAFKA__KEY_FILE go together: set both or neither."
    for name in ("ca_file", "cert_file", "key_file"):
        file: Path | None = getattr(kafka, name)
        if file is not None and not file.is_file():
            yield f"{_variable('kafka', name)} names no file: give the path of a PEM file this user can read."


def _production_refuses(settings: Settings) -> Iterator[str]:  # noqa: C901  a list, read from top to bottom
    """Say what is fit for development only."""
    if settings.embedded is not None:
        yield "UNWAITH_EMBEDDED is for development: unset it and give UNWAITH_DATABASE_DSN of a PostgreSQL of its own."
    if settings.log == "postgres":
        yield "UNWAITH_LOG=postgres serves one machine: set UNWAITH_LOG=kafka."
    elif settings.kafka.security_protocol not in {"SSL", "SASL_SSL"}:
        yield "UNWAITH_KAFKA__SECURITY_PROTOCOL is not encrypted: set SASL_SSL or SSL."
    if settings.log == "kafka" and settings.kafka.replication_factor < 3:  # noqa: PLR2004  one may fail, one be restarted
        yield "UNWAITH_KAFKA__REPLICATION_FACTOR is below 3: set 3, so that losing a broker loses nothing."
    if not _public_https(settings.public_url):
        yield "UNWAITH_PUBLIC_URL must be the https address people and organisations use, not one of this machine."
    if settings.citizen is not None:
        for name in ("issuer", "jwks_uri"):
            address = getattr(settings.citizen, name)
            if address is not None and not _public_https(address):
                yield f"{_variable('citizen', name)} must be an https address, not one of this machine."
    yield from _sign_in_refuses(settings)
    yield from _gazetteer_refuses(settings.gazetteer)
    if settings.outbox is not None:
        yield "UNWAITH_OUTBOX is for development: unset it and give UNWAITH_MAIL__HOST."
    if settings.mail is not None and not settings.mail.encrypted:
        yield "UNWAITH_MAIL__ENCRYPTED=false sends people's addresses in clear: unset it."
    if settings.failpoints:
        yield "UNWAITH_FAILPOINTS makes processes die, for tests: unset it."
    yield from _root_key_refuses(settings.root_key_file)


def _sign_in_refuses(settings: Settings) -> Iterator[str]:
    staff = settings.staff_sign_in
    if staff is not None and not (staff.second_factor_amr + staff.second_factor_acr).split():
        yield f"{_variable('staff_sign_in', 'second_factor_amr')} must name what proves a second factor, such as mfa."
    for door in ("sign_in", "staff_sign_in"):
        server: SignInServer | None = getattr(settings, door)
        if server is not None and not _public_https(server.issuer):
            yield f"{_variable(door, 'issuer')} must be an https address, not one of this machine."
        if server is not None and server.identity is not None and not _public_https(server.identity.did_url):
            yield f"{_variable(door, 'identity', 'did_url')} must be an https address, not one of this machine."


def _gazetteer_refuses(server: OsPlacesServer | None) -> Iterator[str]:
    for name in ("url", "token_url"):
        if server is not None and not _public_https(getattr(server, name)):
            yield f"{_variable('gazetteer', name)} must be an https address, not one of this machine."


def _root_key_refuses(file: Path | None) -> Iterator[str]:
    name = "UNWAITH_ROOT_KEY_FILE"
    if file is None:
        yield f"{name} is missing: production makes no keys of its own. Give the path of the sealed file."
        return
    try:
        found = file.lstat()
    except OSError:
        yield f"{name} names no file this user can see: give the path of the sealed file."
        return
    # A mounted secret is a link into a directory its orchestrator renames; what counts is the file it leads to.
    if stat.S_ISLNK(found.st_mode):
        found = file.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in {0, os.geteuid()}:
        yield f"{name} must be a plain file that belongs to this user or to root."
    elif stat.S_IMODE(found.st_mode) & 0o177:
        yield f"{name} may be read by others: chmod 0400 it."


def _public_https(address: str) -> bool:
    """Return whether an address is https and does not plainly name this machine. Looks nothing up."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "https" or not host or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return True
    return not (number.is_loopback or number.is_unspecified)


def _variable(*place: str) -> str:
    return PREFIX + "__".join(place).upper()


def _is_setting(variable: str) -> bool:
    """Return whether a variable names a setting, or a switch of the tests'."""
    upper = variable.upper()
    return upper.startswith(_TESTS) or upper.removeprefix(PREFIX).split("__", 1)[0].lower() in Settings.model_fields


def _is_set(name: str) -> bool:
    """Return whether the environment gives a setting, or any part of a nested one."""
    variable = _variable(name)
    return any(one.upper() == variable or one.upper().startswith(f"{variable}__") for one in os.environ)
