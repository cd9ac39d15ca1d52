"""An organisation's secret as it is proposed: which one, never what it is."""

import hashlib
from typing import Annotated

from pydantic import Field

from broker.store.keys import Sealed
from contracts.text import Code, Strict


class EntrustedSecret(Strict):
    """The document two people approve. The secret itself was sealed before, and is shown to nobody."""

    organisation: Code
    name: Code
    """One that its adapter takes: `signing`."""
    sealed: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its sealed bytes, which tells nothing of it: what was proposed is what comes into force."""


def entrusted(organisation: str, name: str, sealed: Sealed) -> EntrustedSecret:
    """Return the document for a secret that was sealed."""
    return EntrustedSecret(organisation=organisation, name=name, sealed=hashlib.sha256(sealed.wrapped).hexdigest())
