"""What the ledger keeps of acts on proposals for the register: who, what of which version, why. Codes and digests, no values."""

from collections.abc import Callable, Sequence
from datetime import datetime

from broker import audit
from broker.store.proposals import Proposal


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
