"""Reading and writing Kafka, on the embedded broker and on the real one."""

import asyncio
from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer

from streams.kafka import (
    Compression,
    DataLoss,
    KafkaSink,
    KafkaSource,
    LossCause,
    ensure_topics,
)
from streams.kafka.consumer import new_consumer
from streams.transport import Message, TopicPartition, TransportError
from tests.brokers.apache_kafka import ApacheKafka
from tests.brokers.desk import Desk, drain, end, fresh, keep_polling, reading, send, true, until
from tests.conftest import EmbeddedTestBroker

Broker = EmbeddedTestBroker | ApacheKafka


async def test_what_is_sent_arrives_in_order_with_key_and_headers(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 1})
    sink = KafkaSink(config)
    await sink.start()
    await sink.send(topic, key=b"SN-1", value=b"first", headers=[("content-type", b"application/json")])
    await sink.send_many(topic, [(None, b"%d" % i, ()) for i in range(1000)])
    await sink.send_many(topic, [])
    await sink.stop()
    async with reading(config, topic) as source:
        messages = await drain(source, 1001)
    assert messages[0] == Message(topic, 0, 0, b"SN-1", b"first", (("content-type", b"application/json"),))
    assert [m.value for m in messages[1:]] == [b"%d" % i for i in range(1000)]
    assert [m.offset for m in messages] == list(range(1001))


@pytest.mark.parametrize("compression", list(Compression))
async def test_every_compression_is_read_again(broker: Broker, compression: Compression) -> None:
    config, topic = broker.config(group=fresh("g"), compression=compression), fresh()
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"x" * 1000] * 50)
    async with reading(config, topic) as source:
        assert {m.value for m in await drain(source, 50)} == {b"x" * 1000}


async def test_topics_are_created_once_and_left_alone_after(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 3})
    await ensure_topics(config, {topic: 5})
    desk = Desk()
    async with reading(config, topic, desk) as source:
        # A broker may tell of a new topic's partitions one after the other.
        await until(source, lambda: len(source.assigned) >= 3)
        assert source.assigned == {TopicPartition(topic, i) for i in range(3)}


async def test_a_missing_topic_is_named(broker: Broker) -> None:
    with pytest.raises(TransportError, match="Kafka has no topic nobody-made-this"):
        await KafkaSource(broker.config(), ["nobody-made-this"]).start(Desk())


async def test_nothing_is_handed_out_before_the_restore_is_finished(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 2})
    await send(config, topic, [b"waiting"] * 400, key=None)
    restoring = asyncio.Event()
    desk = Desk(restoring=restoring.wait)
    early: list[Message] = []
    async with reading(config, topic, desk) as source:
        await until(source, lambda: bool(desk.notes), into=early)
        for _ in range(10):
            early += await source.poll()
        assert desk.notes == ["assigned 2"]
        assert early == []
        assert source.assigned == frozenset()
        restoring.set()
        assert len(await drain(source, 400)) == 400


async def test_a_restore_that_fails_is_raised_by_poll_and_nothing_is_read(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"waiting"] * 10)

    async def fail() -> None:
        raise RuntimeError("the database is gone")

    async with reading(config, topic, Desk(restoring=fail)) as source:
        with pytest.raises(TransportError, match="could not restore partitions: the database is gone"):
            await drain(source, 1)
        with pytest.raises(TransportError, match="could not restore partitions"):
            await source.poll()


async def test_a_restore_that_takes_too_long_is_raised(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g"), restore_timeout_s=0.3), fresh()
    await ensure_topics(config, {topic: 1})
    async with reading(config, topic, Desk(restoring=asyncio.Event().wait)) as source:
        with pytest.raises(TransportError, match=r"could not restore partitions within 0\.3 s"):
            await drain(source, 1)


async def test_a_save_that_fails_is_raised_by_stop(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 1})

    async def fail() -> None:
        raise RuntimeError("disk full")

    source = KafkaSource(config, [topic])
    await source.start(Desk(saving=fail))
    await until(source, lambda: bool(source.assigned))
    with pytest.raises(TransportError, match="could not save partitions: disk full"):
        await source.stop()


async def test_a_restart_resumes_at_the_committed_offset(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"%d" % i for i in range(100)])
    async with reading(config, topic) as source:
        await drain(source, 100)
        assert await source.lag() == {partition: 0}
        await source.commit({partition: 40})
    losses: list[DataLoss] = []
    async with reading(config, topic, on_data_loss=losses.append) as source:
        messages = await drain(source, 60)
    assert [m.offset for m in messages] == list(range(40, 100))
    assert losses == []


