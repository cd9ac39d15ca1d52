"""Where a Kafka cluster is and how one proves who one is."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster's address and credentials, and how safely topics are kept on it."""

    bootstrap: str
    """`host:port`, or several with commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Certificates to trust; the system's where absent."""
    client_certificate: Path | None = None
    client_key: Path | None = None
    replication_factor: int = 3
    min_insync: int = 2
    """How many replicas must hold a record before an append returns."""

    def __post_init__(self) -> None:
        if self.security_protocol.startswith("SASL") and not (self.username and self.password):
            raise ValueError(f"{self.security_protocol} needs a username and a password")
        if not 1 <= self.min_insync <= self.replication_factor:
            raise ValueError("min_insync must lie between 1 and replication_factor")

    def client_options(self) -> dict[str, Any]:
        """Return what every aiokafka client is given. Raises OSError or ssl.SSLError for unusable certificates."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "client_id": "unwaith",
            "security_protocol": self.security_protocol,
            "request_timeout_ms": 5_000,
            "metadata_max_age_ms": 60_000,
        }
        if self.security_protocol in {"SSL", "SASL_SSL"}:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            if self.client_certificate:
                context.load_cert_chain(self.client_certificate, self.client_key)
            options["ssl_context"] = context
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options
