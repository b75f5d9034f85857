"""`attendant bench`: the road from a real broker to the score, measured on this machine.

Three parts over the embedded broker: reading without doing anything (the limit), the whole service over the same
messages, and the delay of a sample at a steady pace. Quote the ratio: it holds when the machine's speed drifts.
"""

import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import SecretStr
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from models.scoring import Score
from monitor.app import Service, open_service
from monitor.logs import configure_logging
from monitor.pipeline import Observers
from monitor.settings import DatabaseSettings, ModelSettings, Settings, TelemetrySettings, WebSettings
from streams.blocks import WindowBatch
from streams.broker import EmbeddedBroker
from streams.devices import DeviceProfile
from streams.kafka import KafkaConfig, KafkaSink, KafkaSource, ensure_topics
from streams.records import JSON, encode_json
from streams.simulation import simulate
from streams.transport import TopicPartition

DEVICE_TYPE = "infusion-pump"
PARTITIONS = 4
PACED_TICKS_PER_S = 20
PACED_S = 10
ROUNDS = 3
SEND_BATCH = 5000
HEADERS = (("content-type", JSON.encode()),)

COLUMNS = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

Encoded = tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]]


class Everything:
    """Reads every assigned partition from its beginning."""

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        return dict.fromkeys(partitions, 0)

    async def revoked(self, _partitions: Sequence[TopicPartition]) -> None:
        return None


class Latencies:
    """From the sending of the sample that made a window due to the window's score, in seconds."""

    def __init__(self, profile: DeviceProfile, start_ms: int) -> None:
        self._profile = profile
        self._start_ms = start_ms
        self.sent_at: list[float] = []
        """`time.perf_counter()` when each second of device time was sent."""
        self.seconds: list[float] = []

    def scored(self, batch: WindowBatch, _score: Score) -> None:
        now = time.perf_counter()
        for end_t in batch.end_t.tolist():
            tick = math.ceil((end_t + self._profile.lateness_ms - self._start_ms) / 1000)
            if 0 <= tick < len(self.sent_at):
                self.seconds.append(now - self.sent_at[tick])


def run_benchmark(samples: int, devices: int, console: Console | None = None) -> dict[str, Any]:
    """Run all parts and answer with the figures."""
    configure_logging("warning", "console")
    return asyncio.run(_run(samples, devices, console or Console()))


async def _run(samples: int, devices: int, console: Console) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attendant-bench-")))
        broker = await stack.enter_async_context(EmbeddedBroker())
        progress = stack.enter_context(Progress(*COLUMNS, console=console))
        kafka = KafkaConfig(
            bootstrap_servers=broker.bootstrap_servers, idempotent=False, max_poll_records=5000
        )
        await ensure_topics(kafka, {"flood": PARTITIONS, "paced": PARTITIONS, "telemetry.rejected": 1})
        sink = KafkaSink(kafka)
        await sink.start()
        stack.push_async_callback(sink.stop)
        fleet = Fleet(devices)
        await _send(sink, "flood", fleet.messages(samples), samples, progress)
        rounds = [await _round(number, kafka, folder, samples, progress) for number in range(ROUNDS)]
        latency = await _paced(kafka, folder, fleet, sink, progress)
    figures = {
        "samples_per_s": round(median(samples / road["seconds"] for _, road in rounds)),
        "windows_per_s": round(median(road["windows"] / road["seconds"] for _, road in rounds)),
        "raw_consume_per_s": round(median(raw for raw, _ in rounds)),
        "ratio_to_raw": round(median(samples / road["seconds"] / raw for raw, road in rounds), 4),
        "latency_ms": latency,
        "bytes_per_device": round(rounds[0][1]["bytes_per_device"]),
        "rounds": ROUNDS,
        "samples": samples,
        "devices": devices,
        "windows": rounds[0][1]["windows"],
        "paced_samples_per_s": devices * PACED_TICKS_PER_S,
    }
    for name, value in figures.items():
        console.print(f"{name:22}{value}", highlight=False)
    return figures


