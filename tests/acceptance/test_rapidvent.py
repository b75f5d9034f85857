"""The shipped recordings of a real ventilator, through bytes, windows, scorer and judge: faults found, nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from models.loading import load_scorer
from models.scoring import Scorer
from monitor.findings import Action, Finding, Judge
from streams.devices import DeviceProfile, load_profiles
from streams.recordings import Recording, read_recording, recording_messages
from streams.records import FRAME, Decoder
from streams.transport import Message
from streams.windows import WindowStore

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "monitor" / "demo_data" / "rapidvent").glob("*.parquet"))
START_MS = 1_795_324_471_722
GRACE_MS = 4_000
"""So long after a fault's end the device may still look faulty."""


class Road(NamedTuple):
    """The parts between the bytes and the findings."""

    profile: DeviceProfile
    scorer: Scorer


@pytest.fixture(scope="module")
def road() -> Road:
    return Road(load_profiles()["rapidvent"], load_scorer(ROOT / "models" / "zoo" / "rapidvent", "cpu"))


def findings(road: Road, recording: Recording) -> list[Finding]:
    """Play a recording in polls of a few messages."""
    decoder = Decoder({road.profile.type: road.profile})
    store, judge = WindowStore(road.profile), Judge(road.profile, road.scorer.identity)
    found: list[Finding] = []
    for poll in polls(road.profile, recording):
        decoded = decoder.decode(poll)
        assert not decoded.rejections
        for block in decoded.blocks.values():
            for batch in store.push(block, now_ms=int(block.t[-1])):
                found += judge.judge(batch, road.scorer.score(batch.values, batch.mask))
    return found


def polls(profile: DeviceProfile, recording: Recording) -> Iterator[list[Message]]:
    headers = [("content-type", FRAME.encode())]
    messages = [
        Message("telemetry", 0, offset, b"RV-1", value, headers)
        for offset, (_, value) in enumerate(recording_messages(recording, profile, "RV-1", START_MS, FRAME))
    ]
    for start in range(0, len(messages), 48):
        yield messages[start : start + 48]


def opened(found: list[Finding]) -> NDArray[np.float64]:
    """Seconds since the recording's start at which an episode was opened."""
    return np.array([(f.at_t - START_MS) / 1000 for f in found if f.action is Action.OPEN])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_fault_of_a_real_recording_is_found_and_nothing_else(road: Road, file: Path) -> None:
    recording = read_recording(file)
    (fault,) = recording.episodes()
    onset_s, end_s = (t / 1000 for t in (fault.start_ms, fault.end_ms))
    at = opened(findings(road, recording))
    assert len(at) > 0
    assert onset_s < at[0] < onset_s + 5
    assert (at < end_s + GRACE_MS / 1000).all()


@pytest.mark.parametrize("file", [f for f in FILES if "low_rate" not in f.stem], ids=lambda file: file.stem)
def test_the_onset_of_a_real_leak_is_told_to_the_second_and_a_leak_suspected(road: Road, file: Path) -> None:
    recording = read_recording(file)
    (fault,) = recording.episodes()
    first = next(f for f in findings(road, recording) if f.action is Action.OPEN)
    since = first.evidence[0].since_t
    assert since is not None
    assert abs(since - START_MS - fault.start_ms) < 1500
    assert "leak_or_disconnection" in [s.fault for s in first.suspicions]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize(("gain", "offset"), [(0.94, 0.0), (1.06, 0.0), (1.0, -1.0), (1.0, 1.0)])
def test_a_sensor_a_little_off_raises_no_alarm_before_the_fault(
    road: Road, file: Path, gain: float, offset: float
) -> None:
    recording = read_recording(file)
    (fault,) = recording.episodes()
    healthy = part(recording, 0, fault.start)
    off = replace(healthy, values=healthy.values * np.float32(gain) + np.float32(offset))
    assert len(opened(findings(road, off))) == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize(
    "fault", ["nothing arrives", "peaks double", "no lower level", "stuck", "twice as fast"]
)
def test_other_faults_in_the_same_breathing_are_found_too(road: Road, file: Path, fault: str) -> None:
    recording = read_recording(file)
    (labelled,) = recording.episodes()
    healthy = part(recording, 0, labelled.start)
    onset = len(healthy) * 3 // 5
    broken = replace(healthy, values=spoilt(healthy.values, onset, fault, np.random.default_rng(0)))
    at = opened(findings(road, longer(broken, onset)))
    onset_s = onset / (recording.rate_hz or 1.0)
    assert len(at) > 0
    assert onset_s < at[0] < onset_s + 6


def part(recording: Recording, start: int, end: int) -> Recording:
    """Rows start to end, without labels."""
    rows = slice(start, end)
    return Recording(
        recording.series, recording.channels, recording.t_ms[rows], recording.values[rows],
        recording.test[rows], np.zeros(end - start, np.bool_), recording.rate_hz,
    )  # fmt: skip


def longer(recording: Recording, onset: int) -> Recording:
    """The rows from onset on are played three times, so that every recording is long enough."""
    values = np.concatenate([recording.values, recording.values[onset:], recording.values[onset:]])
    n, step = len(values), 1000.0 / (recording.rate_hz or 1.0)
    flags = np.zeros(n, np.bool_)
    return Recording(
        "longer",
        recording.channels,
        np.arange(n, dtype=np.float64) * step,
        values,
        flags,
        flags,
        recording.rate_hz,
    )


def spoilt(
    values: NDArray[np.float32], onset: int, fault: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The fault from row `onset` to the end."""
    x = values.copy()
    sick = x[onset:]
    low, high = np.quantile(values, [0.03, 0.99])
    if fault == "nothing arrives":
        sick[:] = low + rng.normal(size=sick.shape) * 0.1
    elif fault == "peaks double":
        sick[:] = low + (sick - low) * 2.0
    elif fault == "no lower level":
        sick -= low * np.clip((high - sick) / (high - low), 0, 1)
    elif fault == "stuck":
        sick[:] = sick[0]
    else:
        half = sick[::2]
        sick[:] = np.concatenate([half, half])[: len(sick)]
    return x
