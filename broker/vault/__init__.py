"""Keys: the root, the key-encryption keys, one data key a person, secrets for one purpose each; and the gate.

Nothing that knows a change's content may enter: keys go out, data never comes in.
"""

from broker.vault.gate import StoreGate
from broker.vault.keys import PersonGone, PersonKey, RootKey, RootKeyFile, Vault
from broker.vault.signing import PURPOSES, Purpose, SigningKeys

__all__ = [
    "PURPOSES",
    "PersonGone",
    "PersonKey",
    "Purpose",
    "RootKey",
    "RootKeyFile",
    "SigningKeys",
    "StoreGate",
    "Vault",
]
