"""What a demo plays: a simulated fleet, or a real recording; with the truth about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.player import Planned
from monitor.report import Injected
from streams.devices import DeviceProfile
from streams.recordings import Recording, RecordingError, read_recording, recording_messages
from streams.records import FRAME, JSON, encode_json
from streams.simulation import Arrivals, Simulation, fleet_plan, observe, simulate

RECORDINGS = Path(__file__).parent / "demo_data" / "rapidvent"
RECORDING_TYPE = "rapidvent"


class ScenarioError(Exception):
    """A recording that cannot be played, or a fleet that cannot be planned; one readable line."""


@dataclass(frozen=True)
class Scenario:
    """Telemetry to play, in order of time, and what is true of it."""

    title: str
    start_ms: int
    end_ms: int
    devices: int
    messages: Iterator[Planned]
    faults: Sequence[Injected]
    lookalikes: int
    grace_ms: int
    """So long after a fault's end windows still hold it."""


def fleet(
    seed: int, start_ms: int, duration_s: float, devices_per_type: int, faults_per_type: int
) -> Scenario:
    """The simulated fleet of the demo, deterministic in its arguments; `duration_s` in device seconds.

    Raises:
        ScenarioError: too short for a fault to develop.
    """
    try:
        planned = fleet_plan(
            seed, duration_s, devices_per_type=devices_per_type, faults_per_type=faults_per_type
        )
    except ValueError as error:
        raise ScenarioError(str(error)) from None
    runs = [simulate(d.device_type, d.serial, seed, start_ms, duration_s, d.plan) for d in planned]
    arrivals = [observe(run, seed) for run in runs]
    return Scenario(
        title=f"{len(runs)} simulated devices, seed {seed}",
        start_ms=start_ms,
        end_ms=start_ms + round(duration_s * 1000),
        devices=len(runs),
        messages=in_order(runs, arrivals),
        faults=[fault for run in runs for fault in _faults(run)],
        lookalikes=sum(len(run.truth.lookalikes) for run in runs),
        grace_ms=max(_window_ms(run.profile) for run in runs),
    )


def _faults(run: Simulation) -> Iterator[Injected]:
    end_ms = int(run.t[-1])
    for fault in run.truth.faults:
        yield Injected(
            device=run.device,
            type=run.profile.type,
            fault=fault.name,
            severity=round(fault.severity, 3),
            onset_ms=fault.onset_ms,
            end_ms=fault.end_ms if fault.end_ms < end_ms else None,
            channels=fault.channels,
        )


def in_order(runs: Sequence[Simulation], arrivals: Sequence[Arrivals]) -> Iterator[Planned]:
    """All devices' samples in the order of arrival; encoded when their turn comes."""
    times = np.concatenate([a.arrive_ms for a in arrivals])
    device = np.repeat(np.arange(len(runs)), [len(a) for a in arrivals])
    row = np.concatenate([np.arange(len(a)) for a in arrivals])
    for index in np.argsort(times, kind="stable"):
        run, sent, at = runs[device[index]], arrivals[device[index]], row[index]
        yield Planned(int(times[index]), run.device, JSON, _sample(run, sent, at))


def _sample(run: Simulation, sent: Arrivals, row: int) -> bytes:
    readings = zip(run.profile.names, sent.values[row].tolist(), strict=True)
    # Not every channel is due at every second: those are left out, as a device would.
    values = {name: round(value, 6) for name, value in readings if value == value}
    return encode_json(run.device, run.profile.type, int(sent.t_ms[row]), int(sent.seq[row]), values)


def _window_ms(profile: DeviceProfile) -> int:
    return profile.window_rows * profile.grid_ms + profile.lateness_ms


def shipped_recordings() -> dict[str, Path]:
    """Name → file of the real recordings that come with Attendant; a name is the file's without its rate."""
    return {file.stem.rsplit("-", 1)[0]: file for file in sorted(RECORDINGS.glob("*.parquet"))}


def recorded(recording: str, start_ms: int, profile: DeviceProfile) -> Scenario:
    """A real recording, by shipped name (or a part of it) or by file; its labelled rows are the faults.

    Raises:
        ScenarioError: no such recording, or its channels are not the profile's.
    """
    file = _find(recording)
    try:
        played = read_recording(file)
    except RecordingError as error:
        raise ScenarioError(str(error)) from None
    if not set(played.channels) & set(profile.names):
        raise ScenarioError(
            f"{file}: its channels ({', '.join(played.channels[:6])}) are none of {profile.type}'s "
            f"({', '.join(profile.names)})"
        )
    device = file.stem
    return Scenario(
        title=f"real recording {file.name}",
        start_ms=start_ms,
        end_ms=round(start_ms + played.t_ms[-1] - played.t_ms[0]),
        devices=1,
        messages=(
            Planned(t_ms, device, FRAME, value)
            for t_ms, value in recording_messages(played, profile, device, start_ms, FRAME)
        ),
        faults=list(_labelled(played, profile, device, start_ms)),
        lookalikes=0,
        grace_ms=_window_ms(profile),
    )


def _find(recording: str) -> Path:
    shipped = shipped_recordings()
    named = [file for name, file in shipped.items() if recording in name]
    if named:
        return named[0]
    file = Path(recording)
    if not file.is_file():
        raise ScenarioError(f"{recording}: no such file, and no shipped recording ({', '.join(shipped)})")
    return file


def _labelled(played: Recording, profile: DeviceProfile, device: str, start_ms: int) -> Iterator[Injected]:
    """Where the source doesn't name the channels at fault, all that the recording has are."""
    origin_ms = start_ms - float(played.t_ms[0])
    recorded_channels = tuple(name for name in profile.names if name in played.channels)
    for episode in played.episodes():
        yield Injected(
            device=device,
            type=profile.type,
            fault=episode.fault or device.rsplit("-", 1)[0],
            severity=None,
            onset_ms=round(origin_ms + episode.start_ms),
            end_ms=round(origin_ms + episode.end_ms),
            channels=episode.channels or recorded_channels,
        )
