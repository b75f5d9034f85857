"""Kafka's settings: what is refused, that all of it is said at once, and that no password is ever shown."""

from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from streams.kafka import KafkaConfig, KafkaSink
from streams.kafka.client import one_line
from streams.transport import TransportError

CANARY = "canary-password-1234"


def problems(**settings: object) -> dict[str, str]:
    """What is said of each wrong field."""
    with pytest.raises(ValidationError) as caught:
        KafkaConfig.model_validate({"bootstrap_servers": "kafka:9092", **settings})
    return {str(e["loc"][0]): e["msg"].removeprefix("Value error, ") for e in caught.value.errors()}


def sasl(**settings: object) -> dict[str, object]:
    values = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "attendant",
    }
    return {"bootstrap_servers": "kafka:9093", "sasl_password": CANARY, **values, **settings}


def test_the_defaults_are_those_that_lose_nothing() -> None:
    config = KafkaConfig(bootstrap_servers="kafka:9092")
    assert (config.fetch_max_wait_ms, config.max_poll_records) == (5, 500)
    assert (config.session_timeout_ms, config.rebalance_timeout_ms) == (30_000, 60_000)
    assert config.idempotent


def test_servers_can_be_a_list_or_a_text() -> None:
    several = KafkaConfig.model_validate({"bootstrap_servers": ["one:9092", "[::1]:9093"]})
    assert several.bootstrap_servers == "one:9092,[::1]:9093"
    assert KafkaConfig(bootstrap_servers="one:1, two:2").bootstrap_servers == "one:1,two:2"


@pytest.mark.parametrize(
    "servers", ["", "kafka", "kafka:", "kafka:0", "kafka:65536", "http://kafka:9092", "a:1,,b:2"]
)
def test_a_server_that_is_none_is_named(servers: str) -> None:
    assert "not host:port" in problems(bootstrap_servers=servers)["bootstrap_servers"]


def test_every_problem_is_said_at_once() -> None:
    said = problems(
        bootstrap_servers="kafka",
        group="a b",
        security_protocol="SASL_SSL",
        ssl_cafile="/no/such/ca.pem",
        ssl_keyfile="/no/such/key.pem",
        sasl_mechanism="PLAIN",
        sasl_password=None,
        session_timeout_ms=10_000,
        rebalance_timeout_ms=5_000,
        restore_timeout_s=12,
        max_poll_records=0,
        compression="rar",
        nonsense=1,
    )
    assert said == {
        "bootstrap_servers": "not host:port: 'kafka'",
        "group": "String should match pattern '^[A-Za-z0-9._-]{1,249}$'",
        "ssl_cafile": "no such file: /no/such/ca.pem",
        "ssl_keyfile": "no such file: /no/such/key.pem",
        "sasl_username": "is needed with security_protocol SASL_SSL",
        "sasl_password": "is needed with security_protocol SASL_SSL",
        "rebalance_timeout_ms": "must not be below session_timeout_ms (10000 ms)",
        "restore_timeout_s": "must be below session_timeout_ms (10000 ms): no heartbeat is sent meanwhile",
        "max_poll_records": "Input should be greater than or equal to 1",
        "compression": "Input should be 'none', 'gzip' or 'zstd'",
        "nonsense": "Extra inputs are not permitted",
    }


def test_a_mechanism_without_a_name_is_refused() -> None:
    said = problems(security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-256", sasl_password=CANARY)
    assert said == {"sasl_username": "is needed with security_protocol SASL_SSL"}


def test_credentials_that_would_not_be_used_are_refused() -> None:
    said = problems(sasl_mechanism="PLAIN", sasl_username="attendant", sasl_password=CANARY)
    assert set(said) == {"sasl_mechanism", "sasl_username", "sasl_password"}
    assert set(said.values()) == {"is set, but security_protocol is PLAINTEXT: use SASL_SSL"}


def test_certificates_that_would_not_be_used_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    assert problems(ssl_cafile=file) == {
        "ssl_cafile": "is set, but security_protocol is PLAINTEXT: use SSL or SASL_SSL"
    }
    assert problems(ssl_keyfile=file, security_protocol="SSL") == {
        "ssl_keyfile": "is set without ssl_certfile"
    }


def test_a_readable_password_is_not_sent_over_an_open_line() -> None:
    said = problems(**sasl(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN"))
    assert "readable for all" in said["sasl_mechanism"]


def test_the_password_is_in_no_text() -> None:
    config = KafkaConfig.model_validate(sasl())
    assert CANARY not in f"{config!r} {config} {config.model_dump_json()}"
    assert config.sasl_password is not None
    assert config.sasl_password.get_secret_value() == CANARY
    with pytest.raises(ValidationError) as caught:
        KafkaConfig.model_validate(sasl(security_protocol="SSL", sasl_username=CANARY))
    assert CANARY not in f"{caught.value!r} {caught.value}"


def test_an_error_of_the_client_that_tells_the_password_is_masked() -> None:
    config = KafkaConfig.model_validate(sasl(ssl_key_password="canary-key-5678", ssl_certfile=__file__))
    text = one_line(ValueError(f"login\nwith {CANARY} and canary-key-5678 failed"), config)
    assert text == "login with *** and *** failed"


async def test_files_that_are_no_certificates_are_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    config = KafkaConfig.model_validate(sasl(ssl_cafile=file))
    with pytest.raises(TransportError, match=r"^Kafka: the TLS files cannot be used: .*$"):
        await KafkaSink(config).start()
