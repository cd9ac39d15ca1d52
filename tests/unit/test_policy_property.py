"""Whatever a token says and whoever signed it, it opens no more than the table of routes grants what it says."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import Key

from broker.identity.organisations import ORGANISATION_SCOPES, OrganisationTokens
from broker.identity.policy import POLICY, Caller, ForCitizens, ForOrganisations, Public, allowed
from broker.identity.refusals import InvalidToken
from contracts.person import IdentityLevel
from tests.support.tokens import (
    AUDIENCE,
    EC,
    ISSUER,
    OKP,
    OTHER_EC,
    OUR_AUDIENCE,
    OUR_ISSUER,
    START,
    Clock,
    citizen_claims,
    citizen_tokens,
    header,
    signed,
    verified_claims,
)

NOW = int(START.timestamp())
KEYS: Mapping[str, Key] = {"ec": EC, "okp": OKP, OTHER_EC.thumbprint(): OTHER_EC}
SCOPES = sorted(ORGANISATION_SCOPES | {"changes:read", "changes:write", "changes", "*", "admin"})
PROVING = verified_claims()

claims = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.sampled_from([ISSUER, OUR_ISSUER, "https://evil.example/"]),
        "aud": st.sampled_from([AUDIENCE, OUR_AUDIENCE, [AUDIENCE, OUR_AUDIENCE], "other", []]),
        "scope": st.lists(st.sampled_from(SCOPES), max_size=4).map(" ".join),
        "exp": st.sampled_from([NOW - 60, NOW + 60, NOW + 300, NOW + 86_400, "soon", True]),
        "vot": st.sampled_from(["Cl.Cm", "P1", "P2", "Cl.Cm.P2", "P9", "P2.P3", ["P2"]]),
        "verified_claims": st.sampled_from(
            [PROVING, {"claims": {}}, PROVING | {"verification": {"trust_framework": "x"}}]
        ),
        "organisation": st.sampled_from(["cardiff-council", "swansea-council", "", ["cardiff-council"]]),
        "client_id": st.sampled_from(["cardiff", "front-end"]),
        "sub": st.sampled_from(["cardiff", "urn:person:1", ""]),
        "level": st.just("P3"),
        "roles": st.just(["admin"]),
    },
)
heads = st.fixed_dictionaries(
    {"kid": st.sampled_from(sorted(KEYS))}, optional={"typ": st.sampled_from(["at+jwt", "JWT", "logout+jwt"])}
)


@pytest.fixture(scope="module")
def callers() -> Iterator[Any]:
    """Return what gives everybody a token passes for, in each trust domain."""
    clock = Clock()
    citizens = citizen_tokens(clock)
    ours = OrganisationTokens(issuer=OUR_ISSUER, audience=OUR_AUDIENCE, signing_keys=[OTHER_EC], clock=clock)
    with asyncio.Runner() as runner:

        def callers(token: str) -> list[Caller]:
            found: list[Caller] = []
            for verify in (lambda: runner.run(citizens.verify(token)), lambda: ours.verify(token)):
                try:
                    found.append(verify())
                except InvalidToken:
                    continue
            return found

        yield callers


def granted(rule: ForCitizens | ForOrganisations, said: dict[str, Any], signer: str) -> bool:
    """Say what the table grants, read from the claims alone: no code of ours has a part in it."""
    audiences = said.get("aud") if isinstance(said.get("aud"), list) else [said.get("aud")]
    named = rule.scope in str(said.get("scope", "")).split(" ")
    if isinstance(rule, ForOrganisations):
        ours = (said.get("iss"), signer) == (OUR_ISSUER, OTHER_EC.thumbprint()) and OUR_AUDIENCE in (audiences or [])
        return ours and named and isinstance(said.get("organisation"), str) and said.get("organisation") != ""
    theirs = said.get("iss") == ISSUER and signer in {"ec", "okp"} and AUDIENCE in (audiences or [])
    proven = said.get("verified_claims") == PROVING and said.get("vot") in {"P2", "Cl.Cm.P2"}
    return theirs and named and (rule.level is IdentityLevel.P0 or proven)


@given(changes=claims, head=heads, signer=st.sampled_from(sorted(KEYS)), organisation=st.booleans())
@settings(max_examples=500, deadline=None)
def test_no_token_opens_more_than_the_table_grants(
    callers: Any, changes: dict[str, Any], head: dict[str, Any], signer: str, organisation: bool
) -> None:
    base = citizen_claims()
    if organisation:
        base |= {
            "iss": OUR_ISSUER, "aud": OUR_AUDIENCE, "sub": "cardiff", "client_id": "cardiff", "exp": NOW + 300,
            "organisation": "cardiff-council", "scope": "receipts:write",
        }  # fmt: skip
    said = base | changes
    algorithm = "EdDSA" if signer == "okp" else "ES256"
    token = signed(header(alg=algorithm, **head), said, KEYS[signer], algorithm=algorithm)
    who = callers(token)
    assert len(who) < 2, "nobody is of two trust domains"
    for rule in POLICY.values():
        if not isinstance(rule, Public) and any(allowed(rule, caller) for caller in who):
            assert granted(rule, said, signer)


def test_the_property_is_not_empty(callers: Any) -> None:
    """A good token of each kind opens exactly what the table grants it."""
    good = {
        "ec": citizen_claims(),
        OTHER_EC.thumbprint(): citizen_claims(
            iss=OUR_ISSUER, aud=OUR_AUDIENCE, sub="cardiff", client_id="cardiff", exp=NOW + 300,
            organisation="cardiff-council", scope=" ".join(sorted(ORGANISATION_SCOPES)),
        ),
    }  # fmt: skip
    for signer, said in good.items():
        [caller] = callers(signed(header(kid=signer), said, KEYS[signer]))
        rules = [rule for rule in POLICY.values() if not isinstance(rule, Public)]
        assert [allowed(rule, caller) for rule in rules] == [granted(rule, said, signer) for rule in rules]
        assert any(allowed(rule, caller) for rule in rules)
