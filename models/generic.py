"""The project's detector on a bare series: no device profile, no roles, only rows and channels.

Everything is derived from the training rows: scale of every channel, how many windows to draw. All else is one fixed
configuration for whatever series comes. Rows are scored causally: the score of row t has seen rows up to t.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.autoencoder import ModelConfig
from models.detector import AttentionScorer
from models.preparation import ChannelSpec
from models.training import Progress, Series, TrainingConfig, train

ROWS = 40
"""Rows of a window."""
MIN_ROWS = 8
"""Rows that must have come before a row gets a score; until then the series is being learnt."""
SHORTEST = 5 * ROWS
"""Fewest training rows: a quarter of them calibrates, a quarter teaches what a fault is, both longer than a window."""
_PASS = 4096
"""Windows scored at a time; bounds the memory."""
_FLOOR = 0.1
"""A channel's spread counts at least this part of the median channel's: one that stood still may move a little."""


@dataclass(frozen=True, slots=True)
class GenericConfig:
    """Bounds of a training. On one thread of a busy CPU the defaults took 14 s for 8 channels and 400 training rows,
    45 s for 19 channels and 90 s for 38 with thousands of them, scoring included."""

    most_windows: int = 6_000
    steps: int = 300
    evidence_steps: int = 450
    batch: int = 128
    budget: float = 1 / 30
    """False alarms a day."""
    model: ModelConfig = field(default_factory=ModelConfig)


class RowScores(NamedTuple):
    """Scores of n rows over C channels."""

    anomaly: NDArray[np.float64]
    """(n,) 1.0 is the calibrated threshold."""
    share: NDArray[np.float32]
    """(n, C) as in an alert: attention and residual combined."""
    attention: NDArray[np.float32]
    residual: NDArray[np.float32]


class TooShortError(Exception):
    """Fewer training rows than a model can be fitted and calibrated on."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} training rows; a model and its threshold need at least {SHORTEST}")
        self.rows = rows


class GenericModel:
    """A scorer fitted on the training rows of one series, with their scale."""

    def __init__(
        self, scorer: AttentionScorer, center: NDArray[np.float32], unit: NDArray[np.float32]
    ) -> None:
        self._scorer, self._center, self._unit = scorer, center, unit

    def score(self, values: NDArray[np.float32]) -> RowScores:
        """(n, C) rows in time order, NaN without a reading → a score for every row, from it and rows before it."""
        n, C = values.shape
        # Rows before the first are missing, not invented.
        before = np.full((ROWS - 1, C), np.nan, np.float32)
        z = np.concatenate([before, (values - self._center) / self._unit]).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(z, ROWS, 0).transpose(0, 2, 1)
        anomaly = np.zeros(n)
        parts = [np.full((n, C), 1 / C, np.float32) for _ in range(3)]
        for i in range(min(MIN_ROWS - 1, n), n, _PASS):
            some = windows[i : i + _PASS]
            score = self._scorer.score(some, np.isfinite(some))
            anomaly[i : i + _PASS] = score.anomaly
            for part, told in zip(parts, (score.share, score.attention, score.residual), strict=True):
                part[i : i + _PASS] = told
        return RowScores(anomaly, *parts)


def fit_generic(
    channels: Sequence[str], values: NDArray[np.float32], row_s: float, seed: int,
    config: GenericConfig | None = None, progress: Callable[[Progress], None] = lambda _: None,
) -> GenericModel:  # fmt: skip
    """Fit the detector on (n, C) training rows in time order, NaN without a reading.

    Raises:
        TooShortError: fewer than `SHORTEST` rows.
    """
    config = config or GenericConfig()
    if len(values) < SHORTEST:
        raise TooShortError(len(values))
    # Beside other processes a second thread costs more than it brings, and one gives the same bits everywhere.
    torch.set_num_threads(1)
    center, unit = _scale(values)
    z = ((values - center) / unit).astype(np.float32)
    trained = train(
        "generic", "evaluation", [_channel(name) for name in channels], ROWS, 1, row_s,
        [Series("train", z, np.isfinite(z))], _training(config, len(values), seed), config.model, progress,
    )  # fmt: skip
    return GenericModel(trained.scorer, center, unit)


def _training(config: GenericConfig, rows: int, seed: int) -> TrainingConfig:
    windows = int(np.clip(2 * rows, 1_000, config.most_windows))
    return TrainingConfig(
        seed=seed, windows=windows, steps=config.steps, batch=config.batch, evidence_windows=windows,
        evidence_steps=config.evidence_steps, budget=config.budget, min_rows=MIN_ROWS,
    )  # fmt: skip


def _channel(name: str) -> ChannelSpec:
    """A range that makes the scaler's smallest spread a fair part of this channel's unit (see `Preparation`)."""
    return ChannelSpec(name, "measured", -0.5 * _FLOOR / 0.002, 0.5 * _FLOOR / 0.002)


def _scale(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every channel, (C,) each."""
    seen = np.isfinite(values)
    n = np.maximum(seen.sum(0), 1)
    center = np.where(seen, values, 0.0).sum(0, dtype=np.float64) / n
    unit = np.sqrt((np.where(seen, values - center, 0.0) ** 2).sum(0) / n)
    moving = unit[unit > 0]
    floor = max(1e-4, _FLOOR * float(np.median(moving))) if len(moving) else 1e-2
    return center.astype(np.float32), np.maximum(unit, floor).astype(np.float32)
