"""Fault-free rows → a model of the series. Knows no file and no device."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.recipe import Progress
from models.series.evidence import FaultQuery, Usual, features
from models.series.incident import NONE, AlarmLevels, HeldBack, Limits
from models.series.level import Level
from models.series.memory import HISTORY, Memory
from models.series.model import SeriesModel
from models.series.practice import Practice, practise
from models.series.subspaces import WINDOW, NestedSubspaces, Residuals, Rows, Scale, Scaled

SHORTEST = 5 * WINDOW
"""Fewest training rows: every third of them is held back once, and the rest must hold more than a window."""


@dataclass(frozen=True, slots=True)
class SeriesConfig:
    """How to fit; one configuration for every series."""

    folds: int = 3
    """Parts of the training rows; each is scored by subspaces that were fitted on the others."""
    most_rows: int = 12_000
    """Rows that say what is usual, from all parts, and newest rows of each part that the limits rest on."""
    practice_rows: int = 1_500
    """Longest stretch of a fold that faults are practised on ..."""
    practices: int = 4
    """... and how often: where rows are few, one draw of faults is luck."""
    alarm: AlarmLevels = field(default_factory=AlarmLevels)


class TooShortError(Exception):
    """Fewer training rows than a model can be fitted and calibrated on."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} training rows; a model and its threshold need at least {SHORTEST}")
        self.rows = rows


class Fold(NamedTuple):
    """One part of the training rows and a model of the others."""

    rows: slice
    model: SeriesModel


class Fitted(NamedTuple):
    """A model, and how to tell what it would say of rows that it does not know."""

    model: SeriesModel
    held_back: list[Fold]


def fit_model(
    channels: Sequence[str], values: NDArray[np.float32], seed: int,
    config: SeriesConfig | None = None, progress: Callable[[Progress], None] = lambda _: None,
    breaks: Sequence[int] = (), watched: Sequence[bool] | None = None,
) -> Fitted:  # fmt: skip
    """Fit on (n, C) training rows in time order, NaN without a reading.

    Args:
        channels: their names; only how many there are matters.
        seed: of the faults that evidence is learnt from.
        progress: told after every fold.
        breaks: rows before which another recording begins.
        watched: for every channel whether it can be at fault; without it all can.

    Raises:
        TooShortError: fewer than `SHORTEST` rows.
        ValueError: as many names as columns are needed.
    """
    if len(channels) != values.shape[1]:
        raise ValueError(f"{len(channels)} channel names for {values.shape[1]} columns")
    if len(values) < SHORTEST:
        raise TooShortError(len(values))
    # One thread gives the same bits everywhere, and beside other processes a second one costs more than it brings.
    torch.set_num_threads(1)
    config, rng = config or SeriesConfig(), np.random.default_rng(seed)
    scale = Scale.fit(values)
    rows = scale.apply(values)
    whole = _whole(len(values), breaks)
    folds = [_cross_fit(rows, k, whole, config, rng) for k in range(config.folds)]
    progress(Progress("normal", config.folds, config.folds + 2, 0.0))
    left = Residuals(*(np.concatenate(planes) for planes in zip(*(f.left for f in folds), strict=True)))
    usual = Usual.fit(left, rows.z)
    query = FaultQuery.fit([_example(*made, usual) for fold in folds for made in fold.practised], rng)
    counted = np.ones(len(channels)) if watched is None else np.array(watched, float)
    level = Level.fit(left.energies[:, 0], usual, counted)
    parts = scale, usual, query, level
    seen = [
        _reached(_model(parts, f.subspaces, NONE, NONE, config), values[stretch])
        for f in folds
        for stretch in _stretches(f.rows, breaks, config.most_rows)
    ]
    limits = Limits.fit(seen, config.alarm)
    evenly = Limits.fit([one._replace(weight=np.ones_like(one.weight)) for one in seen], config.alarm)
    progress(Progress("normal", config.folds + 1, config.folds + 2, 0.0))
    subspaces = NestedSubspaces.fit(rows.begun().z, np.flatnonzero(whole))
    progress(Progress("normal", config.folds + 2, config.folds + 2, 0.0))
    held_back = [Fold(f.rows, _model(parts, f.subspaces, limits, evenly, config)) for f in folds]
    return Fitted(_model(parts, subspaces, limits, evenly, config), held_back)


