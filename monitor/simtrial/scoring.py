"""Simulated runs → windows → scores, as the service makes them. Judges nothing.

A scorer that remembers is given the windows of a run one after the other, those of several runs together; any other
takes many of one run at once. Letters: N windows of a run, B of one call, T rows, C channels, M numbers remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.fleet import Series, as_new, windows_of
from models.scoring import RememberingScorer, Score, Scorer
from monitor.findings import Memories, Recalled
from streams.alignment import to_grid
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile
from streams.simulation import Simulation, observe

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

    def pick(self, index: NDArray[np.intp] | slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Copies, as the scorer wants them."""
        return np.ascontiguousarray(self.values[index]), np.ascontiguousarray(self.mask[index])


class Scored(NamedTuple):
    """What was said of the windows of a run."""

    score: Score
    recalled: Recalled | None
    """What was remembered before each window, as if each were of a device of its own; None where the scorer remembers
    nothing."""


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
    """The n-th windows of all runs that have one, then the next ones."""
    memories = Memories(profile, scorer.identity.digest, scorer.lasting)
    scores: list[list[Score]] = [[] for _ in runs]
    before: list[list[Recalled]] = [[] for _ in runs]
    for n in range(max(map(len, runs), default=0)):
        going = [number for number, run in enumerate(runs) if n < len(run)]
        batch = WindowBatch(
            profile,
            [str(number) for number in going],
            np.array([runs[number].end_t[n] for number in going]),
            np.stack([runs[number].values[n] for number in going]),
            np.stack([runs[number].mask[n] for number in going]),
        )
        recalled = memories.recall(batch)
        score, memory = scorer.score_remembering(batch.values, batch.mask, *recalled)
        memories.remember(batch, memory)
        for place, number in enumerate(going):
            one = slice(place, place + 1)
            scores[number].append(score.rows(one))
            before[number].append(
                Recalled(recalled.memory[one], recalled.new_rows[one], np.zeros(1, np.intp))
            )
    return [
        Scored(Score.joined(said), Recalled.joined(past)) for said, past in zip(scores, before, strict=True)
    ]


def hidden_anomaly(
    scorer: Scorer,
    windows: Windows,
    recalled: Recalled | None,
    index: NDArray[np.intp],
    channels: Sequence[int],
) -> list[float]:
    """For each channel the mean anomaly of some windows of a run, had the channel sent nothing in them.

    Hidden is masked: a zero would be a reading. A scorer that remembers goes on from what it remembered before the
    first of them, and is shown those between them as well.
    """
    if recalled is not None and isinstance(scorer, RememberingScorer):
        return _hidden_in_order(scorer, windows, recalled, index, channels)
    values, mask = windows.pick(index)
    return [float(scorer.score(*_hidden(values, mask, channel)).anomaly.mean()) for channel in channels]


def _hidden_in_order(
    scorer: RememberingScorer,
    windows: Windows,
    recalled: Recalled,
    index: NDArray[np.intp],
    channels: Sequence[int],
) -> list[float]:
    """All channels side by side, as if each were hidden on a device of its own."""
    memory = np.repeat(recalled.memory[index[:1]], len(channels), axis=0)
    anomaly = []
    for n in range(index[0], index[-1] + 1):
        hidden = [_hidden(windows.values[n], windows.mask[n], channel) for channel in channels]
        values, mask = (np.stack(side) for side in zip(*hidden, strict=True))
        new_rows = np.repeat(recalled.new_rows[n], len(channels))
        score, memory = scorer.score_remembering(values, mask, memory, new_rows)
        anomaly.append(score.anomaly)
    chosen = np.stack(anomaly)[index - index[0]]
    return [float(mean) for mean in chosen.mean(axis=0)]


def _hidden(
    values: NDArray[np.float32], mask: NDArray[np.bool_], channel: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    hidden, shown = values.copy(), mask.copy()
    hidden[..., channel], shown[..., channel] = np.nan, False
    return hidden, shown
