"""Killed in mid-stream and started again: the alerts of an uninterrupted run, none twice."""

import uuid
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monitor.receiver import WebhookReceiver
from streams.kafka import ensure_topics
from tests.acceptance.service import ServiceProcess, usual_sections, write_config
from tests.acceptance.streams import pumps, send
from tests.conftest import EmbeddedTestBroker

FAULTS = ("downstream_occlusion", None, "pressure_sensor_drift", "motor_wear", None, "air_sensor_soiling")
SECRET = "whsec_" + b64encode(b"acceptance" * 4).decode()


def _config(folder: Path, broker: EmbeddedTestBroker, topic: str, receiver: WebhookReceiver) -> Path:
    sections = usual_sections(broker, topic, folder)
    sections["kafka"] |= {
        # A killed member's partitions come free after this; the embedded broker takes short ones.
        "session_timeout_ms": max(broker.config().session_timeout_ms, 6000),
        "restore_timeout_s": 5,
        "max_poll_records": 50,
    }
    sections["database"]["checkpoint_interval_s"] = 0.3
    webhook = {"name": "work-orders", "url": receiver.url, "secrets": [SECRET], "allow": ["127.0.0.0/8"]}
    return write_config(folder / f"{topic}.toml", sections, [webhook])


def _essence(alerts: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """What must not differ: which alerts, when, how strong, with which channels and which faults in mind."""
    return {
        (
            alert["id"],
            alert["status"],
            alert["started_at"],
            alert["detected_at"],
            alert["peak"],
            tuple((channel["name"], channel["share"], channel["since"]) for channel in alert["channels"]),
            tuple((told["fault"], told["confidence"]) for told in alert["hypotheses"]),
        )
        for alert in alerts
    }


async def _pictures(service: ServiceProcess, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """Alert → what stands behind its picture."""
    return {
        alert["id"]: (await service.get(f"/api/v1/alerts/{alert['id']}/explanation")).json()
        for alert in alerts
    }


async def _delivered(service: ServiceProcess) -> None:
    await service.until("attendant_ready", 1, check="database")
    for _ in range(200):
        waiting = await service.figure("attendant_undelivered", notifier="work-orders")
        oldest = await service.figure("attendant_oldest_undelivered_timestamp_seconds")
        if not waiting and not oldest:
            return


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_kill_9_twice_gives_the_alerts_of_an_uninterrupted_run(
    embedded_broker: EmbeddedTestBroker, tmp_path: Path
) -> None:
    messages = pumps(FAULTS, minutes=50)
    whole, broken = f"whole-{uuid.uuid4().hex[:8]}", f"broken-{uuid.uuid4().hex[:8]}"
    config = embedded_broker.config()
    await ensure_topics(config, {name: 1 for t in (whole, broken) for name in (t, f"{t}.rejected")})

    async with WebhookReceiver(SECRET, lambda: 0) as receiver:
        await send(config, whole, messages)
        async with ServiceProcess(
            _config(tmp_path, embedded_broker, whole, receiver), tmp_path / "whole.log"
        ) as service:
            await service.until("attendant_messages_total", len(messages), 120, topic=whole)
            await _delivered(service)
            assert await service.terminate() == 0
        async with ServiceProcess(
            _config(tmp_path, embedded_broker, whole, receiver), tmp_path / "again.log"
        ) as service:
            expected = await service.alerts()
            behind = await _pictures(service, expected)
    assert {alert["device"]["id"] for alert in expected} >= {"PUMP-000", "PUMP-002", "PUMP-003"}
    assert all(picture["channels"] for picture in behind.values())

    async with WebhookReceiver(SECRET, lambda: 0) as receiver:
        file, log = _config(tmp_path, embedded_broker, broken, receiver), tmp_path / "broken.log"
        third = len(messages) // 3
        for part in (messages[:third], messages[third : 2 * third]):
            await send(config, broken, part)
            async with ServiceProcess(file, log) as service:
                await service.until("attendant_messages_total", third // 2, topic=broken)
                await service.kill()
        await send(config, broken, messages[2 * third :])
        async with ServiceProcess(file, log) as service:
            await service.until("attendant_partition_progress_timestamp_seconds", 1, topic=broken)
            await service.until("attendant_messages_total", third // 2, topic=broken)
            await _caught_up(service, broken)
            await _delivered(service)
            assert await service.terminate() == 0
        async with ServiceProcess(file, log) as service:
            found = await service.alerts()
            assert await _pictures(service, found) == behind
        ids = [delivery.id for delivery in receiver.received]

    assert _essence(found) == _essence(expected)
    assert [alert for alert, times in Counter(alert["id"] for alert in found).items() if times > 1] == []
    assert len(ids) == len(set(ids))
    assert receiver.refused == 0


async def _caught_up(service: ServiceProcess, topic: str) -> None:
    """Nothing left to read, twice in a row."""
    calm = 0
    for _ in range(600):
        calm = calm + 1 if await service.figure("attendant_consumer_lag_messages", topic=topic) == 0 else 0
        if calm >= 30:
            return
