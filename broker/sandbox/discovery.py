"""The documents by which a client finds its way (OpenID Connect Discovery 1.0, did:web)."""

from typing import Any

from joserfc.jwk import ECKey

from broker.sandbox.authorization import CLAIMS, SCOPES
from broker.sandbox.tokens import Names


def discovery_document(names: Names) -> dict[str, Any]:
    issuer = names.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}authorize",
        "token_endpoint": f"{issuer}token",
        "userinfo_endpoint": f"{issuer}userinfo",
        "end_session_endpoint": f"{issuer}logout",
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["PS256", "RS256", "ES256"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "subject_types_supported": ["pairwise"],
        "claim_types_supported": ["normal"],
        "claims_supported": ["sub", "email", "email_verified", "nhs_number", *sorted(CLAIMS)],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "ui_locales_supported": ["cy", "en"],
        "trustmarks": names.trustmark,
    }


def did_document(names: Names, key: ECKey) -> dict[str, Any]:
    """Return the identity service's DID document; clients match the whole `id` of a key against a token's `kid`."""
    public = key.as_dict(private=False)
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/jwk/v1"],
        "id": names.did,
        "assertionMethod": [
            {
                "type": "JsonWebKey",
                "id": names.identity_kid(key),
                "controller": names.did,
                "publicKeyJwk": {name: public[name] for name in ("kty", "crv", "x", "y")} | {"alg": "ES256"},
            }
        ],
    }
