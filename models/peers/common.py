"""What all peers share: standardized rows, windows of them, and how residuals become a score and a ranking.

The threshold of every peer is the 99.9 % quantile of its own training scores.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

QUANTILE = 0.999
LIMIT = 10.0
"""Standardized readings are kept within ± this."""

Rows = NDArray[np.float32]
Array = NDArray[np.float64]
Notice = Callable[[int, int], None]
"""Told how much of how much is done."""


class PeerMissingError(Exception):
    """A peer whose library is not installed, and how to get it."""

    def __init__(self, peer: str, library: str) -> None:
        super().__init__(
            f"peer {peer} needs {library}, which is not installed: pip install 'attendant[evaluation]'"
        )
        self.peer, self.library = peer, library


class Standard(NamedTuple):
    """Both splits of one series, standardized by the training rows; without gaps."""

    train: Rows
    """(n, C)"""
    test: Rows
    """(m, C)"""


class Residuals(NamedTuple):
    """How far every channel of every row is from what the method expects."""

    train: Array
    """(n, C)"""
    test: Array
    """(m, C)"""


class Post(NamedTuple):
    """What is done to the residuals: `raw`, `cal` (in units of what is usual for the channel, logarithmic) or `max`
    (as `cal`, then the mean of the three largest channels), smoothed over so many rows."""

    kind: str
    rows: int = 1


class PeerScores(NamedTuple):
    """What a method says of the test rows; a method that only ranks channels has no score, and the other way round."""

    method: str
    score: Array | None = None
    """(m,) high is anomalous."""
    alarming: NDArray[np.bool_] | None = None
    """(m,) above the method's own threshold."""
    channels: Array | None = None
    """(m, C) residuals that rank the channels."""


def judged(method: str, residuals: Residuals, by: Post, rank_by: Post | None = None) -> PeerScores:
    """Score by one treatment of the residuals, channels ranked by another (the same without it)."""
    train, test = (smoothed(_combined(x, by.kind), by.rows) for x in _treated(residuals, by))
    how = rank_by or by
    ranking = smoothed(_treated(residuals, how).test, how.rows)
    return PeerScores(method, test, test > np.quantile(train, QUANTILE), ranking)


def ranked(method: str, residuals: Residuals) -> PeerScores:
    """Only a ranking of the channels."""
    return PeerScores(method, channels=residuals.test)


def smoothed(x: Array, rows: int) -> Array:
    """(n, …) → the mean of the last `rows` rows, of fewer at the beginning."""
    if rows <= 1:
        return x
    total = np.cumsum(x, axis=0)
    mean = total.copy()
    mean[rows:] -= total[:-rows]
    count = np.minimum(np.arange(1, len(x) + 1), rows).reshape(-1, *[1] * (x.ndim - 1))
    smooth: Array = mean / count
    return smooth


def _combined(x: Array, kind: str) -> Array:
    mean: Array = (np.sort(x, 1)[:, -3:] if kind == "max" else x).mean(1)
    return mean


def _treated(residuals: Residuals, post: Post) -> Residuals:
    if post.kind == "raw":
        return residuals
    usual = residuals.train.mean(0)
    usual = np.maximum(usual, 0.1 * np.median(usual) + 1e-6)
    return Residuals(*(np.log1p(x / usual) for x in residuals))


def standardized(train: Rows, test: Rows) -> Standard:
    """By mean and standard deviation of the training rows; a missing reading repeats the last one."""
    train, test = _filled(train), _filled(test)
    center, spread = train.mean(0), train.std(0)
    moving = spread[spread > 0]
    floor = max(1e-4, 0.1 * float(np.median(moving))) if len(moving) else 1e-2
    spread = np.maximum(spread, floor)
    return Standard(
        *(np.clip((x - center) / spread, -LIMIT, LIMIT).astype(np.float32) for x in (train, test))
    )


def _filled(rows: Rows) -> Rows:
    seen = np.isfinite(rows)
    newest = np.maximum.accumulate(np.where(seen, np.arange(len(rows))[:, None], -1), 0)
    carried = np.take_along_axis(rows, np.maximum(newest, 0), 0)
    middle = np.where(seen, rows, 0).sum(0) / np.maximum(seen.sum(0), 1)
    filled: Rows = np.where(newest >= 0, carried, middle).astype(np.float32)
    return filled


def padded(z: Rows, window: int) -> Rows:
    """(n, C) → (n + window - 1, C): the first row repeated, so that every row ends a window."""
    return np.concatenate([np.repeat(z[:1], window - 1, 0), z])


def windows(z: Rows, window: int) -> Rows:
    """(n, window, C) view: the window that ends at every row."""
    return np.lib.stride_tricks.sliding_window_view(padded(z, window), window, 0).transpose(0, 2, 1)
