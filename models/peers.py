"""Plain methods to measure the detector against, row by row, as published comparisons run them.

Each standardizes with the training rows, fits on them, and gives every channel of every row a residual; `raw`, `cal`
and `max` say how those become a score. The threshold is the 99.9 % quantile of the training scores.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW = 20
"""Rows of a window of the windowed PCA."""
VARIANCE = 0.9
QUANTILE = 0.999
_FIT_ON = 30_000
"""At most so many windows are fitted on."""
_PASS = 4096

Rows = NDArray[np.float32]


class PeerScores(NamedTuple):
    """What a method says of the test rows."""

    method: str
    score: NDArray[np.float64]
    """(n,)"""
    alarming: NDArray[np.bool_]
    """(n,) above its own threshold."""
    channels: NDArray[np.float64]
    """(n, C) residuals that rank the channels."""


def peer_scores(train: Rows, test: Rows, seed: int, *, every: bool) -> Iterator[PeerScores]:
    """The peers' scores of one series; without `every` only one form of each method.

    Args:
        train, test: (n, C) rows in time order, NaN without a reading.
        seed: of the random scores.
    """
    standard = _standardized(train, test)
    pca = _windowed_pca(*standard)
    yield _judged("windowed_pca", *_calibrated(*pca), _mean)
    if every:
        yield _judged("windowed_pca_max", *_calibrated(*pca), _largest)
        yield _judged("windowed_pca_raw", *pca, _mean)
    squared = [(z * z).astype(np.float64) for z in standard]
    yield _judged("abs_z", squared[0], squared[1], _mean)
    rng = np.random.default_rng(seed)
    yield _judged("random", rng.random(train.shape), rng.random(test.shape), _mean)


def _judged(
    method: str, train: NDArray[np.float64], test: NDArray[np.float64],
    combine: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> PeerScores:  # fmt: skip
    score = combine(test)
    return PeerScores(method, score, score > np.quantile(combine(train), QUANTILE), test)


def _mean(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = residual.mean(1)
    return mean


def _largest(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the three largest channels."""
    mean: NDArray[np.float64] = np.sort(residual, 1)[:, -3:].mean(1)
    return mean


def _calibrated(
    train: NDArray[np.float64], test: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Residuals in units of what is usual for the channel, logarithmic."""
    usual = train.mean(0)
    usual = np.maximum(usual, 0.1 * np.median(usual) + 1e-6)
    return np.log1p(train / usual), np.log1p(test / usual)


def _standardized(train: Rows, test: Rows) -> tuple[Rows, Rows]:
    """By mean and standard deviation of the training rows, within ±10; a missing reading repeats the last one."""
    train, test = _filled(train), _filled(test)
    center, spread = train.mean(0), train.std(0)
    moving = spread[spread > 0]
    floor = max(1e-4, 0.1 * float(np.median(moving))) if len(moving) else 1e-2
    spread = np.maximum(spread, floor)
    z = [np.clip((x - center) / spread, -10, 10).astype(np.float32) for x in (train, test)]
    return z[0], z[1]


def _filled(rows: Rows) -> Rows:
    seen = np.isfinite(rows)
    newest = np.maximum.accumulate(np.where(seen, np.arange(len(rows))[:, None], -1), 0)
    carried = np.take_along_axis(rows, np.maximum(newest, 0), 0)
    middle = np.where(seen, rows, 0).sum(0) / np.maximum(seen.sum(0), 1)
    filled: Rows = np.where(newest >= 0, carried, middle).astype(np.float32)
    return filled


def _windows(z: Rows) -> Rows:
    """(n, WINDOW, C) view: the window that ends at every row, the first row repeated before it."""
    padded = np.concatenate([np.repeat(z[:1], WINDOW - 1, 0), z])
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW, 0).transpose(0, 2, 1)


def _windowed_pca(train: Rows, test: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every window from the windows' principal subspace, mean over its rows."""
    stride = max(2, -(-len(train) // _FIT_ON))
    x = _windows(train)[::stride].reshape(-1, WINDOW * train.shape[1]).astype(np.float64)
    mean = x.mean(0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov((x - mean).T)))
    carried = np.cumsum(values[::-1]) / max(values.sum(), 1e-12)
    basis = vectors[:, ::-1][:, : int(np.searchsorted(carried, VARIANCE)) + 1]

    def residual(z: Rows) -> NDArray[np.float64]:
        parts = []
        for i in range(0, len(z), _PASS):
            y = _windows(z)[i : i + _PASS].reshape(-1, mean.size) - mean
            error = (y - (y @ basis) @ basis.T) ** 2
            parts.append(error.reshape(-1, WINDOW, z.shape[1]).mean(1))
        return np.concatenate(parts)

    return residual(train), residual(test)
