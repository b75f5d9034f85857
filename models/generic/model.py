"""Training rows → a model of the series; rows → anomaly and share. See the package for what is in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.generic.evidence import FaultQuery, Usual, features, normalized, shares
from models.generic.history import peak_hold
from models.generic.level import AlarmLevels, Judged, Level
from models.generic.practice import Practice, practise
from models.generic.subspaces import WINDOW, NestedSubspaces, Rows, Scale, Scaled
from models.recipe import Progress

MIN_ROWS = 8
"""Rows that must have come before a row gets a score; until then the series is being learnt."""
SHORTEST = 5 * WINDOW
"""Fewest training rows: every third of them is held back once, and the rest must hold more than a window."""
COUNTS = 1.5
"""Power of the anomaly in what a row adds to the share of its episode."""


@dataclass(frozen=True, slots=True)
class GenericConfig:
    """How to fit; one configuration for every series."""

    folds: int = 3
    """Parts of the training rows; each is scored by subspaces that were fitted on the others."""
    most_rows: int = 12_000
    """Rows that the calibration looks at."""
    practice_rows: int = 1_500
    """Longest stretch of a fold that faults are practised on ..."""
    practices: int = 4
    """... and how often: where rows are few, one draw of faults is luck."""
    alarm: AlarmLevels = field(default_factory=AlarmLevels)


class Ablation(NamedTuple):
    """The same model without a part of it."""

    anomaly: NDArray[np.float64]
    alarming: NDArray[np.bool_]
    evidence: NDArray[np.float64]
    """(n, C) as `RowScores.evidence`."""


class RowScores(NamedTuple):
    """Scores of n rows over C channels."""

    anomaly: NDArray[np.float64]
    """(n,) 1.0 is the calibrated threshold."""
    alarming: NDArray[np.bool_]
    """(n,) an episode is open: it opens at 1.0 and holds down to `AlarmLevels.hold`."""
    evidence: NDArray[np.float64]
    """(n, C) what a row adds to the share of its episode: attention and residual combined, by how anomalous it is."""
    attention: NDArray[np.float32]
    residual: NDArray[np.float32]
    """(n, C) the parts of the evidence; rows sum to 1."""
    ablations: dict[str, Ablation]

    @property
    def share(self) -> NDArray[np.float32]:
        """(n, C) as an alert would show it at the row; see `running_share`."""
        return running_share(self.evidence)


class TooShortError(Exception):
    """Fewer training rows than a model can be fitted and calibrated on."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} training rows; a model and its threshold need at least {SHORTEST}")
        self.rows = rows


class GenericModel:
    """What is usual in one series, its threshold, and the query for the channel at fault."""

    def __init__(
        self, scale: Scale, subspaces: NestedSubspaces, usual: Usual, query: FaultQuery, level: Level
    ) -> None:  # fmt: skip
        self._scale, self._subspaces, self._usual = scale, subspaces, usual
        self._query, self._level = query, level

    def score(self, values: NDArray[np.float32]) -> RowScores:
        """(n, C) rows in time order, NaN without a reading → a score for every row, from it and rows before it."""
        rows, n = self._scale.apply(values), len(values)
        energies = self._subspaces.energies(rows, np.arange(n))
        relieved = self._level.relieved(energies)
        parts = shares(self._query.logit(features(relieved, rows.z, self._usual)), relieved, self._usual)
        judged, unadapted = _begun(self._level.judged(relieved)), _begun(self._level.judged(energies))
        return RowScores(
            *judged, parts.evidence * _counted(judged), parts.attention, parts.residual,
            {
                "without_attention": Ablation(*judged, parts.residual * judged.anomaly[:, None]),
                "without_adaptation": Ablation(*unadapted, parts.evidence * _counted(unadapted)),
            },
        )  # fmt: skip


def _begun(judged: Judged) -> Judged:
    """Too few rows have come to score the first ones."""
    early = np.arange(len(judged.anomaly)) < MIN_ROWS - 1
    return Judged(np.where(early, 0.0, judged.anomaly), judged.alarming & ~early)


def _counted(judged: Judged) -> NDArray[np.float64]:
    """(n, 1) how much a row counts in the share of its episode."""
    counted: NDArray[np.float64] = judged.anomaly[:, None] ** COUNTS + 1e-9
    return counted


def running_share(evidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, C) evidence → (n, C) share: each channel's strongest evidence of late, fading with the length of a window.

    An incident shows its channels one after another, and some of them only when it begins; rows sum to 1.
    """
    return normalized(peak_hold(evidence, WINDOW))


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
    return GenericModel(scale, subspaces, usual, query, Level.fit(energies, usual, config.alarm))


class _Fold(NamedTuple):
    """One held-back part of the training rows, seen by subspaces fitted on the rest."""

    energies: NDArray[np.float32]
    """(N, B, C)"""
    practised: list[tuple[NDArray[np.float32], Practice]]


def _fold(rows: Scaled, k: int, config: GenericConfig, rng: np.random.Generator) -> _Fold:
    n = len(rows.z)
    low, high = n * k // config.folds, n * (k + 1) // config.folds
    ends = np.arange(WINDOW - 1, n)
    subspaces = NestedSubspaces.fit(rows.z, ends[(ends < low) | (ends >= high + WINDOW)])
    some = np.arange(low, high, max(1, n // config.most_rows))
    practised = [
        (subspaces.energies(Scaled(made.z, seen), np.arange(len(seen))), made)
        for _ in range(config.practices)
        for made, seen in _practised(rows, low, high, config, rng)
    ]
    return _Fold(subspaces.energies(rows, some), practised)


def _practised(
    rows: Scaled, low: int, high: int, config: GenericConfig, rng: np.random.Generator
) -> Iterator[tuple[Practice, Rows]]:
    """A stretch of the rows `low` to `high` with faults put into it, and as it is; beside each, where it was read."""
    length = min(config.practice_rows, high - low)
    begin = low + int(rng.integers(0, high - low - length + 1))
    clean, seen = rows.z[begin : begin + length], rows.seen[begin : begin + length]
    yield practise(clean, rng), seen
    yield Practice(clean, np.zeros_like(clean), np.ones_like(clean)), seen