class Fleet:
    """Pumps that all report what one simulated pump reports, each under a name of its own."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self.start_ms = 1_700_000_000_000
        run = simulate(DEVICE_TYPE, "BENCH", 0, self.start_ms, 3600)
        self.profile = run.profile
        names = run.profile.names
        self._values = [
            {name: value for name, value in zip(names, row, strict=True) if value == value}
            for row in run.values.tolist()
        ]

    def tick(self, second: int) -> Iterator[Encoded]:
        """What all devices send at one second of their time."""
        values = self._values[second % len(self._values)]
        t = self.start_ms + second * 1000
        for number in range(self.devices):
            device = f"BENCH-{number:06d}"
            yield device.encode(), encode_json(device, DEVICE_TYPE, t, second, values), HEADERS

    def messages(self, samples: int) -> Iterator[Encoded]:
        """The first `samples` of the fleet."""
        for second in range(-(-samples // self.devices)):
            for message in self.tick(second):
                if samples == 0:
                    return
                samples -= 1
                yield message


async def _send(
    sink: KafkaSink, topic: str, messages: Iterator[Encoded], total: int, progress: Progress
) -> None:
    task = progress.add_task("filling the topic", total=total)
    batch: list[Encoded] = []
    for message in messages:
        batch.append(message)
        if len(batch) == SEND_BATCH:
            await sink.send_many(topic, batch)
            progress.advance(task, len(batch))
            batch = []
    await sink.send_many(topic, batch)
    progress.advance(task, len(batch))


async def _round(
    number: int, kafka: KafkaConfig, folder: Path, samples: int, progress: Progress
) -> tuple[float, dict[str, Any]]:
    """Reading alone and the whole road right after it, so that both see the machine in the same mood."""
    raw = await _read_only(number, kafka, samples, progress)
    return raw, await _whole_road(number, kafka, folder, samples, progress)


async def _read_only(number: int, kafka: KafkaConfig, samples: int, progress: Progress) -> float:
    """Messages a second that the client hands out when nobody looks at them."""
    task = progress.add_task("reading alone", total=samples)
    source = KafkaSource(kafka.model_copy(update={"group": f"bench-raw-{number}"}), ["flood"])
    await source.start(Everything())
    started, read = 0.0, 0
    try:
        while read < samples:
            messages = await source.poll()
            # Joining the group takes seconds and is not reading.
            started = started or (time.perf_counter() if messages else 0.0)
            read += len(messages)
            progress.update(task, completed=read)
        return samples / (time.perf_counter() - started)
    finally:
        await source.stop()


def _settings(kafka: KafkaConfig, folder: Path, topic: str, name: str) -> Settings:
    return Settings(
        kafka=kafka.model_copy(update={"group": f"bench-{name}"}),
        telemetry=TelemetrySettings(topic=topic),
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder / name}.db")),
        models=ModelSettings(device="cpu"),
        web=WebSettings(port=0),
    )


async def _whole_road(
    number: int, kafka: KafkaConfig, folder: Path, samples: int, progress: Progress
) -> dict[str, Any]:
    """The same messages through the service: decoded, aligned, scored, judged, saved."""
    task = progress.add_task("the whole road", total=samples)
    async with open_service(_settings(kafka, folder, "flood", f"flood-{number}")) as service:
        leave = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.run(leave))
            await service.ready()
            read, started = _read(service, "flood"), time.perf_counter()
            before = read
            while read < samples:
                await asyncio.sleep(0.02)
                read = _read(service, "flood")
                progress.update(task, completed=read)
            seconds = (time.perf_counter() - started) * samples / max(samples - before, 1)
            outcome = {
                "seconds": seconds,
                "windows": service.figure("attendant_windows_scored_total", type=DEVICE_TYPE),
                "bytes_per_device": service.pipeline.bytes_per_device,
            }
            leave.set()
    return outcome


async def _paced(
    kafka: KafkaConfig, folder: Path, fleet: Fleet, sink: KafkaSink, progress: Progress
) -> dict[str, float]:
    """Every device sends at a steady pace; how long until the window that a sample completed is scored."""
    latencies = Latencies(fleet.profile, fleet.start_ms)
    # Windows exist once a device has its first rows; that part is sent at once and not measured.
    warm = (fleet.profile.min_rows * fleet.profile.grid_ms + fleet.profile.lateness_ms) // 1000 + 10
    ticks = PACED_S * PACED_TICKS_PER_S
    task = progress.add_task("steady pace", total=ticks)
    async with open_service(
        _settings(kafka, folder, "paced", "paced"), observers=Observers(scored=latencies.scored)
    ) as service:
        leave = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.run(leave))
            await service.ready()
            for second in range(warm):
                await sink.send_many("paced", list(fleet.tick(second)))
            while _read(service, "paced") < warm * fleet.devices:
                await asyncio.sleep(0.02)
            latencies.seconds.clear()
            latencies.sent_at = [math.inf] * warm
            await _pace(latencies, fleet, sink, warm, ticks, lambda: progress.advance(task))
            while _read(service, "paced") < (warm + ticks) * fleet.devices:
                await asyncio.sleep(0.02)
            leave.set()
    measured = [seconds for seconds in latencies.seconds if math.isfinite(seconds) and seconds >= 0]
    p50, p99 = np.percentile(measured, [50, 99]) * 1000
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


async def _pace(
    latencies: Latencies, fleet: Fleet, sink: KafkaSink, warm: int, ticks: int, done: Callable[[], None]
) -> None:
    began = time.perf_counter()
    for tick in range(ticks):
        await asyncio.sleep(max(began + tick / PACED_TICKS_PER_S - time.perf_counter(), 0))
        messages = list(fleet.tick(warm + tick))
        latencies.sent_at.append(time.perf_counter())
        await sink.send_many("paced", messages)
        done()


def _read(service: Service, topic: str) -> int:
    return service.figure("attendant_messages_total", topic=topic)
