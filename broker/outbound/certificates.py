"""Our certificate for one organisation, shown wherever its TLS asks for one (mutual TLS)."""

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.delivery import Failure, Misconfigured
from contracts.statuses import Reason

_REFUSALS: Final = ("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_ACCESS_DENIED", "ALERT_CERTIFICATE_", "ALERT_UNSUPPORTED_CERTIFICATE")  # fmt: skip
"""What OpenSSL calls the alerts that are about our certificate (RFC 8446, section 6.2)."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate with its private key, and when it may be shown."""

    pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    clock: Callable[[], datetime]

    @classmethod
    def read(cls, pem: bytes, clock: Callable[[], datetime]) -> "ClientCertificate":
        """Return what is in a PEM: the certificate, those between it and its authority, its private key.

        Raises ValueError, repeating nothing of it, for anything else, for a key with a passphrase or of another's, and for
        what TLS does not take.
        """
        try:
            first = x509.load_pem_x509_certificates(pem)[0]
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):  # TypeError: it has a passphrase
            raise ValueError(
                "must be PEM: a certificate, those above it, its private key without a passphrase"
            ) from None
        if key.public_key() != first.public_key():
            raise ValueError("has a private key that is not the certificate's")
        certificate = cls(pem, first.not_valid_before_utc, first.not_valid_after_utc, clock)
        certificate.shown_in(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return certificate

    def shown_in(self, rules: ssl.SSLContext) -> ssl.SSLContext:
        """Return the rules, which now show this certificate."""
        with _file_of(self.pem) as file:
            try:
                rules.load_cert_chain(file)
            except ssl.SSLError:
                raise ValueError("cannot be used by TLS: is its key too short?") from None
        return rules

    def check(self) -> None:
        """Raises Misconfigured where it may not be shown any more, or not yet."""
        if not self.not_before <= self.clock() < self.not_after:
            raise Misconfigured(Reason.CERTIFICATE_EXPIRED)


def failure_of(fault: ssl.SSLError) -> Failure:
    """Return what a fault of TLS means. Nothing was taken in: where TLS 1.3 tells late, it refused what was sent, too."""
    about_ours = any(name in (fault.reason or "") for name in _REFUSALS)
    return Misconfigured(Reason.CERTIFICATE_REFUSED if about_ours else Reason.TLS_FAILED)


@contextmanager
def _file_of(pem: bytes) -> Iterator[str]:
    """Give a name under which OpenSSL reads the bytes, which it does from files alone: in memory where that is to be had."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        handle = os.memfd_create("certificate")
        try:
            os.write(handle, pem)
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory() as folder:  # its mode is 0700
        file = Path(folder) / "certificate.pem"
        file.write_bytes(pem)
        yield str(file)
