"""The pages put together: where people sign in, how long they stay, what the pages may use."""

import asyncio
import contextlib
import json
from dataclasses import replace
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from broker.api import ApiParts
from broker.identity import page_policy
from broker.identity.discovery import Discovery, keys_of_did
from broker.identity.keys import IssuerKeys
from broker.identity.presets import PLAIN, PRESETS, IdentityService
from broker.identity.sessions import SessionRules, Sessions, citizen_rules, staff_rules
from broker.identity.sign_in import Provider, ProviderRules, SecondFactor
from broker.main.rooms import Rooms, utc_now, when_there
from broker.outbound.client import GuardedClient
from broker.outbound.fetch import get_json
from broker.settings import SettingsRefused, SignInServer
from broker.store import StoreUnavailable
from broker.web import Door, WebParts

SWEPT_EVERY = 30.0
"""Seconds."""


async def web_parts(rooms: Rooms, api: ApiParts, fetching: GuardedClient, stop: asyncio.Event) -> WebParts | None:
    """Return the parts of the pages, None where nobody can sign in. Raises SettingsRefused for a key that is none."""
    settings = rooms.settings
    if settings.sign_in is None:
        return None
    secure = settings.public_url.startswith("https:")
    staff = None
    if settings.staff_sign_in is not None:
        staff = await _door(rooms, fetching, settings.staff_sign_in, staff_rules(secure=secure), page_policy.STAFF)
    return WebParts(
        public_url=settings.public_url,
        database=rooms.database,
        vault=rooms.vault,
        directory=rooms.directory,
        gazetteer=api.gazetteer,
        intake=api.intake,
        metrics=rooms.metrics,
        citizens=await _door(rooms, fetching, settings.sign_in, citizen_rules(secure=secure), ""),
        staff=staff,
        checks=rooms.checks(with_log=True),
        stop=stop,
        clock=utc_now,
    )


async def sweep(parts: WebParts, stop: asyncio.Event) -> None:
    """Remove sessions that have ended, every half minute until `stop`: what is over keeps nothing."""
    doors = [door for door in (parts.citizens, parts.staff) if door is not None]
    while not stop.is_set():
        with contextlib.suppress(StoreUnavailable):
            for door in doors:
                await door.sessions.sweep()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SWEPT_EVERY)


async def _door(rooms: Rooms, fetching: GuardedClient, server: SignInServer, rules: SessionRules, prefix: str) -> Door:
    settings = rooms.settings
    loopback = not settings.production

    async def fetch(url: str) -> dict[str, object]:
        return await get_json(fetching, url)

    found = provider_rules(server, f"{settings.public_url}{prefix}/signed-in")
    identity_keys = None
    if found.identity is not None:
        identity_keys = IssuerKeys(
            found.identity.issuer,
            keys_of_did(found.identity.did, fetch),
            utc_now,
            keys_url=found.identity.did_url,
            loopback_allowed=loopback,
        )
    provider = Provider(
        replace(found, second_factor=_second_factor(server)) if prefix == page_policy.STAFF else found,
        client_key(server.client_key_file),
        Discovery(server.issuer, fetch, utc_now, loopback_allowed=loopback),
        IssuerKeys(server.issuer, fetch, utc_now, loopback_allowed=loopback),
        identity_keys,
        fetching,
        utc_now,
    )
    secret = await when_there(lambda: rooms.vault.secret(f"sessions:{rules.domain}"))
    return Door(provider=provider, sessions=Sessions(rooms.database, secret, rules), prefix=prefix)


def _second_factor(server: SignInServer) -> SecondFactor:
    return SecondFactor(
        amr=frozenset(server.second_factor_amr.split()), acr=frozenset(server.second_factor_acr.split())
    )


def provider_rules(server: SignInServer, redirect_uri: str) -> ProviderRules:
    """Return how one provider is used: what the settings say, over what is known of it."""
    facts = PLAIN if server.preset is None else PRESETS[server.preset]
    identity = facts.services.get(server.issuer)
    if server.identity is not None:
        identity = IdentityService(
            issuer=server.identity.issuer, did=server.identity.did, did_url=server.identity.did_url
        )
    return ProviderRules(
        issuer=server.issuer,
        client_id=server.client_id,
        redirect_uri=redirect_uri,
        scopes=tuple((server.scopes or facts.scopes).split()),
        facts=facts,
        identity=identity,
    )


def client_key(file: Path) -> ECKey | RSAKey:
    """Return the private key with which we sign in to a provider, a JWK or PEM. Raises SettingsRefused."""
    try:
        raw = file.read_bytes()
        if raw.lstrip().startswith(b"{"):
            key = JWKRegistry.import_key(json.loads(raw))
        else:
            key = RSAKey.import_key(raw) if b"RSA" in raw else _pem(raw)
    except (OSError, ValueError, JoseError):
        key = None
    if not isinstance(key, ECKey | RSAKey) or not key.is_private:
        # outside the handler: no chain may lead to the key
        raise SettingsRefused(
            f"{file.name}: give a file this user can read, with a private RSA or P-256 key, JWK or PEM."
        )
    return key


def _pem(raw: bytes) -> ECKey | RSAKey:
    try:
        return ECKey.import_key(raw)
    except (ValueError, JoseError):
        return RSAKey.import_key(raw)
