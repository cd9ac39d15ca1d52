"""Who takes part, as a file an operator keeps and imports: organisations, their agreements, their software's keys."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from contracts.agreement import Agreement
from contracts.body import Body
from contracts.organisation import Organisation
from contracts.text import Code, Strict

Scope = Literal["confirmations:write", "deliveries:read", "receipts:write", "subscriptions:write"]


class RegisteredClient(Strict):
    """An organisation's software, which proves itself with a key of its own (`private_key_jwt`, RFC 7523)."""

    client_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    organisation: Code
    jwks: dict[str, Any]
    """Its public keys (RFC 7517). A private key among them is refused."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]


class Registration(Strict):
    """What is imported together. Organisations replace what is there; a version of an agreement never changes."""

    organisations: tuple[Organisation, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    clients: tuple[RegisteredClient, ...] = ()
    bodies: tuple[Body, ...] = ()
    """Who there is beside the councils and health boards of Wales, connected or not; or edits of those."""