async def test_the_listeners_offset_wins_over_the_committed_one(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"%d" % i for i in range(100)])
    async with reading(config, topic) as source:
        await drain(source, 100)
        await source.commit({partition: 90})
    async with reading(config, topic, Desk({partition: 25})) as source:
        messages = await drain(source, 75)
    assert [m.offset for m in messages] == list(range(25, 100))


@pytest.mark.kafka
async def test_an_offset_beyond_the_end_is_told_as_a_loss_and_read_from_the_earliest(
    apache_kafka: ApacheKafka,
) -> None:
    config, topic = apache_kafka.config(group=fresh("g")), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"%d" % i for i in range(10)])
    losses: list[DataLoss] = []
    async with reading(config, topic, Desk({partition: 5000}), on_data_loss=losses.append) as source:
        messages = await drain(source, 10)
        assert source.data_losses == 1
    assert [m.offset for m in messages] == list(range(10))
    assert losses == [DataLoss(partition, LossCause.BEYOND_LOG_END, 5000, 0)]


@pytest.mark.kafka
async def test_a_position_that_is_none_is_found_while_reading_as_well(apache_kafka: ApacheKafka) -> None:
    config, topic = apache_kafka.config(group=fresh("g")), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"%d" % i for i in range(10)])
    losses: list[DataLoss] = []
    async with reading(config, topic, on_data_loss=losses.append) as source:
        await drain(source, 10)
        # What retention does to a slow reader, and a topic made anew to a fast one.
        consumer = source._consumer
        assert consumer is not None
        consumer.seek(*consumer.assignment(), 7000)
        messages = await drain(source, 10)
    assert [m.offset for m in messages] == list(range(10))
    assert losses == [DataLoss(partition, LossCause.BEYOND_LOG_END, 7000, 0)]


async def test_two_members_share_the_partitions_and_the_second_leaves_them_to_the_first(
    broker: Broker,
) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 6})
    here, there = Desk(), Desk()
    first, second = KafkaSource(config, [topic]), KafkaSource(config, [topic])
    await first.start(here)
    await until(first, lambda: len(first.assigned) == 6)
    got: list[Message] = []
    also: list[Message] = []
    await second.start(there)
    polling = [asyncio.create_task(keep_polling(s, into)) for s, into in ((first, got), (second, also))]
    await true(lambda: len(first.assigned) == len(second.assigned) == 3)
    assert here.held.isdisjoint(there.held)
    assert here.notes == ["assigned 6", "restored", "revoked 6", "assigned 3", "restored"]
    sink = KafkaSink(config)
    await sink.start()
    await sink.send_many(topic, [(b"%d" % i, b"%d" % i, ()) for i in range(600)])
    await sink.stop()
    await true(lambda: len(got) + len(also) >= 600)
    assert {m.partition for m in got}.isdisjoint({m.partition for m in also})
    await end(polling[1])
    await second.stop()
    assert there.notes[-1] == "revoked 3"
    await true(lambda: len(first.assigned) == 6)
    await end(polling[0])
    await first.stop()
    assert here.held == set()
    # Nothing was committed, so the take-over reads the topic again; but nobody missed anything.
    assert Counter(m.value for m in got + also).keys() == {b"%d" % i for i in range(600)}


async def test_a_commit_for_a_partition_that_has_gone_is_left_out(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"x"] * 10)
    async with reading(config, topic) as source:
        await source.commit({partition: 3})  # before anything is assigned
        await drain(source, 10)
        await source.commit({partition: 5, TopicPartition(topic, 77): 1, TopicPartition("other", 0): 1})
        assert source.failed_commits == 0
    async with reading(config, topic) as source:
        assert [m.offset for m in await drain(source, 5)] == list(range(5, 10))


