"""Training rows → a model of the series; rows → anomaly and share. See the package for what is in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.generic.evidence import FaultQuery, Shares, Usual, features, shares
from models.generic.history import faded_mean, late, slow_mean
from models.generic.practice import Practice, practise
from models.generic.subspaces import WINDOW, NestedSubspaces, Scale, Scaled
from models.recipe import Progress

MIN_ROWS = 8
"""Rows that must have come before a row gets a score; until then the series is being learnt."""
SHORTEST = 5 * WINDOW
"""Fewest training rows: every third of them is held back once, and the rest must hold more than a window."""
BANDS = slice(2, None)
"""Subspaces whose residual makes the score: those that hold 80 % of the variance and more."""
CALIBRATED = 0.8
"""Energies are divided by their channel's scale to this power: between raw and fully calibrated."""
NORM = 4
"""Power mean over the bands."""
MEMORY, DELAY = 500.0, WINDOW
"""Rows of the slow background of every residual, and how far behind the row it stays ..."""
SPIKE, RELIEF = 2.0, 2.0
"""... what one row adds to it at most, and how far it may lower a residual at most, both in usual residuals."""
HELD_ROWS = 2
"""Rows over which the share of a row looks back, weighted by evidence."""


@dataclass(frozen=True, slots=True)
class GenericConfig:
    """How to fit; one configuration for every series."""

    folds: int = 3
    """Parts of the training rows; each is scored by subspaces that were fitted on the others."""
    most_rows: int = 12_000
    """Rows that the calibration looks at."""
    practice_rows: int = 1_500
    """Longest stretch of a fold that faults are practised on."""
    quantile: float = 0.99
    """An episode opens above this quantile of the held-back training scores ..."""
    hold: float = 0.7
    """... and goes on while the score stays above this part of that threshold."""


class RowScores(NamedTuple):
    """Scores of n rows over C channels."""

    anomaly: NDArray[np.float64]
    """(n,) 1.0 is the calibrated threshold."""
    alarming: NDArray[np.bool_]
    """(n,) an episode is open: it opens at 1.0 and holds down to `GenericConfig.hold`."""
    share: NDArray[np.float32]
    """(n, C) as in an alert: attention and residual combined."""
    attention: NDArray[np.float32]
    residual: NDArray[np.float32]
    weight: NDArray[np.float64]
    """(n,) how much the row counts in the share of an episode."""
    ablations: dict[str, tuple[NDArray[np.float64], NDArray[np.float32]]]
    """Name → anomaly and share of the same model without a part of it."""


class TooShortError(Exception):
    """Fewer training rows than a model can be fitted and calibrated on."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} training rows; a model and its threshold need at least {SHORTEST}")
        self.rows = rows


class GenericModel:
    """What is usual in one series, its threshold, and the query for the channel at fault."""

    def __init__(
        self, scale: Scale, subspaces: NestedSubspaces, usual: Usual, query: FaultQuery, level: "_Level",
        config: GenericConfig,
    ) -> None:  # fmt: skip
        self._scale, self._subspaces, self._usual = scale, subspaces, usual
        self._query, self._level, self._config = query, level, config

    def score(self, values: NDArray[np.float32]) -> RowScores:
        """(n, C) rows in time order, NaN without a reading → a score for every row, from it and rows before it."""
        rows, n = self._scale.apply(values), len(values)
        energies = self._subspaces.energies(rows, np.arange(n))
        residual = self._level.residual(energies)
        steady, raw = self._level.relieved(residual), _joined(residual)
        begun = np.arange(n) >= min(MIN_ROWS - 1, n)
        anomaly = np.where(begun, steady / self._level.threshold, 0.0)
        parts = shares(self._query.logit(features(energies, rows.z, self._usual)), energies, self._usual)
        share, weight = _held(parts, anomaly)
        return RowScores(
            anomaly, hysteresis(anomaly, 1.0, self._config.hold), share, parts.attention, parts.residual, weight,
            {
                "without_attention": (anomaly, parts.residual),
                "without_adaptation": (np.where(begun, raw / self._level.threshold, 0.0), share),
            },
        )  # fmt: skip


def _held(parts: Shares, anomaly: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The share of the newest rows, each counted by its evidence, and that evidence."""
    said = parts.evidence * anomaly[:, None] + 1e-9
    weight = said.sum(1)
    newest = faded_mean(said, 4 * HELD_ROWS, HELD_ROWS)
    return (newest / newest.sum(1, keepdims=True)).astype(np.float32), weight


