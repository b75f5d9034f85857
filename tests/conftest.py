"""Real brokers for the tests, one of each a session."""

from collections.abc import AsyncIterator

import hypothesis
import pytest_asyncio

from streams.broker import EmbeddedBroker

# A busy machine makes examples slow, not wrong: no deadline for one example, pytest's timeout holds for all.
hypothesis.settings.register_profile(
    "attendant", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("attendant")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_broker() -> AsyncIterator[EmbeddedBroker]:
    """The broker of the demo, in memory. Topics and groups live a session: give yours names of their own."""
    async with EmbeddedBroker() as broker:
        yield broker
