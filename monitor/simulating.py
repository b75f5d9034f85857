"""`attendant simulate` and `attendant replay`: telemetry into folders of recordings, and into Kafka."""

import asyncio
import heapq
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.clock import StreamClock
from monitor.player import Planned, play
from monitor.scenarios import in_order
from monitor.simulated import SimulateError, SimulateOptions, to_recording
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.kafka import KafkaConfig, KafkaSink
from streams.recordings import (
    Recording,
    RecordingError,
    find_recordings,
    read_recording,
    recording_messages,
    write_recording,
)
from streams.records import FRAME
from streams.simulation import observe
from streams.transport import TransportError

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


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
