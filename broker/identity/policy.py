"""Who may call what: every route, in one table. The API does not start with a route that is not in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from broker.identity.citizens import Citizen, CitizenTokens
from broker.identity.organisations import CallingOrganisation, OrganisationTokens
from broker.identity.refusals import Absent, Denial, Forbidden, InvalidToken, TokenFault
from contracts.person import IdentityLevel

Listener = Literal["api", "metrics"]
"""Where a route is served. The metrics listener is for the operator's network alone."""


@dataclass(frozen=True, slots=True)
class Public:
    """Anybody who can reach the listener; no token is read."""

    listener: Listener = "api"


@dataclass(frozen=True, slots=True)
class ForCitizens:
    """Citizens with the scope, identified at least so well."""

    scope: str
    level: IdentityLevel = IdentityLevel.P0
    listener: Listener = "api"


@dataclass(frozen=True, slots=True)
class ForOrganisations:
    """Organisations with the scope, each for what is its own."""

    scope: str
    listener: Listener = "api"


Rule = Public | ForCitizens | ForOrganisations
Caller = Citizen | CallingOrganisation
Route = tuple[str, str]
"""Method and path template."""

POLICY: Final[Mapping[Route, Rule]] = MappingProxyType(
    {
        # A citizen tells a change. Whether it needs P2 depends on the kind of change: intake decides.
        ("POST", "/v1/changes/preview"): ForCitizens("changes:write"),
        ("POST", "/v1/changes"): ForCitizens("changes:write"),
        ("POST", "/v1/addresses/search"): ForCitizens("changes:write"),
        # Taking it back may undo what protects somebody: never by less than who could have told it.
        ("POST", "/v1/changes/{reference}/cancellation"): ForCitizens("changes:write", IdentityLevel.P2),
        ("GET", "/v1/changes"): ForCitizens("changes:read"),
        ("GET", "/v1/changes/{reference}"): ForCitizens("changes:read"),
        # An organisation answers later, and asks what became of a sequence, or of everything it was sent.
        ("POST", "/v1/receipts"): ForOrganisations("receipts:write"),
        ("GET", "/v1/deliveries"): ForOrganisations("deliveries:read"),
        # A registrar confirms a death; the register says who is one, by the scope of their software.
        ("POST", "/v1/confirmations"): ForOrganisations("confirmations:write"),
        # One that cannot be called comes for its deliveries, and acknowledges them.
        ("GET", "/v1/events"): ForOrganisations("deliveries:read"),
        ("GET", "/v1/events/{event_id}"): ForOrganisations("deliveries:read"),
        ("DELETE", "/v1/events/{event_id}"): ForOrganisations("receipts:write"),
        # It reads what is agreed with it, and proposes what is its own: two people decide.
        ("GET", "/v1/subscriptions"): ForOrganisations("subscriptions:write"),
        ("POST", "/v1/subscriptions"): ForOrganisations("subscriptions:write"),
        ("POST", "/v1/subscriptions/settings"): ForOrganisations("subscriptions:write"),
        ("GET", "/v1/subscriptions/proposals"): ForOrganisations("subscriptions:write"),
        ("GET", "/v1/subscriptions/proposals/{proposal_id}"): ForOrganisations("subscriptions:write"),
        ("DELETE", "/v1/subscriptions/proposals/{proposal_id}"): ForOrganisations("subscriptions:write"),
        # How an organisation gets its token, and how others can check it.
        ("POST", "/oauth/token"): Public(),
        ("GET", "/.well-known/jwks.json"): Public(),
        ("GET", "/.well-known/jwks/client-assertions.json"): Public(),
        ("GET", "/.well-known/jwks/message-signatures.json"): Public(),
        ("GET", "/.well-known/oauth-authorization-server"): Public(),
        # About the service itself.
        ("GET", "/openapi.json"): Public(),
        ("GET", "/livez"): Public(),
        ("GET", "/readyz"): Public(),
        ("GET", "/metrics"): Public(listener="metrics"),
    }
)


class RouteNotDeclared(LookupError):  # noqa: N818  it says what to do
    """A route is served that the policy does not declare there. Declare it in `broker/identity/policy.py`."""


def rule_for(method: str, path: str) -> Rule:
    """Return the rule of a route; HEAD is GET's. Raises RouteNotDeclared."""
    rule = POLICY.get(("GET" if method == "HEAD" else method, path))
    if rule is None:
        raise RouteNotDeclared(f"{method} {path} is not declared in broker/identity/policy.py")
    return rule


def check_declared(served: Iterable[Route], listener: Listener) -> None:
    """Raise RouteNotDeclared for the first route served on `listener` that is not declared for it."""
    for method, path in served:
        if rule_for(method, path).listener != listener:
            raise RouteNotDeclared(f"{method} {path} must not be served on the {listener} listener")


def allowed(rule: Rule, caller: Caller | None) -> bool:
    """Return whether `caller` may call a route under `rule`. None is somebody who sent no token."""
    return isinstance(rule, Public) or (caller is not None and _denial(rule, caller) is None)


def require(rule: Rule, caller: Caller | None) -> None:
    """Raise InvalidToken (MISSING) or Forbidden unless `allowed`, saying which."""
    if isinstance(rule, Public):
        return
    if caller is None:
        raise InvalidToken(TokenFault.MISSING)
    denial = _denial(rule, caller)
    if denial is not None:
        raise Forbidden(denial, scope=rule.scope if denial is Denial.SCOPE else None)


def _denial(rule: ForCitizens | ForOrganisations, caller: Caller) -> Denial | None:
    match rule, caller:
        case (ForCitizens(), Citizen()) | (ForOrganisations(), CallingOrganisation()):
            pass
        case _:
            return Denial.CALLER
    if rule.scope not in caller.scopes:
        return Denial.SCOPE
    if isinstance(rule, ForCitizens) and isinstance(caller, Citizen) and not caller.level.meets(rule.level):
        return Denial.LEVEL
    return None


def require_own(caller: CallingOrganisation, owner: str | None) -> None:
    """Raise Absent unless `owner` is the calling organisation. None, for what does not exist, raises just the same."""
    if owner != caller.organisation:
        raise Absent


def check_apart(citizens: CitizenTokens, organisations: OrganisationTokens) -> None:
    """Raise ValueError if the two trust domains share an issuer or an audience. Called once, where they are wired."""
    if citizens.issuer == organisations.issuer or citizens.audience == organisations.audience:
        raise ValueError("citizens' and organisations' tokens need different issuers and different audiences")
