"""A fast wave → a few numbers a part of a cycle, for methods that look at levels row by row.

Forty rows of a wave at 360 Hz are a ninth of a second, less than one beat: whatever watches such rows watches noise.
`derived` describes every part of a cycle by the cycle that ends there: level, spread, bottom, top and roughness of each
channel. `Derived.held` gives the scores back to the wave's rows, each row the newest one that was known by then.
Everything is derived from the training rows: their cycle, and how many parts of it a model needs.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FASTEST_LEVEL_S = 0.1
"""Rows closer together than this are a wave; slower ones can be watched as they are."""
CYCLE_S = (0.25, 10.0)
"""Shortest and longest cycle looked for: a fast heart, a slow breath."""
PARTS = 4
"""Parts of a cycle that get a row, where the training rows are long enough."""
CLEAR = 0.2
"""A correlation with itself one cycle ago below this is no rhythm: then a second counts as the cycle."""
FEATURES = 5

Rows = NDArray[np.float32]


class Cut(NamedTuple):
    """How a wave is cut."""

    cycle: int
    """Rows of a cycle."""
    hop: int
    """Rows from one derived row to the next."""


class Derived(NamedTuple):
    """K derived rows of an n-row wave of C channels."""

    values: Rows
    """(K, C · FEATURES)"""
    ends: NDArray[np.intp]
    """(K,) the wave's row at which each was known."""
    rows: int

    def held(self, x: NDArray[Any], before: float = 0.0) -> NDArray[Any]:
        """(K, …) → (n, …): every row gets the newest derived row known by then, `before` where there is none yet."""
        at = np.searchsorted(self.ends, np.arange(self.rows), side="right") - 1
        full = x[np.maximum(at, 0)]
        full[at < 0] = before
        return full

    def by_channel(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """(K, C · FEATURES) shares or residuals → (n, C), a channel's features added up."""
        return self.held(x.reshape(len(x), -1, FEATURES).sum(2))


def cut_for(train: Rows, row_s: float, fewest: int) -> Cut:
    """The cycle of the training rows, cut into `PARTS`, or finer where that leaves fewer than `fewest` rows."""
    cycle = _cycle(train, row_s)
    hop = min(cycle // PARTS, (len(train) - cycle // 2) // fewest)
    return Cut(cycle, max(1, hop))


def derived(values: Rows, cut: Cut) -> Derived:
    """(n, C) rows in time order → rows every `cut.hop`, each from the cycle that ends there; NaN without a reading.

    The first come once half a cycle has been seen.
    """
    ends = np.arange(max(cut.cycle // 2, 1), len(values) + 1, cut.hop) - 1
    features = np.full((len(ends), values.shape[1], FEATURES), np.nan, np.float32)
    for k, end in enumerate(ends):
        features[k] = _features(values[max(0, end + 1 - cut.cycle) : end + 1])
    return Derived(features.reshape(len(ends), -1), ends, len(values))


def derived_channels(names: tuple[str, ...]) -> list[str]:
    """Names of the derived columns, in order."""
    return [f"{name} {what}" for name in names for what in ("level", "spread", "bottom", "top", "roughness")]


def _features(part: Rows) -> Rows:
    """(T, C) → (C, FEATURES)."""
    seen = np.isfinite(part).sum(0)
    out = np.full((part.shape[1], FEATURES), np.nan, np.float32)
    for c in np.flatnonzero(seen >= 2):
        x = part[np.isfinite(part[:, c]), c].astype(np.float64)
        out[c] = x.mean(), x.std(), x.min(), x.max(), np.abs(np.diff(x)).mean()
    return out


def _cycle(train: Rows, row_s: float) -> int:
    """Rows of the usual rhythm: the median over pieces of the training rows, since breaths change their pace."""
    low, high = (max(2, round(s / row_s)) for s in CYCLE_S)
    pieces = np.array_split(train, max(1, len(train) // (4 * high)))
    found = [lag for piece in pieces if (lag := _rhythm(piece, low, min(high, len(piece) // 2)))]
    return round(float(np.median(found))) if found else max(2, round(1.0 / row_s))


def _rhythm(piece: Rows, low: int, high: int) -> int:
    """The lag at which the rows are most like themselves, past the first valley; 0 without a clear one."""
    like = _autocorrelation(piece, high)
    rising = np.flatnonzero(np.diff(like) > 0)
    start = max(low, int(rising[0]) if len(rising) else len(like))
    if start >= len(like) or like[start:].max() < CLEAR:
        return 0
    # Two cycles are as like as one: the first lag nearly as good as the best, and the top of its hill.
    good = np.append(like >= 0.9 * like[start:].max(), False)
    first = start + int(np.argmax(good[start:]))
    last = first + int(np.argmin(good[first:]))
    return first + int(np.argmax(like[first:last]))


def _autocorrelation(rows: Rows, lags: int) -> NDArray[np.float64]:
    """(lags + 1,) mean over the channels that move; a missing reading counts as the mean."""
    seen = np.isfinite(rows)
    center = np.where(seen, rows, 0).sum(0) / np.maximum(seen.sum(0), 1)
    x = np.where(seen, rows - center, 0).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(x, 2 * len(x), axis=0)) ** 2
    power = np.fft.irfft(spectrum, axis=0)[: lags + 1]
    overlap = np.arange(len(x), len(x) - lags - 1, -1)[:, None] / len(x)
    moving = power[0] > 0
    if not moving.any():
        return np.zeros(lags + 1)
    mean: NDArray[np.float64] = (power[:, moving] / power[0, moving] / overlap).mean(1)
    return mean
