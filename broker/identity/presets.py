"""What is known of the providers citizens really have, so that settings name one instead of repeating its facts.

GOV.UK One Login: docs.sign-in.service.gov.uk. NHS login: its interface specification, sections 3 to 5
(nhsconnect.github.io/nhslogin). A provider that conforms to OpenID Connect and is neither needs no preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from contracts.person import IdentityLevel

PresetName = Literal["gov-uk-one-login", "nhs-login"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityService:
    """Who states identities, fixed in settings: what a token says of where its keys are is never followed."""

    issuer: str
    did: str
    did_url: str


@dataclass(frozen=True, slots=True)
class Vectors:
    """What is asked for by `vtr` (RFC 8485), each the alternatives: to sign in, and to prove who one is."""

    sign_in: tuple[str, ...]
    prove: tuple[str, ...]

    def met(self, vot: object) -> bool:
        """Return whether `vot` shows the credentials of one of the alternatives. Of identity it says nothing here."""
        shown = set(vot.split(".")) if isinstance(vot, str) else set()
        return any({part for part in one.split(".") if part.startswith("C")} <= shown for one in self.sign_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The facts of one provider."""

    scopes: str = "openid email"
    vectors: Vectors | None = None
    algorithms: frozenset[str] = frozenset({"ES256", "PS256", "RS256"})
    """Of its ID tokens and logout tokens."""
    assertion_algorithm: Literal["PS256", "RS512"] = "PS256"
    """Of our client assertion by an RSA key; one by a P-256 key is ES256."""
    levels: Mapping[str, IdentityLevel] | None = None
    """What its ID token's `vot` proves of an identity; None where it proves nothing."""
    services: Mapping[str, IdentityService] = field(default_factory=dict)
    """Its identity service, by issuer."""


def _one_login(environment: str) -> tuple[str, IdentityService]:
    host = f"identity.{environment}account.gov.uk"
    return f"https://oidc.{environment}account.gov.uk/", IdentityService(
        issuer=f"https://{host}/", did=f"did:web:{host}", did_url=f"https://{host}/.well-known/did.json"
    )


PLAIN: Final = Preset()
"""Any provider that conforms: nobody's identity is proven there."""

ONE_LOGIN: Final = Preset(
    vectors=Vectors(("Cl.Cm",), ("Cl.Cm.P2",)),
    algorithms=frozenset({"ES256", "RS256"}),
    services=MappingProxyType(dict([_one_login(""), _one_login("integration.")])),
)
"""Its `vot` shows how somebody signed in, never who they are: that is its identity service's to state."""

NHS_LOGIN: Final = Preset(
    scopes="openid email basic_demographics profile_extended",
    vectors=Vectors(("P5.Cp.Cd", "P5.Cp.Ck", "P5.Cm"), ("P9.Cp.Cd", "P9.Cp.Ck", "P9.Cm")),
    algorithms=frozenset({"RS512"}),
    assertion_algorithm="RS512",
    levels=MappingProxyType({"P5": IdentityLevel.P1, "P9": IdentityLevel.P2}),
)
"""P5 compared what somebody knows with a record; P9 their face with a document (section 5.1.1). The scope `profile`,
with the NHS number, is asked for only where settings name it (decision 26)."""

PRESETS: Final[Mapping[PresetName, Preset]] = MappingProxyType({"gov-uk-one-login": ONE_LOGIN, "nhs-login": NHS_LOGIN})
