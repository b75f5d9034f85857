"""Real brokers for the tests, one of each a session. Topics and groups live as long: give yours own names."""

import os
from collections.abc import AsyncIterator
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

from streams.broker import EmbeddedBroker
from streams.kafka import KafkaConfig
from tests.brokers.apache_kafka import ApacheKafka, KafkaMissingError

# A busy machine makes examples slow, not wrong: no deadline for one example, pytest's timeout holds for all.
hypothesis.settings.register_profile(
    "attendant", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("attendant")


class EmbeddedTestBroker(EmbeddedBroker):
    """The broker of the demo, with a configuration whose waits are short enough for tests."""

    def config(self, **changes: object) -> KafkaConfig:
        settings: dict[str, Any] = {"session_timeout_ms": 2_000, "restore_timeout_s": 1.5}
        return KafkaConfig.embedded(
            self.bootstrap_servers, **{**settings, "rebalance_timeout_ms": 10_000, **changes}
        )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_broker() -> AsyncIterator[EmbeddedTestBroker]:
    """The broker of the demo, in memory."""
    async with EmbeddedTestBroker() as broker:
        yield broker


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApacheKafka]:
    """Apache Kafka, one node. Skips where it cannot run, unless ATTENDANT_REQUIRE_KAFKA=1."""
    try:
        kafka = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    except KafkaMissingError as error:
        if os.environ.get("ATTENDANT_REQUIRE_KAFKA") == "1":
            pytest.fail(f"ATTENDANT_REQUIRE_KAFKA=1, but {error}", pytrace=False)
        pytest.skip(f"without Apache Kafka: {error}")
    try:
        await kafka.start()
        yield kafka
    finally:
        kafka.kill()


@pytest.fixture(params=["embedded_broker", pytest.param("apache_kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> EmbeddedTestBroker | ApacheKafka:
    """Each broker in turn: `bootstrap_servers`, and `config(**changes)` for a client of it."""
    found: EmbeddedTestBroker | ApacheKafka = request.getfixturevalue(request.param)
    return found
