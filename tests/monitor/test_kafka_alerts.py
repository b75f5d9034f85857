"""Alerts on a Kafka topic, through a real broker, read back by an independent client."""

import asyncio
import json

import confluent_kafka

from monitor.dispatch import Dispatcher, DispatchSettings, wall_ms
from monitor.notifiers.kafka_topic import KafkaAlertsSettings, KafkaTopicNotifier
from monitor.outbox import Work
from streams.kafka import KafkaSink, ensure_topics
from tests.brokers.apache_kafka import ApacheKafka
from tests.conftest import EmbeddedTestBroker
from tests.monitor.test_dispatch import running, settled
from tests.monitor.test_outbox import opened
from tests.monitor.worlds import story


def read(servers: str, topic: str, count: int) -> list[confluent_kafka.Message]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": servers, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    found: list[confluent_kafka.Message] = []
    while len(found) < count:
        message = consumer.poll(20)
        assert message is not None, f"{len(found)} of {count} messages"
        assert message.error() is None
        found.append(message)
    consumer.close()
    return found


async def test_alerts_reach_the_topic_in_order(
    broker: EmbeddedTestBroker | ApacheKafka, sqlite_url: str
) -> None:
    topic, events = "alerts-in-order", [event for i in range(5) for event in story(f"SN-{i}")]
    config = broker.config()
    await ensure_topics(config, {topic: 1})
    sink = KafkaSink(config)
    await sink.start()
    notifier = KafkaTopicNotifier(KafkaAlertsSettings(topic=topic), sink)
    async with opened(sqlite_url, notifier.name) as outbox:
        await outbox.record(Work(events=events, now_ms=wall_ms()))
        async with running(Dispatcher(outbox, [notifier], DispatchSettings(poll_s=0.2))):
            await settled(outbox, 30)
    await sink.stop()

    messages = await asyncio.to_thread(read, broker.bootstrap_servers, topic, len(events))
    by_device: dict[str, list[str]] = {}
    for message in messages:
        headers = dict(message.headers() or [])
        key, value = message.key(), message.value()
        assert key is not None
        assert value is not None
        assert json.loads(value)["type"].encode() == headers["type"]
        identity = headers["id"]
        assert isinstance(identity, bytes)
        by_device.setdefault(str(key), []).append(identity.decode())
    assert by_device == {
        str(f"SN-{i}".encode()): [e.id for e in events if e.alert.device.id == f"SN-{i}"] for i in range(5)
    }
