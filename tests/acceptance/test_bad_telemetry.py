"""Telemetry that cannot be read: set aside with its reason, and nothing good is lost by it."""

import asyncio
import hashlib
import uuid
from collections import Counter
from pathlib import Path

from monitor.player import Planned
from streams.kafka import KafkaSource, ensure_topics
from streams.records import JSON, RejectReason
from streams.transport import Message, TopicPartition
from tests.acceptance.service import ServiceProcess, usual_sections, write_config
from tests.acceptance.streams import pumps, send
from tests.conftest import EmbeddedTestBroker

BAD = 10_000
SPOILT = (
    lambda good: good[:-1],  # cut off
    lambda good: good.replace(b'"v":1', b'"v":7'),
    lambda good: good.replace(b"infusion-pump", b"coffee-machine"),
    lambda good: good.replace(b'"values":{', b'"values":{"patient_name":1,'),
    lambda good: good.replace(b'"t":', b'"t":1e400,"x":'),
    lambda good: b"\xff\xfe" + good,
    lambda _: b"",
    lambda _: b"[" * 5_000,
    lambda good: good.replace(b'"seq":', b'"seq":1,"seq":'),
    lambda good: good.replace(b'"v":1', b'"v":1,"v":1'),
)


async def _all(broker: EmbeddedTestBroker, topic: str, n: int) -> list[Message]:
    class Start:
        async def assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int | None]:
            return dict.fromkeys(partitions, 0)

        async def revoked(self, partitions: list[TopicPartition]) -> None:
            return None

    source = KafkaSource(broker.config(group=f"reader-{uuid.uuid4().hex}"), [topic])
    await source.start(Start())  # type: ignore[arg-type] # lists are sequences enough here
    found: list[Message] = []
    for _ in range(300):
        found += await source.poll()
        if len(found) >= n:
            break
    await source.stop()
    return found


async def _settled(service: ServiceProcess, samples: int) -> dict[str, float]:
    """What became of the samples, once every one is accounted for."""
    outcomes: dict[str, float] = {}
    for _ in range(300):
        for outcome in ("accepted", "duplicate", "late"):
            outcomes[outcome] = await service.figure("attendant_samples_total", outcome=outcome)
        if sum(outcomes.values()) >= samples:
            break
        await asyncio.sleep(0.1)
    return outcomes


async def test_10_000_bad_messages_between_10_000_good_ones(
    embedded_broker: EmbeddedTestBroker, tmp_path: Path
) -> None:
    good = pumps([None] * 4, minutes=45)[:BAD]
    assert len(good) == BAD
    bad = [Planned(m.at_ms, m.device, JSON, SPOILT[i % len(SPOILT)](m.value)) for i, m in enumerate(good)]
    mixed = [message for pair in zip(good, bad, strict=True) for message in pair]
    topic = f"mixed-{uuid.uuid4().hex[:8]}"
    config = embedded_broker.config()
    await ensure_topics(config, {topic: 2, f"{topic}.rejected": 1})
    await send(config, topic, mixed)
    file = write_config(
        tmp_path / "attendant.toml",
        usual_sections(embedded_broker, topic, tmp_path),
    )
    async with ServiceProcess(file, tmp_path / "log") as service:
        await service.until("attendant_messages_total", len(mixed), topic=topic)
        outcomes = await _settled(service, BAD)
        assert await service.terminate() == 0

    rejected = await _all(embedded_broker, f"{topic}.rejected", BAD)
    headers = [{name: value.decode() for name, value in message.headers} for message in rejected]
    assert sum(outcomes.values()) == BAD
    assert outcomes["accepted"] > 0.97 * BAD  # the simulated road repeats and delays some
    assert Counter(m.value for m in rejected) == Counter(m.value for m in bad)
    assert {h["rejected-reason"] for h in headers} <= {reason.value for reason in RejectReason}
    assert [h["source-sha256"] for h in headers] == [hashlib.sha256(m.value).hexdigest() for m in rejected]
    assert {(h["source-topic"], int(h["source-partition"]) >= 0) for h in headers} == {(topic, True)}
