"""What the sandbox keeps between starts: its keys and secrets, so that tokens and signatures survive a restart."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from joserfc.jwk import ECKey, RSAKey

SECRET_BYTES: Final = 32
"""Within the 24 to 64 bytes Standard Webhooks asks for."""
RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class SandboxState:
    """The sandbox's data directory. Every file in it is readable by its owner alone."""

    directory: Path
    signing_key: ECKey = field(repr=False)
    """Signs ID tokens and JWT access tokens (ES256)."""
    identity_key: ECKey = field(repr=False)
    """Signs `coreIdentityJWT`; another service's key at GOV.UK One Login, so another key here."""
    pairwise_salt: bytes = field(repr=False)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open `directory`, creating it and the keys at the first start.

        Raises PermissionError, saying what to do, when a kept file can be read by others.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(
            directory=directory,
            signing_key=_ec_key(directory / "provider.jwk"),
            identity_key=_ec_key(directory / "identity-service.jwk"),
            pairwise_salt=_kept(directory / "pairwise.salt", _new_secret),
        )

    def webhook_secret(self, organisation: str) -> bytes:
        """Return the secret shared with one sample organisation, made when first asked for."""
        return _kept(self.directory / f"webhook-{organisation}.secret", _new_secret)

    def client_key(self, client: str, kind: Literal["EC", "RSA"] = "EC") -> ECKey | RSAKey:
        """Return the private key with which `client` signs its assertions, made when first asked for.

        RSA is what GOV.UK One Login registers; EC is P-256. Its public half is `key.as_dict(private=False)`.
        """
        path = self.directory / f"client-{client}-{kind.lower()}.jwk"
        return _ec_key(path) if kind == "EC" else _rsa_key(path)

    def bearer_token(self, organisation: str) -> str:
        """Return the token with which the exchange comes to one sample organisation, made when first asked for."""
        return _kept(
            self.directory / f"bearer-{organisation}.token", lambda: secrets.token_urlsafe(32).encode()
        ).decode()

    def ssh_key(self, name: str) -> bytes:
        """Return a private Ed25519 key as OpenSSH writes it, made when first asked for."""

        def fresh() -> bytes:
            import asyncssh

            return asyncssh.generate_private_key("ssh-ed25519").export_private_key()

        return _kept(self.directory / f"ssh-{name}.key", fresh)

    def public_ssh_key(self, name: str) -> str:
        """Return the public half of `ssh_key(name)` as OpenSSH writes it."""
        import asyncssh

        return asyncssh.import_private_key(self.ssh_key(name)).export_public_key().decode().strip()

    def files_path(self, organisation: str) -> Path:
        """Return the folder of one sample organisation's file server."""
        return self.directory / f"files-{organisation}"

    def inbox_path(self, organisation: str) -> Path:
        """Return where one sample organisation keeps what it was told."""
        return self.directory / f"inbox-{organisation}.sqlite3"


def _new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def _ec_key(path: Path) -> ECKey:
    kept = _kept(path, lambda: _encoded(ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)))
    return ECKey.import_key(json.loads(kept))


def _rsa_key(path: Path) -> RSAKey:
    # no `alg`: it may sign PS256 or RS256, as at GOV.UK One Login
    kept = _kept(path, lambda: _encoded(RSAKey.generate_key(RSA_BITS, {"use": "sig"}, auto_kid=True)))
    return RSAKey.import_key(json.loads(kept))


def _encoded(key: ECKey | RSAKey) -> bytes:
    return json.dumps(key.as_dict(private=True)).encode()


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise PermissionError(f"{path} can be read by others: run chmod 600 on it, or delete it for a new one")
            return file.read()
    except FileNotFoundError:
        pass
    content = make()
    # written beside it and renamed, so that a crash leaves no half key
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return content
