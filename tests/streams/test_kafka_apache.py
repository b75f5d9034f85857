"""What only a real Kafka can show: TLS, SASL, a broker that is killed, repeats that are dropped, retention."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka.errors import RequestTimedOutError
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from streams.kafka import DataLoss, KafkaConfig, KafkaSink, KafkaSource, LossCause, ensure_topics
from streams.transport import Message, TopicPartition, TransportError
from tests.brokers.apache_kafka import USER, ApacheKafka
from tests.brokers.desk import Desk, drain, end, fresh, keep_polling, reading, send, true

pytestmark = pytest.mark.kafka


@pytest_asyncio.fixture
async def mortal_kafka(apache_kafka: ApacheKafka) -> AsyncIterator[ApacheKafka]:
    """Apache Kafka for a test that kills it; alive again afterwards."""
    yield apache_kafka
    if not apache_kafka.alive:
        await apache_kafka.start()


@pytest.mark.parametrize("login", ["SCRAM-SHA-512", "PLAIN", "certificate"])
async def test_messages_go_over_tls_with_a_password_or_a_client_certificate(
    apache_kafka: ApacheKafka, login: str
) -> None:
    if login == "certificate":
        config = apache_kafka.tls_config(group=fresh("g"))
    else:
        config = apache_kafka.sasl_config(group=fresh("g"), sasl_mechanism=login)
    topic = fresh()
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"private"])
    async with reading(config, topic) as source:
        assert [m.value for m in await drain(source, 1)] == [b"private"]


def wrong(kafka: ApacheKafka) -> dict[str, tuple[KafkaConfig, str]]:
    """Configurations that must be refused, and what is said."""
    sasl, tls, plain = kafka.sasl_servers, kafka.tls_servers, kafka.bootstrap_servers
    open_line = {"ssl_cafile": None, "security_protocol": "SASL_PLAINTEXT"}
    return {
        "wrong password": (
            kafka.sasl_config(sasl_password="canary-wrong"),
            f"{sasl} refuses user '{USER}': wrong name or password",
        ),
        "wrong password, PLAIN": (
            kafka.sasl_config(sasl_password="wrong", sasl_mechanism="PLAIN"),
            f"{sasl} refuses user '{USER}': wrong name or password",
        ),
        "unknown user": (
            kafka.sasl_config(sasl_username="nobody"),
            f"{sasl} refuses user 'nobody': wrong name or password",
        ),
        "mechanism not offered": (
            kafka.sasl_config(sasl_mechanism="SCRAM-SHA-256"),
            f"{sasl} does not offer SCRAM-SHA-256 on this port: .*",
        ),
        "authority not trusted": (
            kafka.sasl_config(ssl_cafile=kafka.certificates.other_ca),
            f"{sasl} has a certificate that is not trusted: unable to get local issuer certificate",
        ),
        "authority of the system": (
            kafka.sasl_config(ssl_cafile=None),
            f"{sasl} has a certificate that is not trusted: .*",
        ),
        "host name not in the certificate": (
            kafka.sasl_config(bootstrap_servers=sasl.replace("127.0.0.1", "localhost")),
            "localhost:.* has a certificate that is not trusted: Hostname mismatch.*",
        ),
        "open line to the TLS port": (
            kafka.config(bootstrap_servers=sasl),
            f"{sasl} closed the connection: does it expect another protocol than PLAINTEXT\\?",
        ),
        "password over an open line to the TLS port": (
            kafka.sasl_config(**open_line),
            f"{sasl} closed the connection: does it expect another protocol than SASL_PLAINTEXT\\?",
        ),
        "TLS to the open port": (
            kafka.tls_config(bootstrap_servers=plain),
            f"{plain} .*(does not speak TLS on this port|closed the connection|failed in the TLS handshake).*",
        ),
        "no client certificate": (kafka.tls_config(ssl_certfile=None), f"{tls} .*"),
        "no login": (
            kafka.tls_config(bootstrap_servers=sasl),
            f"{sasl} closed the connection: does it expect another protocol than SSL\\?",
        ),
        "nobody there": (
            kafka.config(bootstrap_servers="127.0.0.1:1"),
            "127.0.0.1:1 refuses connections: .*",
        ),
        "no such host": (
            kafka.config(bootstrap_servers="no-such-host.invalid:9092"),
            "no-such-host.invalid:9092 is no known host: .*",
        ),
    }


CASES = [
    "wrong password",
    "wrong password, PLAIN",
    "unknown user",
    "mechanism not offered",
    "authority not trusted",
    "authority of the system",
    "host name not in the certificate",
    "open line to the TLS port",
    "password over an open line to the TLS port",
    "TLS to the open port",
    "no client certificate",
    "no login",
    "nobody there",
    "no such host",
]


@pytest.mark.parametrize("case", CASES)
async def test_a_wrong_connection_is_refused_in_one_line_without_the_password(
    apache_kafka: ApacheKafka, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config, said = wrong(apache_kafka)[case]
    config = config.model_copy(update={"request_timeout_s": 5.0, "connect_timeout_s": 10.0})
    started = time.monotonic()

    async def join() -> None:
        await KafkaSource(config, ["t"]).start(Desk())

    async def create() -> None:
        await ensure_topics(config, {"t": 1})

    for attempt in (join, create, KafkaSink(config).start):
        with pytest.raises(TransportError) as caught:
            await attempt()
        assert re.fullmatch(f"Kafka: {said}", caught.value.reason), caught.value.reason
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert time.monotonic() - started < 40
    assert "canary" not in caplog.text


async def test_a_broker_that_is_killed_and_comes_back_needs_nobody_to_restart_us(
    mortal_kafka: ApacheKafka,
) -> None:
    config, topic = mortal_kafka.config(group=fresh("g")), fresh()
    await ensure_topics(config, {topic: 3})
    sink = KafkaSink(config)
    await sink.start()
    got: list[Message] = []
    async with reading(config, topic) as source:
        polling = asyncio.create_task(keep_polling(source, got))
        for i in range(100):
            await sink.send(topic, key=b"%d" % i, value=b"before")
        await true(lambda: len(got) == 100)
        await source.commit({TopicPartition(topic, m.partition): m.offset + 1 for m in got})
        mortal_kafka.kill()
        await asyncio.sleep(3)
        assert await source.lag() == {}
        assert not polling.done()
        await mortal_kafka.start()
        back = time.monotonic()
        await sink.send_many(topic, [(b"%d" % i, b"after", ()) for i in range(100)])
        await true(lambda: sum(m.value == b"after" for m in got) >= 100)
        recovered_s = time.monotonic() - back
        await end(polling)
        assert source.data_losses == 0
    await sink.stop()
    # Nor were the committed offsets lost: the group goes on where it was.
    assert [m.value for m in got].count(b"before") == 100
    assert recovered_s < 30


async def test_a_broker_that_is_away_longer_than_a_send_may_take_is_an_error_and_then_works_again(
    mortal_kafka: ApacheKafka,
) -> None:
    config, topic = mortal_kafka.config(request_timeout_s=1.0, stop_timeout_s=1.0), fresh()
    await ensure_topics(config, {topic: 1})
    sink = KafkaSink(config)
    await sink.start()
    mortal_kafka.kill()
    started = time.monotonic()
    with pytest.raises(TransportError, match=f"^Kafka did not take messages for topic {topic}"):
        await sink.send(topic, key=None, value=b"lost")
    assert time.monotonic() - started < 5
    await mortal_kafka.start()
    async with asyncio.timeout(30):
        while True:
            try:
                await sink.send(topic, key=None, value=b"again")
                break
            except TransportError:
                await asyncio.sleep(0.1)
    await sink.stop()


async def test_stopping_while_the_broker_is_dead_ends_in_time(mortal_kafka: ApacheKafka) -> None:
    config, topic = mortal_kafka.config(group=fresh("g"), stop_timeout_s=1.0), fresh()
    await ensure_topics(config, {topic: 1})
    sink, source, desk = KafkaSink(config), KafkaSource(config, [topic]), Desk()
    await sink.start()
    await source.start(desk)
    polling = asyncio.create_task(keep_polling(source, []))
    await true(lambda: bool(source.assigned))
    mortal_kafka.kill()
    await end(polling)
    started = time.monotonic()
    await source.stop()
    await sink.stop()
    assert time.monotonic() - started < 10
    assert desk.notes[-1] == "revoked 1"


async def test_what_retention_deleted_is_told_as_a_loss(apache_kafka: ApacheKafka) -> None:
    config, topic = apache_kafka.config(group=fresh("g"), max_poll_records=5), fresh()
    partition = TopicPartition(topic, 0)
    await ensure_topics(config, {topic: 1})
    await send(config, topic, [b"%d" % i for i in range(100)])
    await delete_before(apache_kafka, topic, 60)
    losses: list[DataLoss] = []
    async with reading(config, topic, on_data_loss=losses.append) as source:
        messages = await drain(source, 40)
    assert [m.offset for m in messages] == list(range(60, 100))
    assert losses == [DataLoss(partition, LossCause.NO_OFFSET, None, 60)]
    losses.clear()
    async with reading(config, topic, Desk({partition: 10}), on_data_loss=losses.append) as source:
        messages = await drain(source, 40)
    assert [m.offset for m in messages] == list(range(60, 100))
    assert losses == [DataLoss(partition, LossCause.BELOW_LOG_START, 10, 60)]


async def delete_before(kafka: ApacheKafka, topic: str, offset: int) -> None:
    """What retention does, at once."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    deleted = admin.delete_records([Place(topic, 0, offset)])
    await asyncio.gather(*(asyncio.wrap_future(future) for future in deleted.values()))


