"""A device type of one's own, without a fleet: one recording is learnt from, and the service watches by it."""

import io
import time
import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from monitor.player import Planned
from monitor.workshop import train_command
from streams.kafka import ensure_topics
from streams.recordings import Recording, write_recording
from streams.records import JSON, encode_json
from tests.acceptance.service import ServiceProcess, usual_sections, write_config
from tests.acceptance.streams import send
from tests.conftest import EmbeddedTestBroker
from tests.profiles import gauges_profile

TYPE, CHANNELS = (
    "oxygen-compressor",
    ("inlet_pressure", "outlet_pressure", "motor_current", "oil_temperature"),
)
FAULT_AT = 500


def compressor(seed: int, seconds: int) -> NDArray[np.float32]:
    """(seconds, 4): strokes that all channels but the temperature follow."""
    rng = np.random.default_rng(seed)
    stroke = np.sin(np.arange(seconds) / 5 + seed) + 0.2 * np.sin(np.arange(seconds) / 2)
    columns = (10 - stroke, 80 + 9 * stroke, 4 + 0.5 * stroke, 60 + 0 * stroke)
    noise = rng.normal(0, 1, (seconds, 4)) * (0.1, 0.9, 0.05, 0.3)
    return (np.stack(columns, 1) + noise).astype(np.float32)


def messages(device: str, values: NDArray[np.float32], begin_ms: int) -> list[Planned]:
    """A sample a second."""
    return [
        Planned(t, device, JSON, encode_json(device, TYPE, t, second, dict(zip(CHANNELS, row, strict=True))))
        for second, row in enumerate(values.astype(float).round(4).tolist())
        for t in [begin_ms + 1000 * second]
    ]


def learn(folder: Path) -> None:
    """Profile and model into their folders, from one recording of another compressor."""
    (folder / "profiles").mkdir()
    (folder / "profiles" / f"{TYPE}.toml").write_text(gauges_profile(TYPE, CHANNELS, 1000))
    values = compressor(0, 5400)
    nothing = np.zeros(len(values), np.bool_)
    recording = Recording(
        "C-0", CHANNELS, np.arange(len(values)) * np.float64(1000), values, nothing, nothing, 1.0
    )
    told = train_command(
        [write_recording(recording, folder / "C-0.parquet")], TYPE, folder / "models" / TYPE,
        profile_folders=[folder / "profiles"], console=Console(file=io.StringIO()),
    )  # fmt: skip
    assert told["metrics"]["device_days"] > 0


async def test_a_fault_of_a_device_known_from_one_recording_is_an_alert_that_names_its_channel(
    embedded_broker: EmbeddedTestBroker, tmp_path: Path
) -> None:
    learn(tmp_path)
    topic, begin_ms = f"own-{uuid.uuid4().hex[:8]}", time.time_ns() // 1_000_000 - 900_000
    faulty = compressor(1, 800)
    faulty[FAULT_AT:, 2] += 1.5
    sent = [*messages("C-1", faulty, begin_ms), *messages("C-2", compressor(2, 800), begin_ms)]
    config = embedded_broker.config()
    await ensure_topics(config, {topic: 1, f"{topic}.rejected": 1})
    file = write_config(
        tmp_path / "attendant.toml",
        usual_sections(
            embedded_broker,
            topic,
            tmp_path,
            folders=[str(tmp_path / "models")],
            profile_folders=[str(tmp_path / "profiles")],
        ),
    )
    async with ServiceProcess(file, tmp_path / "log") as service:
        await send(config, topic, sorted(sent, key=lambda one: one.at_ms))
        await service.until("attendant_windows_scored_total", 2 * 370, type=TYPE)
        alert = await service.alert("open")
        assert len(await service.alerts()) == 1
        assert alert["device"]["id"] == "C-1"
        assert alert["channels"][0]["name"] == "motor_current"
        assert alert["channels"][0]["direction"] == 1
        explained = await service.get(f"/api/v1/alerts/{alert['id']}/explanation")
        assert explained.status_code == 200
        assert await service.terminate() == 0
