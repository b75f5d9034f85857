"""Nested principal subspaces of windows: what is left of a row when more and more of what is usual is taken away.

Letters: n rows, W rows of a window, C channels, B nested subspaces, R newest rows that count.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WINDOW = 40
"""Rows of a window."""
KEPT = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Part of the variance that each of the nested subspaces holds; 0 leaves the row as it is."""
RECENT = 16
"""Newest rows of the window whose residual counts ..."""
FADE = 4.0
"""... with weights that fade by 1/e in so many rows: an event must not stay in the score for a whole window."""
_FIT_ON = 24_000
_PASS = 2048

Rows = NDArray[np.float32]


class Scaled(NamedTuple):
    """Rows in spreads of their channel."""

    z: Rows
    """(n, C) where no reading fell the last one stands (0 before the first)."""
    seen: Rows
    """(n, C) 1.0 where a reading fell, else 0.0."""


class Scale(NamedTuple):
    """Mean and spread of every channel over the training rows, (C,) each."""

    center: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fit(cls, values: Rows) -> "Scale":
        """A channel's spread is at least a tenth of the median channel's: one that stood still may move a little."""
        seen = np.isfinite(values)
        n = np.maximum(seen.sum(0), 1)
        center = np.where(seen, values, 0.0).sum(0, dtype=np.float64) / n
        spread = np.sqrt((np.where(seen, values - center, 0.0) ** 2).sum(0) / n)
        moving = spread[spread > 0]
        floor = max(1e-4, 0.1 * float(np.median(moving))) if len(moving) else 1e-2
        return cls(center, np.maximum(spread, floor))

    def apply(self, values: Rows) -> Scaled:
        """Linear up to 5 spreads, then logarithmic: a wild reading is told from a wilder one and drowns no other."""
        seen = np.isfinite(values)
        newest = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], -1), 0)
        carried = np.take_along_axis(values, np.maximum(newest, 0), 0)
        z = np.where(newest >= 0, (carried - self.center) / self.spread, 0.0)
        z = np.clip(z, -5, 5) + np.sign(z) * np.log1p(np.maximum(np.abs(z) - 5, 0))
        return Scaled(z.astype(np.float32), seen.astype(np.float32))


class NestedSubspaces:
    """Principal components of windows (Jolliffe, "Principal Component Analysis", 2002), cut at several variances."""

    def __init__(self, mean: Tensor, basis: Tensor, cuts: tuple[int, ...]) -> None:
        self._mean, self._basis, self._cuts = mean, basis, cuts

    @classmethod
    def fit(cls, z: Rows, ends: NDArray[np.intp]) -> "NestedSubspaces":
        """Fit on the windows that end at the rows `ends` of (n, C) rows."""
        some = ends[:: max(1, -(-len(ends) // _FIT_ON))]
        x = torch.from_numpy(np.ascontiguousarray(_windows(z)[some]).reshape(len(some), -1))
        mean = x.mean(0)
        x = x - mean
        values, vectors = torch.linalg.eigh((x.T @ x / len(x)).double())
        carried = (values.flip(0).clamp(min=0).cumsum(0) / values.clamp(min=0).sum().clamp(min=1e-12)).numpy()
        cuts = tuple(
            0 if kept == 0 else min(int(np.searchsorted(carried, kept)) + 1, len(carried)) for kept in KEPT
        )
        return cls(mean, vectors.flip(1)[:, : cuts[-1]].float(), cuts)

    def energies(self, rows: Scaled, ends: NDArray[np.intp]) -> Rows:
        """(N, B, C) mean squared residual outside of each subspace, newest rows first; 0 where nothing was read."""
        parts = [self._energies(rows, ends[i : i + _PASS]) for i in range(0, len(ends), _PASS)]
        C = rows.z.shape[1]
        energies: Rows = np.concatenate(parts) if parts else np.zeros((0, len(KEPT), C), np.float32)
        return energies

    def _energies(self, rows: Scaled, ends: NDArray[np.intp]) -> Rows:
        N, C = len(ends), rows.z.shape[1]
        x = torch.from_numpy(np.ascontiguousarray(_windows(rows.z)[ends]).reshape(N, -1)) - self._mean
        weight = torch.from_numpy(np.ascontiguousarray(_windows(rows.seen)[ends][:, -RECENT:]))
        weight = weight * torch.exp(-torch.arange(RECENT - 1, -1, -1) / FADE)[None, :, None]
        total = weight.sum(1).clamp(min=1e-6)
        first = (WINDOW - RECENT) * C
        left, begun, out = x[:, first:].clone(), 0, []
        for cut in self._cuts:
            if cut > begun:
                band = self._basis[:, begun:cut]
                left -= (x @ band) @ band[first:].T
                begun = cut
            out.append((left.view(N, RECENT, C) ** 2 * weight).sum(1) / total)
        energies: Rows = torch.stack(out, 1).numpy()
        return energies


def _windows(rows: Rows) -> Rows:
    """(n, W, C) view: the window that ends at every row; before the first row the first one stands."""
    padded = np.concatenate([np.repeat(rows[:1], WINDOW - 1, 0), rows])
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW, 0).transpose(0, 2, 1)
