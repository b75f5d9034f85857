"""Real brokers for the tests, one of each a session."""

from collections.abc import AsyncIterator

import pytest_asyncio

from streams.broker import EmbeddedBroker


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_broker() -> AsyncIterator[EmbeddedBroker]:
    """The broker of the demo, in memory. Topics and groups live a session: give yours names of their own."""
    async with EmbeddedBroker() as broker:
        yield broker
