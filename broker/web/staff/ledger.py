"""What the ledger keeps of acts on the register: who, what of which version, and why. Codes and digests, no values."""

from collections.abc import Callable, Sequence
from datetime import datetime

from broker import audit
from broker.store.proposals import Proposal
from contracts.agreement import Agreement


def on_proposals(
    actor: str, at: datetime, *, reason: str = "", note: str = ""
) -> Callable[[Proposal, str], Sequence[bytes]]:
    """Return what makes the leaves of one person's act on a proposal (`register.proposing.Leaves`)."""

    def leaves(proposal: Proposal, what: str) -> Sequence[bytes]:
        detail: dict[str, str | int | Sequence[str]] = {
            "kind": proposal.kind,
            "subject": proposal.subject,
            "version": proposal.based_on + 1,
            "proposal": str(proposal.id),
            "digest": proposal.digest.hex(),
        }
        detail |= {name: value for name, value in (("reason", reason), ("note", note)) if value}
        agreement = f"{proposal.subject}/{proposal.based_on + 1}" if proposal.kind == "agreement" else None
        return [
            audit.leaf(
                f"proposal.{what}", at, actor, organisation=proposal.organisation, agreement=agreement, detail=detail
            )
        ]

    return leaves


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
