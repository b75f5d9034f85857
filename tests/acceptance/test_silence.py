"""A device that falls silent is found by the clock alone: nothing else arrives that could move the stream."""

import uuid
from pathlib import Path

from streams.kafka import ensure_topics
from tests.acceptance.service import ServiceProcess, usual_sections, write_config
from tests.acceptance.streams import pumps, send
from tests.conftest import EmbeddedTestBroker

FASTER = 60
"""Device seconds a second: two minutes of silence take two seconds."""


async def test_a_lone_device_that_falls_silent_is_an_alert_and_its_return_resolves_it(
    embedded_broker: EmbeddedTestBroker, tmp_path: Path
) -> None:
    messages = pumps([None], minutes=2)
    topic = f"silence-{uuid.uuid4().hex[:8]}"
    config = embedded_broker.config()
    await ensure_topics(config, {topic: 1, f"{topic}.rejected": 1})
    file = write_config(
        tmp_path / "attendant.toml",
        usual_sections(embedded_broker, topic, tmp_path),
        time_scale=FASTER,
    )
    async with ServiceProcess(file, tmp_path / "log") as service:
        await send(config, topic, messages[:60])
        await service.until("attendant_samples_total", 50, outcome="accepted")
        await service.until("attendant_decisions_total", 1, 30, reason="silent")
        alert = await service.alert("open")
        assert alert["kind"] == "silent"
        assert alert["device"]["id"] == "PUMP-000"
        assert "has sent nothing since" in alert["summary"]
        assert (await service.get("/api/v1/devices/PUMP-000")).json()["state"] == "silent"

        await send(config, topic, messages[60:120])
        again = await service.alert("resolved")
        assert again["id"] == alert["id"]
        assert await service.terminate() == 0
