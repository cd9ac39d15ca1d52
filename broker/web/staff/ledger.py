"""What the ledger keeps of acts on the register: who, what of which version, and why. Codes and digests, no values."""

from collections.abc import Sequence
from datetime import datetime

from broker import audit
from contracts.agreement import Agreement


def revoked(actor: str, at: datetime, organisation: str, agreement: str, version: int, reason: str, note: str) -> bytes:
    """Return the leaf of a version that is revoked."""
    detail: dict[str, str | int | Sequence[str]] = {"reason": reason, **({"note": note} if note else {})}
    return audit.leaf(
        "agreement.revoked", at, actor, organisation=organisation, agreement=f"{agreement}/{version}", detail=detail
    )


def tried(actor: str, at: datetime, agreement: Agreement, since: datetime) -> bytes:
    """Return the leaf of a dry run: changes were opened to be counted."""
    return audit.leaf(
        "agreement.tried",
        at,
        actor,
        organisation=agreement.organisation,
        agreement=f"{agreement.id}/{agreement.version}",
        detail={"since": since.isoformat(timespec="seconds")},
    )
