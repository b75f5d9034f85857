"""A breathing wave of one channel through the rhythm model, learnt from the training rows alone.

Such devices are watched by their cycles in service (`monitor.rhythms`), so they are measured by them here as well. The
recipe is that of the service with less practice, which keeps a series within two minutes of CPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import fires
from models.rhythm.scorer import RhythmScorer
from models.rhythm.training import RhythmTraining, every_window, fit
from models.scoring import ModelIdentity
from monitor.evaluating.cases import Case, Exam
from monitor.rhythms import healthy_cycles

PRACTICE = RhythmTraining(traces=3000, calibration_traces=200)
CYCLE_S = (1.0, 4.8)
"""Slow enough for the recipe's grid, quick enough for two cycles in its window."""


class RhythmScores(NamedTuple):
    """Over the n rows of an exam."""

    anomaly: NDArray[np.float64]
    alarming: NDArray[np.bool_]
    """(n,) the alarm rule fires that the threshold was fitted for."""


class RhythmModel:
    """A rhythm learnt from one series."""

    def __init__(self, scorer: RhythmScorer, recipe: RhythmTraining) -> None:
        self._scorer, self._recipe = scorer, recipe

    def score(self, exam: Exam) -> RhythmScores:
        """Every row gets the newest window that had ended by then; the first seconds are calm."""
        t_s = (exam.recording.t_ms - exam.recording.t_ms[0]) / 1000
        step_s, recipe = self._recipe.grid_ms / 1000, self._recipe
        x = _cells(t_s, exam.recording.values[:, 0], step_s)
        anomaly = self._scorer.score(*every_window(x, recipe)).anomaly
        ends = np.arange(recipe.min_rows, len(x) + 1, recipe.stride_rows) * step_s
        at = np.searchsorted(ends, t_s, side="right") - 1
        firing = fires(anomaly, recipe.rule)
        known = at >= 0
        return RhythmScores(
            np.where(known, anomaly[np.maximum(at, 0)], 0.0).astype(np.float64),
            np.where(known, firing[np.maximum(at, 0)], False),
        )


def rhythm_model(case: Case, seed: int, tell: Callable[[str], None]) -> RhythmModel | None:
    """None where the series is no breathing wave of one channel, or too few healthy cycles are in its training rows."""
    recording, low, high = case.recording, *CYCLE_S
    if case.cut is None or case.row_s is None or len(recording.channels) != 1:
        return None
    if not low <= case.cut.cycle * case.row_s <= high:
        return None
    stretches = healthy_cycles(recording, recording.channels[0], PRACTICE.practice.step_s)
    if not stretches:
        return None
    fitted = fit({case.series: stretches}, PRACTICE, seed, None, tell)
    identity = ModelIdentity("rhythm", "evaluation", "")
    scorer = RhythmScorer(fitted.network, recording.channels[0], fitted.threshold, fitted.certain, identity)
    return RhythmModel(scorer, PRACTICE)


def _cells(t_s: NDArray[np.float64], x: NDArray[np.floating], step_s: float) -> NDArray[np.float32]:
    """(n,) readings → the mean of every cell of the grid, NaN without a reading."""
    cell = np.floor(t_s / step_s).astype(np.int64)
    seen = np.isfinite(x)
    count = np.bincount(cell[seen], minlength=cell[-1] + 1)
    total = np.bincount(cell[seen], x[seen], minlength=cell[-1] + 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
