"""`attendant simulate` and `attendant replay`: telemetry into folders of recordings, and into Kafka."""

import asyncio
import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.clock import StreamClock
from monitor.player import Planned, play
from monitor.scenarios import in_order
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.kafka import KafkaConfig, KafkaSink
from streams.recordings import (
    Recording,
    RecordingError,
    Segment,
    find_recordings,
    read_recording,
    recording_messages,
    write_recording,
)
from streams.records import FRAME
from streams.simulation import (
    DEVICE_TYPES,
    Arrivals,
    Plan,
    Simulation,
    fault_plan,
    fault_specs,
    lookalike_specs,
    observe,
    random_plan,
    simulate,
)
from streams.transport import TransportError

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


class SimulateError(Exception):
    """What was asked for cannot be simulated, read or sent; one readable line."""


def device_types() -> list[str]:
    """Simulated device types and their titles, a line each."""
    profiles = load_profiles()
    return [f"{name:24}{profiles[name].title}" for name in DEVICE_TYPES]


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What was asked for on the command line."""

    device_type: str
    devices: int
    hours: float
    seed: int
    faults: tuple[str, ...]
    severity: float
    lookalikes: float = 1.0
    """Times as often as usual; more for training, where a rare one must have been seen."""

    def check(self) -> None:
        """Raises SimulateError where the type or a fault is unknown."""
        if self.device_type not in DEVICE_TYPES:
            raise SimulateError(f"no device type {self.device_type}; there are {', '.join(DEVICE_TYPES)}")
        unknown = [fault for fault in self.faults if fault not in fault_specs(self.device_type)]
        if unknown:
            known = ", ".join(fault_specs(self.device_type))
            raise SimulateError(f"{self.device_type} has no fault {', '.join(unknown)}; it has {known}")

    def catalogue(self) -> list[str]:
        """Faults and look-alikes of the type, a line each."""
        SimulateOptions(self.device_type, 1, 1, 0, (), 0).check()
        faults = [
            f"fault       {name:32}{spec.title}" for name, spec in fault_specs(self.device_type).items()
        ]
        alike = [
            f"look-alike  {name:32}{spec.title}" for name, spec in lookalike_specs(self.device_type).items()
        ]
        return faults + alike

    def runs(self, start_ms: int) -> Iterator[Simulation]:
        """One device after the other; each gets one of the faults, in turn."""
        for number in range(self.devices):
            rng = np.random.default_rng([self.seed, number])
            serial = f"{self.device_type}-{self.seed:03d}-{number:04d}"
            duration_s = self.hours * 3600
            plan = self._plan(rng, number, duration_s)
            yield simulate(self.device_type, serial, self.seed, start_ms, duration_s, plan)

    def _plan(self, rng: np.random.Generator, number: int, duration_s: float) -> Plan:
        if not self.faults:
            return random_plan(self.device_type, rng, duration_s, rate=self.lookalikes)
        fault = self.faults[number % len(self.faults)]
        return fault_plan(
            self.device_type, fault, rng, duration_s, severity=self.severity, rate=self.lookalikes
        )


def simulate_to_folder(options: SimulateOptions, folder: Path) -> None:
    """A labelled recording a device, with the truth beside it.

    Raises:
        SimulateError: an unknown type or fault, or the folder cannot be written.
    """
    options.check()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Progress(*COLUMNS) as progress:
            task = progress.add_task(f"simulating {options.device_type}", total=options.devices)
            for run in options.runs(_start_ms()):
                write_recording(
                    to_recording(run, observe(run, options.seed)), folder / f"{run.device}.parquet"
                )
                progress.advance(task)
    except OSError as error:
        raise SimulateError(f"{folder}: cannot be written: {error.strerror}") from None


def to_recording(run: Simulation, sent: Arrivals) -> Recording:
    """What arrived of a device, in the order of its time stamps and without repeats, with its labels."""
    _, first = np.unique(sent.seq, return_index=True)
    order = first[np.argsort(sent.t_ms[first], kind="stable")]
    rows = np.searchsorted(run.seq, sent.seq[order])
    names = np.array(run.fault_names(), dtype=object)[rows]
    return Recording(
        series=run.device,
        channels=run.profile.names,
        t_ms=sent.t_ms[order].astype(np.float64),
        values=sent.values[order],
        test=np.full(len(order), bool(run.truth.faults)),
        label=run.label[rows] != 0,
        segments=tuple(_segments(run, run.t[rows])),
        fault=tuple(names) if run.truth.faults else None,
        metadata={"device_type": run.profile.type, "source": "attendant simulate"},
    )


def _segments(run: Simulation, t: NDArray[np.int64]) -> Iterator[Segment]:
    for fault in run.truth.faults:
        start, end = np.searchsorted(t, [fault.onset_ms, fault.end_ms])
        if end > start:
            yield Segment(int(start), int(end), fault.channels)


def simulate_to_kafka(options: SimulateOptions, bootstrap: str, topic: str, speed: float) -> None:
    """Play the devices into a topic, device time from now on.

    Raises:
        SimulateError: an unknown type or fault, or the broker cannot be reached.
    """
    options.check()
    start_ms = _start_ms(options.hours * 3_600_000, speed)
    runs = list(options.runs(start_ms))
    arrivals = [observe(run, options.seed) for run in runs]
    total = sum(len(sent) for sent in arrivals)
    clock = StreamClock.started_at(start_ms, speed)
    _send(bootstrap, topic, in_order(runs, arrivals), clock, total)


def replay_to_kafka(
    files: Sequence[Path],
    bootstrap: str,
    *,
    topic: str,
    device_type: str | None,
    speed: float,
    rate_hz: float | None,
) -> None:
    """Play recordings into a topic, each as a device named after its file.

    Raises:
        SimulateError: a file that is no recording, channels of no profile, or the broker cannot be reached.
    """
    try:
        recordings = [read_recording(file, rate_hz=rate_hz) for file in find_recordings(files)]
        longest_ms = max(float(recording.t_ms[-1] - recording.t_ms[0]) for recording in recordings)
        start_ms = _start_ms(longest_ms, speed)
        profiles = load_profiles()
        streams = [
            _planned(recording, _profile(recording, profiles, device_type), start_ms)
            for recording in recordings
        ]
    except (RecordingError, ProfileError) as error:
        raise SimulateError(str(error)) from None
    clock = None if speed == 0 else StreamClock.started_at(start_ms, speed)
    _send(bootstrap, topic, heapq.merge(*streams, key=lambda message: message.at_ms), clock, None)


def _planned(recording: Recording, profile: DeviceProfile, start_ms: int) -> Iterator[Planned]:
    for at_ms, value in recording_messages(recording, profile, recording.series, start_ms, FRAME):
        yield Planned(at_ms, recording.series, FRAME, value)


def _profile(recording: Recording, profiles: dict[str, DeviceProfile], wanted: str | None) -> DeviceProfile:
    """By name, by what the file says of itself, or the profile that has most of its channels."""
    wanted = wanted or recording.metadata.get("device_type")
    if wanted is not None:
        if wanted not in profiles:
            raise SimulateError(
                f"no profile of device type {wanted}; there are {', '.join(sorted(profiles))}"
            )
        return profiles[wanted]
    fitting = {name: len(set(recording.channels) & set(p.names)) for name, p in profiles.items()}
    best = max(fitting, key=lambda name: fitting[name])
    if not fitting[best]:
        raise SimulateError(
            f"{recording.series}: no profile has any of its channels ({', '.join(recording.channels[:6])}); "
            "say which with --type"
        )
    return profiles[best]


def _send(
    bootstrap: str, topic: str, messages: Iterator[Planned], clock: StreamClock | None, total: int | None
) -> None:
    try:
        asyncio.run(_play(bootstrap, topic, messages, clock, total))
    except TransportError as error:
        raise SimulateError(f"{bootstrap}: {error}") from None


async def _play(
    bootstrap: str, topic: str, messages: Iterator[Planned], clock: StreamClock | None, total: int | None
) -> None:
    # Whatever answers Kafka's protocol will do, also one without an idempotent producer.
    sink = KafkaSink(KafkaConfig(bootstrap_servers=bootstrap, client_id="attendant-player", idempotent=False))
    await sink.start()
    try:
        with Progress(*COLUMNS) as progress:
            task = progress.add_task(f"to {topic}", total=total)
            await play(sink, topic, messages, clock, lambda n: progress.advance(task, n))
    finally:
        await sink.stop()


def _start_ms(duration_ms: float = 0.0, speed: float = 1.0) -> int:
    """Where device time begins: played faster than it was made, it begins in the past so as to end now.

    A service that believes in the wall's clock drops stamps from the future.
    """
    ahead = 1.0 if speed == 0 else max(0.0, 1.0 - 1.0 / speed)
    return time.time_ns() // 1_000_000 - round(duration_ms * ahead)