class _Level(NamedTuple):
    """From energies to one number a row."""

    unit: NDArray[np.floating]
    """(B, C)."""
    usual: NDArray[np.floating]
    """(B, C) mean calibrated residual of fault-free rows."""
    threshold: float

    @classmethod
    def fit(cls, energies: NDArray[np.float32], usual: Usual, quantile: float) -> "_Level":
        """On cross-fitted (N, B, C) energies: those of held-back rows, not of rows that the subspaces know."""
        unit = usual.scale[BANDS] ** CALIBRATED
        residual = np.sqrt(energies[:, BANDS] / unit)
        usually = np.maximum(residual.mean(0), 0.05)
        return cls(unit, usually, max(float(np.quantile(_joined(residual), quantile)), 1e-6))

    def residual(self, energies: NDArray[np.float32]) -> NDArray[np.floating]:
        """(n, B, C) energies → the calibrated residuals of the bands that make the score."""
        residual: NDArray[np.floating] = np.sqrt(energies[:, BANDS] / self.unit)
        return residual

    def relieved(self, residual: NDArray[np.floating]) -> NDArray[np.float64]:
        """Residuals less the slow drift of each, within bounds, joined: (n,).

        The background learns from no more than `SPIKE` usual residuals a row, stays `DELAY` rows behind and divides
        by no more than `RELIEF`: drift fades from the score in hours, an incident cannot hide in it.
        """
        slow = slow_mean(np.minimum(residual, SPIKE * self.usual), MEMORY, self.usual)
        slow = late(slow, DELAY, self.usual)
        return _joined(residual / np.clip(slow / self.usual, 1.0, RELIEF))


def _joined(residual: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over channels, power mean over bands."""
    joined: NDArray[np.float64] = (residual.astype(np.float64).mean(2) ** NORM).mean(1) ** (1 / NORM)
    return joined


def hysteresis(anomaly: NDArray[np.float64], open_at: float, hold_at: float) -> NDArray[np.bool_]:
    """(n,) True from a row at `open_at` or above until one below `hold_at`."""
    opened, held = anomaly >= open_at, anomaly >= hold_at
    n = np.arange(len(anomaly))
    newest_open = np.maximum.accumulate(np.where(opened, n, -1))
    newest_low = np.maximum.accumulate(np.where(held, -1, n))
    alarming: NDArray[np.bool_] = newest_open > newest_low
    return alarming


def fit_generic(
    channels: Sequence[str], values: NDArray[np.float32], row_s: float, seed: int,
    config: GenericConfig | None = None, progress: Callable[[Progress], None] = lambda _: None,
) -> GenericModel:  # fmt: skip
    """Fit on (n, C) training rows in time order, NaN without a reading.

    Args:
        channels: their names; only how many there are matters.
        row_s: seconds a row; the model counts in rows.
        seed: of the faults that evidence is learnt from.
        progress: told after every fold.

    Raises:
        TooShortError: fewer than `SHORTEST` rows.
        ValueError: as many names as columns are needed.
    """
    del row_s
    if len(channels) != values.shape[1]:
        raise ValueError(f"{len(channels)} channel names for {values.shape[1]} columns")
    if len(values) < SHORTEST:
        raise TooShortError(len(values))
    # One thread gives the same bits everywhere, and beside other processes a second one costs more than it brings.
    torch.set_num_threads(1)
    config, rng = config or GenericConfig(), np.random.default_rng(seed)
    scale = Scale.fit(values)
    rows = scale.apply(values)
    held_back = [_fold(rows, k, config, rng) for k in range(config.folds)]
    progress(Progress("normal", config.folds, config.folds + 1, 0.0))
    energies = np.concatenate([fold.energies for fold in held_back])
    usual = Usual.fit(energies, rows.z)
    examples = [(features(e, made.z, usual), made) for fold in held_back for e, made in fold.practised]
    query = FaultQuery.fit(examples, rng)
    subspaces = NestedSubspaces.fit(rows.z, np.arange(len(values)))
    progress(Progress("normal", config.folds + 1, config.folds + 1, 0.0))
    return GenericModel(scale, subspaces, usual, query, _Level.fit(energies, usual, config.quantile), config)


class _Fold(NamedTuple):
    """One held-back part of the training rows, seen by subspaces fitted on the rest."""

    energies: NDArray[np.float32]
    practised: list[tuple[NDArray[np.float32], Practice]]


def _fold(rows: Scaled, k: int, config: GenericConfig, rng: np.random.Generator) -> _Fold:
    n = len(rows.z)
    low, high = n * k // config.folds, n * (k + 1) // config.folds
    ends = np.arange(WINDOW - 1, n)
    subspaces = NestedSubspaces.fit(rows.z, ends[(ends < low) | (ends >= high + WINDOW)])
    some = np.arange(low, high, max(1, n // config.most_rows))
    length = min(config.practice_rows, high - low)
    begin = low + int(rng.integers(0, high - low - length + 1))
    clean = rows.z[begin : begin + length]
    seen = rows.seen[begin : begin + length]
    faulty = practise(clean, rng)
    practised = [(subspaces.energies(Scaled(made.z, seen), np.arange(length)), made)
                 for made in (faulty, Practice(clean, np.zeros_like(clean), np.ones_like(clean)))]  # fmt: skip
    return _Fold(subspaces.energies(rows, some), practised)