async def test_a_repeat_that_the_producer_makes_after_an_error_is_dropped(apache_kafka: ApacheKafka) -> None:
    config, topic = apache_kafka.config(group=fresh("g"), idempotent=True), fresh()
    await ensure_topics(config, {topic: 1})
    sink = KafkaSink(config)
    await sink.start()
    producer = sink._producer
    assert producer is not None
    assert producer._txn_manager is not None
    # Every first answer gets lost on the way, so that every batch is sent twice.
    client_send, seen = producer.client.send, set[int]()

    async def lossy(node: int, request: object, **more: object) -> object:
        answer = await client_send(node, request, **more)
        if type(request).__name__ == "ProduceRequest" and id(request) not in seen:
            seen.add(id(request))
            if len(seen) % 2:
                raise RequestTimedOutError
        return answer

    producer.client.send = lossy
    for i in range(20):
        await sink.send(topic, key=b"k", value=b"%d" % i)
    await sink.stop()
    assert len(seen) > 20
    async with reading(config, topic) as source:
        messages = await drain(source, 20)
        await asyncio.sleep(0.3)
        messages += await source.poll()
    assert [m.value for m in messages] == [b"%d" % i for i in range(20)]


async def test_a_message_that_is_too_large_for_the_topic_is_refused_in_words(
    apache_kafka: ApacheKafka,
) -> None:
    config, topic = apache_kafka.config(), fresh()
    await ensure_topics(config, {topic: 1})
    with pytest.raises(
        TransportError, match=f"did not take messages for topic {topic}: .*MessageSizeTooLarge"
    ):
        await send(config, topic, [b"x" * 2_000_000])
