"""Simulated runs → windows → scores, as the service makes them. Judges nothing.

Many windows are scored in one call: those of one run, or for a scorer that remembers the next ones of every run, each
run being a device of its own. Letters: N windows of a run, T rows, C channels, M numbers remembered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.fleet import Series, as_new, windows_of
from models.scoring import RememberingScorer, Score, Scorer
from monitor.due import answer
from monitor.findings import Memories
from streams.alignment import to_grid
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile
from streams.simulation import Simulation, observe

AT_ONCE = 64
"""Windows of a run in one call of a scorer that remembers."""
_PASS = 1024


@dataclass(frozen=True, slots=True)
class Windows:
    """Every window of a run that the service would score, oldest first."""

    end_t: NDArray[np.int64]
    values: NDArray[np.float32]
    """(N, T, C) view."""
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.end_t)

    def part(self, cut: slice) -> "Windows":
        """Some of them, one after the other: views."""
        return Windows(self.end_t[cut], self.values[cut], self.mask[cut])

    def pick(self, index: NDArray[np.intp] | slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Copies, as the scorer wants them."""
        return np.ascontiguousarray(self.values[index]), np.ascontiguousarray(self.mask[index])


class Trail(NamedTuple):
    """What a scorer remembered along a run: enough to go on from any of its windows."""

    memory: NDArray[np.float32]
    """(K, M) before every `AT_ONCE`-th window, the first one included."""
    new_rows: NDArray[np.int64]
    """(N,) how many of each window's newest rows no window before held."""

    def before(self, number: int, scorer: RememberingScorer, run: Windows) -> NDArray[np.float32]:
        """(1, M) what was remembered before this window."""
        kept, further = divmod(number, AT_ONCE)
        memory = self.memory[[kept]]
        if further:
            some = slice(kept * AT_ONCE, number)
            of = np.zeros(further, np.intp)
            _, memory = scorer.score_remembering(*run.pick(some), memory, self.new_rows[some], of)
        return memory


class Scored(NamedTuple):
    """What was said of the windows of a run."""

    score: Score
    trail: Trail | None
    """None where the scorer remembers nothing."""
    bias: NDArray[np.float32] | None = None
    """(N, C) what it was told of the device's own bias; None: nothing."""


def windows_of_run(run: Simulation) -> Windows:
    """The windows of a new device, its first partial ones included, readings as they would have arrived."""
    profile, arrivals = run.profile, observe(run, 0)
    ends, values, mask = to_grid(profile, arrivals.t_ms, arrivals.values)
    series = as_new(Series(run.device, values, mask), profile.window_rows, profile.min_rows)
    all_values, all_mask = windows_of(series, profile.window_rows, profile.stride_rows)
    first = profile.min_rows - 1 if profile.min_rows < profile.window_rows else profile.window_rows - 1
    return Windows(ends[first :: profile.stride_rows][: len(all_values)], all_values, all_mask)


def score_runs(scorer: Scorer, profile: DeviceProfile, runs: Sequence[Windows]) -> list[Scored]:
    """What the scorer says of each run; none of them is without a window."""
    if isinstance(scorer, RememberingScorer):
        return _in_order(scorer, profile, runs)
    return [Scored(_at_once(scorer, run), None) for run in runs]


def _at_once(scorer: Scorer, run: Windows) -> Score:
    starts = range(0, len(run), _PASS)
    return Score.joined([scorer.score(*run.pick(slice(i, i + _PASS))) for i in starts])


def _in_order(scorer: RememberingScorer, profile: DeviceProfile, runs: Sequence[Windows]) -> list[Scored]:
    """The first windows of all runs, then the next ones of those that have more."""
    memories = Memories(profile, scorer.identity.digest, scorer.lasting)
    scores: list[list[Score]] = [[] for _ in runs]
    trails: list[list[Trail]] = [[] for _ in runs]
    for first in range(0, max(map(len, runs), default=0), AT_ONCE):
        cut = slice(first, first + AT_ONCE)
        going = [number for number, run in enumerate(runs) if first < len(run)]
        batch = joined_windows(profile, {str(number): runs[number].part(cut) for number in going})
        recalled = memories.recall(batch)
        score, memory = scorer.score_remembering(batch.values, batch.mask, *recalled)
        memories.remember(batch, memory)
        end = 0
        for number in going:
            own = slice(end, end + len(runs[number].part(cut)))
            scores[number].append(score.rows(own))
            trails[number].append(Trail(recalled.memory[recalled.of[[end]]], recalled.new_rows[own]))
            end = own.stop
    return [
        Scored(Score.joined(said), Trail(*map(np.concatenate, zip(*trail, strict=True))))
        for said, trail in zip(scores, trails, strict=True)
    ]


def joined_windows(profile: DeviceProfile, runs: Mapping[str, Windows]) -> WindowBatch:
    """The windows of several runs by their device, one run after the other."""
    return WindowBatch(
        profile,
        [device for device, run in runs.items() for _ in range(len(run))],
        np.concatenate([run.end_t for run in runs.values()]),
        np.concatenate([run.values for run in runs.values()]),
        np.concatenate([run.mask for run in runs.values()]),
    )


def hidden_anomaly(
    scorer: Scorer,
    windows: Windows,
    scored: Scored,
    index: NDArray[np.intp],
    channels: Sequence[int],
) -> list[float]:
    """For each channel the mean anomaly of some windows of a run, had the channel sent nothing in them.

    Hidden is masked: a zero would be a reading. A scorer that remembers goes on from what it remembered before the
    first of them, and is shown those between them as well.
    """
    if scored.trail is not None and isinstance(scorer, RememberingScorer):
        return _hidden_in_order(scorer, windows, scored.trail, index, channels)
    values, mask = windows.pick(index)
    bias = None if scored.bias is None else scored.bias[index]
    said = (answer(scorer, *_hidden(values, mask, channel), bias).score for channel in channels)
    return [float(score.anomaly.mean()) for score in said]


def _hidden_in_order(
    scorer: RememberingScorer,
    windows: Windows,
    trail: Trail,
    index: NDArray[np.intp],
    channels: Sequence[int],
) -> list[float]:
    """All channels side by side, as if each were hidden on a device of its own."""
    first, after, devices = int(index[0]), int(index[-1]) + 1, len(channels)
    shown = windows.pick(slice(first, after))
    hidden = [_hidden(*shown, channel) for channel in channels]
    values, mask = (np.concatenate(side) for side in zip(*hidden, strict=True))
    memory = np.repeat(trail.before(first, scorer, windows), devices, axis=0)
    new_rows, of = np.tile(trail.new_rows[first:after], devices), np.repeat(np.arange(devices), after - first)
    score, _ = scorer.score_remembering(values, mask, memory, new_rows, of)
    return [float(mean) for mean in score.anomaly.reshape(devices, -1)[:, index - first].mean(axis=1)]


def _hidden(
    values: NDArray[np.float32], mask: NDArray[np.bool_], channel: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    hidden, shown = values.copy(), mask.copy()
    hidden[..., channel], shown[..., channel] = np.nan, False
    return hidden, shown
