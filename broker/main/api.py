"""The API put together: who is believed, where keys come from, what the routes may use."""

import time
from datetime import timedelta
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from broker import sealing
from broker.api import ApiParts
from broker.identity.citizens import CitizenTokens
from broker.identity.keys import IssuerKeys
from broker.identity.organisations import OrganisationTokens
from broker.identity.policy import check_apart
from broker.identity.token_endpoint import TokenEndpoint
from broker.intake import Intake, Writer
from broker.main.credentials import by_secret
from broker.main.rooms import Rooms, utc_now, when_there
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.fetch import get_json
from broker.outbound.oauth import Tokens
from broker.settings import Holding, Settings
from broker.store import register
from broker.vault import Vault
from broker.verification import (
    NO_HOLDS,
    Gazetteer,
    HoldPolicy,
    OsPlaces,
    OsPlacesGazetteer,
    StoredGazetteer,
)
from contracts.credentials import ClientCredentials

LOOPBACK = ("127.0.0.1", "localhost")


def fetching_client(settings: Settings) -> GuardedClient:
    """Return the way out for key sets and discovery; this machine only outside production."""
    return GuardedClient(
        tls=tls_context(),
        deadline=timedelta(seconds=5),
        allowed_hosts=() if settings.production else LOOPBACK,
    )


async def api_parts(rooms: Rooms, writer: Writer, fetching: GuardedClient) -> ApiParts:
    settings = rooms.settings
    organisations = OrganisationTokens(
        issuer=settings.public_url,
        audience=f"{settings.public_url}/organisations",
        signing_keys=[await _token_key(rooms.vault)],
        clock=utc_now,
    )
    citizens = None
    if settings.citizen is not None:
        citizens = CitizenTokens(
            audience=settings.citizen.audience,
            issuer=settings.citizen.issuer,
            keys=IssuerKeys(
                settings.citizen.issuer,
                lambda url: get_json(fetching, url),
                keys_url=settings.citizen.jwks_uri,
                loopback_allowed=not settings.production,
                clock=utc_now,
            ),
            clock=utc_now,
        )
        check_apart(citizens, organisations)
    gazetteer = gazetteer_of(rooms, fetching)
    return ApiParts(
        public_url=settings.public_url,
        database=rooms.database,
        eventlog=rooms.eventlog,
        vault=rooms.vault,
        directory=rooms.directory,
        gazetteer=gazetteer,
        intake=Intake(
            rooms.database,
            rooms.vault,
            rooms.directory,
            gazetteer,
            writer,
            rooms.metrics,
            utc_now,
            hold_policy(settings.holding, production=settings.production),
        ),
        citizens=citizens,
        organisations=organisations,
        token_endpoint=TokenEndpoint(
            url=f"{settings.public_url}/oauth/token",
            tokens=organisations,
            find_client=partial(register.client, rooms.database),
            remember_assertion=partial(register.remember_assertion, rooms.database),
            clock=utc_now,
        ),
        checks=rooms.checks(with_log=False),
        metrics=rooms.metrics,
        clock=utc_now,
    )


def hold_policy(holding: Holding, *, production: bool) -> HoldPolicy:
    """Return what is waited for before a change is sent: what is set, else as the environment has it."""
    usual = HoldPolicy() if production else NO_HOLDS
    return HoldPolicy(
        new_account=_hours(holding.new_account_hours, usual.new_account),
        new_contact=_hours(holding.new_contact_hours, usual.new_contact),
        most_a_day=usual.most_a_day if holding.most_a_day is None else holding.most_a_day,
        repeats=usual.repeats if holding.repeats is None else holding.repeats,
    )


def _hours(hours: float | None, usual: timedelta) -> timedelta:
    return usual if hours is None else timedelta(hours=hours)


def gazetteer_of(rooms: Rooms, fetching: GuardedClient) -> Gazetteer:
    """Return the gazetteer the settings name."""
    stored, server = StoredGazetteer(rooms.database), rooms.settings.gazetteer
    if server is None:
        return stored
    key, tokens = server.key.get_secret_value(), None
    if server.secret is not None:
        credentials = ClientCredentials(token_endpoint=server.token_url, client_id=key, method="client_secret_basic")
        secret = server.secret.get_secret_value().encode()
        tokens = Tokens(fetching.post, credentials, by_secret(credentials, lambda _: secret), utc_now)
    places = OsPlaces(
        fetching.get,
        server.url.rstrip("/"),
        key=None if tokens else key,
        tokens=tokens,
        a_minute=server.a_minute,
        clock=time.monotonic,
    )
    return OsPlacesGazetteer(places, stored)


async def _token_key(vault: Vault) -> ECKey:
    """Return the key that signs organisations' tokens, made from a secret of the vault: every process has the same."""
    secret = await when_there(lambda: vault.secret("organisation-tokens"))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-5)
    wide = int.from_bytes(sealing.derive(secret, b"p-256", length=48), "big")  # 128 bits to spare: no bias
    return ECKey.import_key(ec.derive_private_key(wide % (order - 1) + 1, ec.SECP256R1()))
