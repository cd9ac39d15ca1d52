"""The policy is a table; nobody gets past it, and no route is served without standing in it."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from broker.identity.citizens import Citizen
from broker.identity.organisations import ORGANISATION_SCOPES, CallingOrganisation
from broker.identity.policy import (
    POLICY,
    Caller,
    ForCitizens,
    ForOrganisations,
    Public,
    RouteNotDeclared,
    allowed,
    check_declared,
    require,
    rule_for,
)
from broker.identity.refusals import Denial, Forbidden, InvalidToken, TokenFault
from contracts.person import IdentityLevel

EVERY_SCOPE = frozenset({"changes:read", "changes:write"}) | ORGANISATION_SCOPES


def citizen(*scopes: str, level: IdentityLevel = IdentityLevel.P0) -> Citizen:
    return Citizen(
        issuer="https://sign-in.example/",
        subject="subject",
        client_id="front-end",
        scopes=frozenset(scopes),
        level=level,
        person=None,
    )


def organisation(*scopes: str) -> CallingOrganisation:
    return CallingOrganisation("cardiff-council", "cardiff", frozenset(scopes))


def test_who_may_call_what_is_exactly_this() -> None:
    """A change here is a change of who may do what: it must be meant."""
    assert {f"{method} {path}": rule for (method, path), rule in POLICY.items()} == {
        "POST /v1/changes/preview": ForCitizens("changes:write"),
        "POST /v1/changes": ForCitizens("changes:write"),
        "POST /v1/changes/{reference}/cancellation": ForCitizens("changes:write", IdentityLevel.P2),
        "GET /v1/changes": ForCitizens("changes:read"),
        "GET /v1/changes/{reference}": ForCitizens("changes:read"),
        "POST /v1/addresses/search": ForCitizens("changes:write"),
        "POST /v1/receipts": ForOrganisations("receipts:write"),
        "POST /v1/confirmations": ForOrganisations("confirmations:write"),
        "GET /v1/deliveries": ForOrganisations("deliveries:read"),
        "GET /v1/events": ForOrganisations("deliveries:read"),
        "GET /v1/events/{event_id}": ForOrganisations("deliveries:read"),
        "DELETE /v1/events/{event_id}": ForOrganisations("receipts:write"),
        "GET /v1/subscriptions": ForOrganisations("subscriptions:write"),
        "POST /v1/subscriptions": ForOrganisations("subscriptions:write"),
        "POST /v1/subscriptions/settings": ForOrganisations("subscriptions:write"),
        "GET /v1/subscriptions/proposals": ForOrganisations("subscriptions:write"),
        "GET /v1/subscriptions/proposals/{proposal_id}": ForOrganisations("subscriptions:write"),
        "DELETE /v1/subscriptions/proposals/{proposal_id}": ForOrganisations("subscriptions:write"),
        "POST /oauth/token": Public(),
        "GET /.well-known/jwks.json": Public(),
        "GET /.well-known/jwks/client-assertions.json": Public(),
        "GET /.well-known/jwks/message-signatures.json": Public(),
        "GET /.well-known/oauth-authorization-server": Public(),
        "GET /openapi.json": Public(),
        "GET /livez": Public(),
        "GET /readyz": Public(),
        "GET /metrics": Public(listener="metrics"),
    }


PROTECTED = [(route, rule) for route, rule in POLICY.items() if not isinstance(rule, Public)]
OTHER_KIND: Final[Mapping[type, Caller]] = {
    ForCitizens: organisation(*EVERY_SCOPE),
    ForOrganisations: citizen(*EVERY_SCOPE, level=IdentityLevel.P3),
}


@pytest.mark.parametrize(("route", "rule"), PROTECTED, ids=str)
def test_each_protected_route_refuses_the_wrong_kind_the_wrong_scope_and_nobody(
    route: tuple[str, str], rule: ForCitizens | ForOrganisations
) -> None:
    level = rule.level if isinstance(rule, ForCitizens) else IdentityLevel.P0
    right: Caller = citizen(rule.scope, level=level) if isinstance(rule, ForCitizens) else organisation(rule.scope)
    others = EVERY_SCOPE - {rule.scope}
    unscoped: Caller = citizen(*others, level=level) if isinstance(rule, ForCitizens) else organisation(*others)
    assert allowed(rule, right)
    require(rule, right)
    for caller, denial in ((OTHER_KIND[type(rule)], Denial.CALLER), (unscoped, Denial.SCOPE)):
        assert not allowed(rule, caller)
        with pytest.raises(Forbidden) as forbidden:
            require(rule, caller)
        assert forbidden.value.denial is denial
    assert not allowed(rule, None)
    with pytest.raises(InvalidToken) as missing:
        require(rule, None)
    assert missing.value.fault is TokenFault.MISSING


def test_a_rule_may_ask_for_a_level_of_identity() -> None:
    rule = ForCitizens("changes:write", IdentityLevel.P2)
    assert allowed(rule, citizen("changes:write", level=IdentityLevel.P2))
    assert allowed(rule, citizen("changes:write", level=IdentityLevel.P3))
    with pytest.raises(Forbidden) as forbidden:
        require(rule, citizen("changes:write", level=IdentityLevel.P1))
    assert forbidden.value.denial is Denial.LEVEL
    assert forbidden.value.scope is None


def test_a_scope_is_the_whole_word() -> None:
    for near in ("changes", "changes:", "changes:write:all", "Changes:Write", "changes:*"):
        assert not allowed(ForCitizens("changes:write"), citizen(near))


def test_public_routes_ask_nothing() -> None:
    for caller in (None, citizen(), organisation()):
        assert allowed(Public(), caller)
        require(Public(), caller)


def test_no_scope_serves_both_kinds_of_caller() -> None:
    citizens = {rule.scope for rule in POLICY.values() if isinstance(rule, ForCitizens)}
    organisations = {rule.scope for rule in POLICY.values() if isinstance(rule, ForOrganisations)}
    assert organisations <= ORGANISATION_SCOPES
    assert not citizens & ORGANISATION_SCOPES


def test_a_route_that_is_not_declared_cannot_be_served() -> None:
    check_declared([("GET", "/v1/changes"), ("HEAD", "/v1/changes"), ("GET", "/livez")], "api")
    check_declared([("GET", "/metrics")], "metrics")
    for route in (("DELETE", "/v1/changes"), ("GET", "/v1/changes/"), ("GET", "/v1/changes/{id}"), ("GET", "/docs")):
        with pytest.raises(RouteNotDeclared, match=route[0]):
            check_declared([("GET", "/livez"), route], "api")
    assert rule_for("HEAD", "/v1/changes") == ForCitizens("changes:read")


def test_metrics_are_served_on_their_own_listener_only() -> None:
    with pytest.raises(RouteNotDeclared, match="listener"):
        check_declared([("GET", "/metrics")], "api")
    with pytest.raises(RouteNotDeclared, match="listener"):
        check_declared([("GET", "/v1/changes")], "metrics")


def test_the_table_cannot_be_changed_at_run_time() -> None:
    writable: Any = POLICY
    with pytest.raises(TypeError):
        writable["GET", "/v1/secret"] = Public()