async def test_lag_is_what_waits(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g"), max_poll_records=10), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    for _ in range(50):  # each a batch of its own, because of the embedded broker's way to count
        await send(config, topic, [b"x"])
    async with reading(config, topic) as source:
        assert await source.lag() == {}
        messages = await drain(source, 1)
        assert len(messages) == 10
        assert await source.lag() == {partition: 40}


async def test_a_cancelled_poll_loses_nothing(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g"), poll_timeout_ms=500), fresh()
    await ensure_topics(config, {topic: 1})
    messages: list[Message] = []
    async with reading(config, topic) as source:
        await until(source, lambda: bool(source.assigned))
        for i in range(20):
            polling = asyncio.ensure_future(source.poll())
            await send(config, topic, [b"%d" % i])
            await asyncio.sleep(0.001 * i)
            if not polling.cancel():
                messages += polling.result()
            else:
                await asyncio.gather(polling, return_exceptions=True)
        messages += await drain(source, 20 - len(messages))
    assert [m.value for m in messages] == [b"%d" % i for i in range(20)]


@pytest.mark.kafka
async def test_a_client_that_is_stuck_is_built_anew_and_given_up_the_second_time(
    apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, topic = apache_kafka.config(group=fresh("g"), stalled_after_s=1.0), fresh()
    await ensure_topics(config, {topic: 1})
    desk = Desk()
    async with reading(config, topic, desk) as source:
        await until(source, lambda: bool(source.assigned))
        for rebuilds in (1, 2):  # each time messages came in between
            stick(source)
            await send(config, topic, [b"stuck"] * 5)
            assert len(await drain(source, 5)) >= 5
            assert source.rebuilds == rebuilds
        assert desk.notes[:4] == ["assigned 1", "restored", "revoked 1", "assigned 1"]
        # This time the new client gets stuck as well.
        monkeypatch.setattr(AIOKafkaConsumer, "resume", lambda *_: None)
        stick(source)
        await send(config, topic, [b"stuck"] * 5)
        with pytest.raises(
            TransportError, match=f"messages wait in {topic}/0 but none came for 1 s, also after"
        ):
            await drain(source, 1)
        assert source.rebuilds == 3


def stick(source: KafkaSource) -> None:
    """Let the client fetch nothing and say nothing, as it does after some rejoins."""
    assert source._consumer is not None
    source._consumer.pause(*source._consumer.assignment())


async def test_a_quiet_topic_is_not_taken_for_a_stuck_client(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g"), stalled_after_s=0.3), fresh()
    await ensure_topics(config, {topic: 1})
    async with reading(config, topic) as source:
        await until(source, lambda: bool(source.assigned))
        for _ in range(20):
            assert list(await source.poll()) == []
        await asyncio.sleep(0.5)  # nobody polls, messages come: not the client's fault either
        await send(config, topic, [b"late"])
        await drain(source, 1)
        assert source.rebuilds == 0


async def test_the_clients_dangerous_defaults_are_off(embedded_broker: EmbeddedTestBroker) -> None:
    consumer = new_consumer(embedded_broker.config())
    assert [a.name for a in consumer._partition_assignment_strategy] == ["roundrobin"]
    assert consumer._enable_auto_commit is False
    assert consumer._auto_offset_reset == "none"
    assert consumer._fetch_max_wait_ms == 5
    assert consumer._rebalance_timeout_ms > consumer._session_timeout_ms
    assert consumer._request_timeout_ms > consumer._rebalance_timeout_ms
    await consumer.stop()


async def test_a_save_that_fails_in_a_rebalance_is_raised_by_poll(broker: Broker) -> None:
    config, topic = broker.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 2})

    async def fail() -> None:
        raise RuntimeError("disk full")

    async with reading(config, topic, Desk(saving=fail)) as first:
        await until(first, lambda: bool(first.assigned))
        second = KafkaSource(config, [topic])
        await second.start(Desk())
        with pytest.raises(TransportError, match="could not save partitions: disk full"):
            await drain(first, 1)
        assert first.assigned == frozenset()
        await second.stop()


async def test_a_client_that_never_gets_into_the_group_is_built_anew_and_given_up(
    embedded_broker: EmbeddedTestBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"session_timeout_ms": 1000, "rebalance_timeout_ms": 1000, "restore_timeout_s": 0.5}
    config = embedded_broker.config(group=fresh("g"), stalled_after_s=0.3, **changes)
    topic = fresh()
    await ensure_topics(config, {topic: 1})
    monkeypatch.setattr(AIOKafkaConsumer, "subscribe", lambda *_args, **_more: None)
    async with reading(config, topic) as source:
        with pytest.raises(TransportError, match=r"no partitions were assigned within 1\.3 s, also after"):
            await drain(source, 1)
        assert source.rebuilds == 1


async def test_a_lost_connection_is_tried_again_until_it_has_lasted_too_long() -> None:
    async with EmbeddedTestBroker() as mortal:
        config, topic = mortal.config(group=fresh("g"), give_up_after_s=2.5, stop_timeout_s=1.0), fresh()
        await ensure_topics(config, {topic: 1})
        desk = Desk()
        async with reading(config, topic, desk) as source:
            await until(source, lambda: bool(source.assigned))
            await mortal.stop()
            assert source._consumer is not None
            await source._rebuild(source._consumer, "a test")
            assert desk.notes[-1] == "revoked 1"
            assert list(await source.poll()) == []
            assert not source.connected
            assert await source.lag() == {}
            await source.commit({TopicPartition(topic, 0): 1})
            with pytest.raises(TransportError, match="refuses connections: no broker listens there"):
                await drain(source, 1)


async def test_a_broker_that_cannot_drop_repeats_is_named_as_such(
    embedded_broker: EmbeddedTestBroker,
) -> None:
    with pytest.raises(TransportError, match="does it know idempotent producers"):
        await KafkaSink(embedded_broker.config(idempotent=True)).start()
