"""Recordings of a cyclic device → a trained rhythm artifact: the glue behind `attendant train` for such a type.

Only healthy rows are learnt from: those without a label, and not those just before one or while the device finds back.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Manifest
from models.compute import choose_device
from models.rhythm.artifacts import save_rhythm
from models.rhythm.cycles import Cycle, cut_cycles, even_trace
from models.rhythm.training import RhythmTraining, fit
from streams.devices import DeviceProfile
from streams.recordings import Recording

BEFORE_S, AFTER_S = 0.3, 3.0
"""Rows so close to labelled ones are no example of health."""
SHORTEST_S = 5.0


class RhythmError(Exception):
    """Recordings or a profile that no rhythm can be learnt from; one readable line."""


def cyclic_channel(profile: DeviceProfile) -> str | None:
    """The channel whose rhythm is to be watched; None where the device is watched by its levels."""
    cyclic = [channel.name for channel in profile.channels if channel.cyclic]
    if not cyclic:
        return None
    if len(profile.channels) > 1:
        raise RhythmError(f"{profile.type}: a rhythm is watched on the only channel of a device")
    return cyclic[0]


def recipe(profile: DeviceProfile) -> RhythmTraining:
    """The training recipe on the grid of the profile."""
    plain = RhythmTraining()
    return replace(
        plain,
        network=replace(plain.network, rows=profile.window_rows),
        grid_ms=profile.grid_ms,
        stride_rows=profile.stride_rows,
        min_rows=profile.min_rows,
    )


def healthy_cycles(recording: Recording, channel: str, step_s: float) -> list[list[Cycle]]:
    """The healthy stretches of a recording, each as its cycles in order."""
    t = recording.t_ms / 1000
    x = recording.values[:, list(recording.channels).index(channel)]
    stretches = []
    for start, end in healthy_spans(t, recording.label):
        if t[end - 1] - t[start] >= SHORTEST_S:
            cycles = cut_cycles(even_trace(t[start:end], x[start:end], step_s), step_s)
            if len(cycles) > 1:
                stretches.append(cycles)
    return stretches


def healthy_spans(t_s: NDArray[np.float64], label: NDArray[Any]) -> list[tuple[int, int]]:
    """Rows (start, end) of the stretches without a label, kept away from labelled ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], label != 0, [1]]).astype(np.int8)))
    spans = []
    for start, end in edges.reshape(-1, 2).tolist():
        first = t_s[start] + (AFTER_S if start > 0 else 0.0)
        last = t_s[end - 1] - (BEFORE_S if end < len(t_s) else 0.0)
        a, b = np.searchsorted(t_s, [first, last])
        if b > a:
            spans.append((int(a), int(b)))
    return spans


def train_rhythm(
    recordings: Sequence[tuple[str, Recording]], profile: DeviceProfile, out: Path, *, seed: int, version: str,
    now: datetime, device: str = "cpu", config: RhythmTraining | None = None,
    extra: dict[str, Any] | None = None, progress: Callable[[str], None] = lambda _line: None,
) -> Manifest:  # fmt: skip
    """Learn from named recordings and write the artifact.

    Raises:
        RhythmError: the profile is not cyclic, or no recording has healthy cycles.
        ArtifactError: the artifact cannot be written.
    """
    channel = cyclic_channel(profile)
    if channel is None:
        raise RhythmError(f"{profile.type} has no cyclic channel")
    config = config or recipe(profile)
    library = {
        name: stretches
        for name, recording in recordings
        if (stretches := healthy_cycles(recording, channel, config.practice.step_s))
    }
    if not library:
        raise RhythmError("no recording holds healthy cycles of " + channel)
    fitted = fit(library, config, seed, choose_device(device), progress)
    learnt = {name: sum(len(cycles) for cycles in stretches) for name, stretches in library.items()}
    return save_rhythm(
        out, fitted, config, name=profile.type, version=version, channel=channel, created=now.isoformat(),
        data_digest=_digest(recordings), seed=seed, extra={"cycles": learnt, **(extra or {})},
    )  # fmt: skip


def _digest(recordings: Sequence[tuple[str, Recording]]) -> str:
    digest = hashlib.sha256()
    for name, recording in sorted(recordings, key=lambda item: item[0]):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(recording.t_ms).tobytes())
        digest.update(np.ascontiguousarray(recording.values).tobytes())
    return digest.hexdigest()
