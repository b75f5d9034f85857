"""How to reach a Kafka cluster and how to behave there. Frozen; opens no socket; prints no password."""

import re
import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class SecurityProtocol(StrEnum):
    """Kafka's own names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def encrypted(self) -> bool:
        return self in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @property
    def authenticated(self) -> bool:
        """By SASL; a client certificate is another matter."""
        return self in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


class SaslMechanism(StrEnum):
    """Those that need no token renewal, which aiokafka cannot do on a live connection."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class Compression(StrEnum):
    """Of what is sent; every kind is read."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


def _joined(servers: Any) -> Any:
    return ",".join(map(str, servers)) if isinstance(servers, list | tuple) else servers


class KafkaConfig(BaseModel):
    """A cluster and a group. Every wrong field is reported, not only the first."""

    # A refused value could be a password in the wrong field, so errors don't show it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    bootstrap_servers: Annotated[str, BeforeValidator(_joined)]
    """`host:port`, several with commas (or a list)."""
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "attendant"
    """Workers of one group share the partitions."""
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "attendant"

    security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    ssl_cafile: Path | None = None
    """PEM file of the authorities to trust; None: those of the system."""
    ssl_certfile: Path | None = None
    """PEM file of the client certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    """PEM file of its key, where that is not in `ssl_certfile`."""
    ssl_key_password: SecretStr | None = None
    sasl_mechanism: SaslMechanism | None = None
    sasl_username: Annotated[str, Field(min_length=1)] | None = None
    sasl_password: SecretStr | None = None

    fetch_max_wait_ms: Annotated[int, Field(ge=0, le=1000)] = 5
    """How long the broker may hold back an empty answer; the default of clients, 500 ms, is an alert's delay."""
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 500
    poll_timeout_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    """`poll` answers empty after this long."""
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=1_800_000)] = 30_000
    """A worker that the broker hears nothing of for so long loses its partitions."""
    rebalance_timeout_ms: Annotated[int, Field(ge=1_000, le=1_800_000)] = 60_000
    max_poll_interval_ms: Annotated[int, Field(ge=10_000)] = 900_000
    """A worker that doesn't poll for so long (its database is away, say) gives its partitions back."""
    restore_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    """For saving and restoring the state of partitions in a rebalance, during which no heartbeat is sent."""
    stalled_after_s: Annotated[float, Field(gt=0)] = 60.0
    """Messages wait and none comes for so long: the client is built anew, the second time given up."""
    give_up_after_s: Annotated[float, Field(gt=0)] = 900.0
    """A lost connection that cannot be made again for so long is an error."""
    connect_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    request_timeout_s: Annotated[float, Field(gt=0)] = 15.0
    """For one answer of the broker, and for one message to be taken."""
    stop_timeout_s: Annotated[float, Field(gt=0)] = 10.0

    compression: Compression = Compression.NONE
    linger_ms: Annotated[int, Field(ge=0, le=1000)] = 5
    idempotent: bool = True
    """The broker drops repeats of a message that was sent twice after an error. The embedded one cannot."""
    replication_factor: Annotated[int, Field(ge=1, le=10)] | None = None
    """Of topics created by us; None: three copies, or as many as there are brokers."""

    @classmethod
    def embedded(cls, bootstrap_servers: str, **changes: Any) -> "KafkaConfig":
        """For `streams.broker.EmbeddedBroker`: it cannot drop repeats, and lets a group wait half a session."""
        settings = {"idempotent": False, "session_timeout_ms": 6_000, "restore_timeout_s": 5.0}
        return cls(bootstrap_servers=bootstrap_servers, **{**settings, **changes})

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, servers: str) -> str:
        wrong = []
        for server in servers.split(","):
            match = _SERVER.fullmatch(server.strip())
            if not match or not 0 < int(match[2]) < 65536:
                wrong.append(repr(server.strip()[:100]))
        if wrong:
            raise ValueError(f"not host:port: {', '.join(wrong)}")
        return ",".join(server.strip() for server in servers.split(","))

    @field_validator("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password")
    @classmethod
    def _only_with_tls(cls, value: Path | SecretStr | None, info: ValidationInfo) -> Path | SecretStr | None:
        protocol = info.data.get("security_protocol")
        if value is None or protocol is None:
            return value
        if not protocol.encrypted:
            raise ValueError(f"is set, but security_protocol is {protocol}: use SSL or SASL_SSL")
        if isinstance(value, Path) and not value.is_file():
            raise ValueError(f"no such file: {value}")
        if info.field_name == "ssl_keyfile" and info.data.get("ssl_certfile", value) is None:
            raise ValueError("is set without ssl_certfile")
        return value

    @field_validator("sasl_mechanism", "sasl_username", "sasl_password")
    @classmethod
    def _only_with_sasl(cls, value: Any, info: ValidationInfo) -> Any:
        protocol = info.data.get("security_protocol")
        if protocol is None:
            return value
        if value is not None and not protocol.authenticated:
            raise ValueError(f"is set, but security_protocol is {protocol}: use SASL_SSL")
        if value is None and protocol.authenticated:
            raise ValueError(f"is needed with security_protocol {protocol}")
        if value is SaslMechanism.PLAIN and not protocol.encrypted:
            raise ValueError(
                "PLAIN would send the password readable for all: use SASL_SSL, or a SCRAM mechanism"
            )
        return value

    @field_validator("restore_timeout_s")
    @classmethod
    def _within_the_session(cls, timeout_s: float, info: ValidationInfo) -> float:
        session_ms = info.data.get("session_timeout_ms")
        if session_ms is not None and timeout_s * 1000 >= session_ms:
            raise ValueError(
                f"must be below session_timeout_ms ({session_ms} ms): no heartbeat is sent meanwhile"
            )
        return timeout_s

    @field_validator("rebalance_timeout_ms")
    @classmethod
    def _a_session_at_least(cls, timeout_ms: int, info: ValidationInfo) -> int:
        session_ms = info.data.get("session_timeout_ms")
        if session_ms is not None and timeout_ms < session_ms:
            raise ValueError(f"must not be below session_timeout_ms ({session_ms} ms)")
        return timeout_ms

    def ssl_context(self) -> ssl.SSLContext | None:
        """A context that checks certificate and host name; None where the protocol is not encrypted.

        Raises:
            OSError, ssl.SSLError: a file that is no certificate or key, or a wrong key password.
        """
        if not self.security_protocol.encrypted:
            return None
        context = ssl.create_default_context(cafile=str(self.ssl_cafile) if self.ssl_cafile else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ssl_certfile:
            # An empty answer instead of None: OpenSSL would otherwise ask at the terminal.
            password = self.ssl_key_password.get_secret_value() if self.ssl_key_password else ""
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password)
        return context

    def secrets(self) -> tuple[str, ...]:
        """What must appear in no log line and no error."""
        return tuple(s.get_secret_value() for s in (self.sasl_password, self.ssl_key_password) if s)