def _model(
    parts: tuple[Scale, Usual, FaultQuery, Level], subspaces: NestedSubspaces, limits: Limits, evenly: Limits,
    config: SeriesConfig,
) -> SeriesModel:  # fmt: skip
    scale, usual, query, level = parts
    return SeriesModel(scale, subspaces, usual, query, level, limits, evenly, config.alarm)


def _stretches(part: slice, breaks: Sequence[int], most: int) -> list[slice]:
    """The newest rows of a part, recording by recording; too short ones are left out where there are others."""
    low = max(part.start, part.stop - most)
    cuts = [low, *(cut for cut in breaks if low < cut < part.stop), part.stop]
    stretches = [slice(*pair) for pair in itertools.pairwise(cuts)]
    return [s for s in stretches if s.stop - s.start >= 2 * WINDOW] or [slice(low, part.stop)]


def _reached(model: SeriesModel, values: NDArray[np.float32]) -> HeldBack:
    """What rows that the model does not know come to, as those of a new device.

    Relief from drift is bounded and an incident may use it up, so the limits rest on residuals without it.
    """
    told, _ = model.advance(values[:, None], model.unknown(1))
    whole = ~told.early[:, 0]
    return HeldBack(model.level.reached(told.energies[whole, 0]), told.pointed[whole, 0])


def _whole(n: int, breaks: Sequence[int]) -> NDArray[np.bool_]:
    """(n,) rows whose window lies within one recording; before the first of all its first row stands."""
    whole = np.ones(n, np.bool_)
    for begin in breaks:
        whole[begin : begin + HISTORY] = False
    return whole


class _CrossFit(NamedTuple):
    """One part of the training rows, seen by subspaces that were fitted on the others."""

    rows: slice
    subspaces: NestedSubspaces
    left: Residuals
    practised: list[tuple[Residuals, Practice]]


def _cross_fit(
    rows: Scaled, k: int, whole: NDArray[np.bool_], config: SeriesConfig, rng: np.random.Generator
) -> _CrossFit:
    """Part `k` of the rows; `whole` (n,) says whose window lies within one recording."""
    n = len(rows.z)
    low, high = n * k // config.folds, n * (k + 1) // config.folds
    others = whole.copy()
    others[:HISTORY] = others[low : high + WINDOW] = False
    series = rows.begun()
    subspaces = NestedSubspaces.fit(series.z, np.flatnonzero(others))
    some = np.arange(low, high, max(1, n // config.most_rows))
    practised = [
        (subspaces.residuals(Scaled(made.z, seen).begun()), made)
        for _ in range(config.practices)
        for made, seen in _practised(rows, low, high, config, rng)
    ]
    return _CrossFit(slice(low, high), subspaces, subspaces.residuals(series, some), practised)


def _example(left: Residuals, made: Practice, usual: Usual) -> tuple[Rows, Practice]:
    """(n, C, F) features of a practised stretch, beside it."""
    nothing = Memory.unknown(1, made.z.shape[1]).trace
    told, _ = features(left.energies, made.z[:, None], usual, nothing, np.ones(1, np.bool_))
    return told.features[:, 0], made


def _practised(
    rows: Scaled, low: int, high: int, config: SeriesConfig, rng: np.random.Generator
) -> Iterator[tuple[Practice, Rows]]:
    """A stretch of the rows `low` to `high` with faults put into it, and as it is; beside each, where it was read."""
    length = min(config.practice_rows, high - low)
    begin = low + int(rng.integers(0, high - low - length + 1))
    clean, seen = rows.z[begin : begin + length], rows.seen[begin : begin + length]
    yield practise(clean, rng), seen
    yield Practice(clean, np.zeros_like(clean), np.ones_like(clean)), seen
