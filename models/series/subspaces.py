"""Nested principal subspaces of windows: what is left of a row when more and more of what is usual is taken away.

Letters: n rows, W rows of a window, H = W - 1, D devices, C channels, B nested subspaces, R newest rows that count.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WINDOW = 40
"""Rows of a window."""
KEPT = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Part of the variance that each of the nested subspaces holds; 0 leaves the row as it is."""
RECENT = 16
"""Newest rows of the window whose residual counts ..."""
FADE = 4.0
"""... with weights that fade by 1/e in so many rows: an event must not stay in the score for a whole window."""
PLAIN = 2
"""The subspace of the plain residual, signed and not: the one that holds 80 % of the variance."""
_FIT_ON = 24_000
"""Windows that are fitted on at most, evenly spread."""
_ROUND = 16
"""Components of a band come in multiples of this."""
_PASS, _SMALL = 256, 32
"""Windows of a large pass and of a small one; always exactly so many, filled up where there are fewer."""

Rows = NDArray[np.float32]


class Scaled(NamedTuple):
    """Rows in spreads of their channel."""

    z: Rows
    """(n, …, C) where no reading fell the last one stands (0 before the first)."""
    seen: Rows
    """(n, …, C) 1.0 where a reading fell, else 0.0."""

    def begun(self) -> "Scaled":
        """(n, C) of one series → (H + n, 1, C): before the first row the first one stands."""
        z, seen = (np.concatenate([np.repeat(x[:1], WINDOW - 1, 0), x])[:, None] for x in self)
        return Scaled(z, seen)


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

    def apply(self, values: Rows, before: NDArray[np.floating] | float = 0.0) -> Scaled:
        """(n, …, C) rows in units; `before` (…, C) is what stood before them, in spreads.

        Linear up to 5 spreads, then logarithmic: a wild reading is told from a wilder one and drowns no other.
        """
        seen = np.isfinite(values)
        at = np.arange(len(values)).reshape(-1, *(1,) * (values.ndim - 1))
        newest = np.maximum.accumulate(np.where(seen, at, -1), 0)
        carried = np.take_along_axis(values, np.maximum(newest, 0), 0)
        z = (carried - self.center) / self.spread
        z = np.clip(z, -5, 5) + np.sign(z) * np.log1p(np.maximum(np.abs(z) - 5, 0))
        return Scaled(np.where(newest >= 0, z, before).astype(np.float32), seen.astype(np.float32))

    def unscaled(self, z: NDArray[np.floating]) -> NDArray[np.floating]:
        """(…, C) rows in spreads → in units: `apply` backwards."""
        wide = np.clip(z, -5, 5) + np.sign(z) * np.expm1(np.maximum(np.abs(z) - 5, 0))
        units: NDArray[np.floating] = self.center + self.spread * wide
        return units


class Residuals(NamedTuple):
    """What is left of N rows of D devices."""

    energies: Rows
    """(N, D, B, C) mean squared residual outside of each subspace, the newest rows weighted most; 0 where nothing was
    read."""
    stray: Rows
    """(N, D, C) mean residual, likewise, outside of the subspace `PLAIN`."""


class NestedSubspaces:
    """Principal components of windows (Jolliffe, "Principal Component Analysis", 2002), cut at several variances."""

    def __init__(self, mean: Tensor, basis: Tensor, cuts: tuple[int, ...]) -> None:
        """(W C,) mean window, (W C, K) components, and how many of them each subspace has."""
        self.mean, self.basis, self.cuts = mean, basis, cuts
        self._bands = [_filled_up(basis[:, begun:end]) for begun, end in itertools.pairwise((0, *cuts))]
        self._small = _SMALL if self._rounds_alike() else _PASS

    @classmethod
    def fit(cls, z: Rows, ends: NDArray[np.intp]) -> "NestedSubspaces":
        """Fit on the windows that end at the rows `ends` of (H + n, 1, C) rows."""
        some = ends[:: max(1, -(-len(ends) // _FIT_ON))]
        x = torch.from_numpy(_windows(z)[some, 0].reshape(len(some), -1))
        mean = x.mean(0)
        x = x - mean
        values, vectors = torch.linalg.eigh((x.T @ x / len(x)).double())
        carried = (values.flip(0).clamp(min=0).cumsum(0) / values.clamp(min=0).sum().clamp(min=1e-12)).numpy()
        cuts = tuple(
            0 if kept == 0 else min(int(np.searchsorted(carried, kept)) + 1, len(carried)) for kept in KEPT
        )
        return cls(mean, vectors.flip(1)[:, : cuts[-1]].float().contiguous(), cuts)

    def residuals(self, rows: Scaled, ends: NDArray[np.intp] | None = None) -> Residuals:
        """Of (H + n, D, C) rows: of the windows that end at the rows `ends` of the last n, or at all of them."""
        z, seen = _windows(rows.z), _windows(rows.seen)[:, :, -RECENT:]
        D, C = z.shape[1], z.shape[3]
        ends = np.arange(len(z)) if ends is None else ends
        row, device = np.repeat(ends, D), np.tile(np.arange(D), len(ends))
        energies, stray = np.empty((len(row), len(KEPT), C), np.float32), np.empty((len(row), C), np.float32)
        for some in self._passes(len(row)):
            energies[some], stray[some] = self._pass(
                z[row[some], device[some]], seen[row[some], device[some]]
            )
        return Residuals(energies.reshape(len(ends), D, len(KEPT), C), stray.reshape(len(ends), D, C))

    def _passes(self, windows: int) -> Iterator[slice]:
        """Large ones, and small ones for what is left over."""
        large = windows - windows % _PASS
        yield from (slice(i, i + _PASS) for i in range(0, large, _PASS))
        yield from (slice(i, min(i + self._small, windows)) for i in range(large, windows, self._small))

    def _pass(self, z: Rows, seen: Rows) -> tuple[Rows, Rows]:
        """(N, W, C) windows and the (N, R, C) readings of their newest rows → (N, B, C), (N, C).

        Filled up to one of two sizes, so that no bit of a window hangs on how many others there are.
        """
        N, _, C = z.shape
        B = _PASS if self._small < N else self._small
        x, weight = torch.zeros(B, WINDOW * C), torch.zeros(B, RECENT, C)
        x[:N] = torch.from_numpy(z.reshape(N, -1)) - self.mean
        weight[:N] = torch.from_numpy(seen) * torch.exp(-torch.arange(RECENT - 1, -1, -1) / FADE)[:, None]
        total = weight.sum(1).clamp(min=1e-6)
        first = (WINDOW - RECENT) * C
        left, out = x[:, first:].clone(), []
        for b, band in enumerate(self._bands):
            if band.shape[1]:
                left -= (x @ band) @ band[first:].T
            rest = left.view(B, RECENT, C)
            out.append((rest**2 * weight).sum(1) / total)
            if b == PLAIN:
                stray = (rest * weight).sum(1) / total
        return torch.stack(out, 1)[:N].numpy(), stray[:N].numpy()

    def _rounds_alike(self) -> bool:
        """True where few windows get the bits that many get; the machine's kernels decide."""
        self._small, C = _SMALL, len(self.mean) // WINDOW
        z = np.random.default_rng(0).normal(0, 3, (_PASS, WINDOW, C)).astype(np.float32)
        seen = np.ones((_PASS, RECENT, C), np.float32)
        few = [self._pass(z[i : i + _SMALL], seen[i : i + _SMALL])[0] for i in range(0, _PASS, _SMALL)]
        return np.array_equal(np.concatenate(few), self._pass(z, seen)[0])

    def expected(self, z: Rows) -> Rows:
        """(N, W, C) windows → the same as the subspace `PLAIN` holds them: what would have been usual."""
        basis = self.basis[:, : self.cuts[PLAIN]]
        rows = [torch.from_numpy(one.reshape(1, -1)) - self.mean for one in z]
        held = [(one @ basis) @ basis.T + self.mean for one in rows]
        expected: Rows = torch.cat(held).numpy().reshape(z.shape) if held else z
        return expected


def _filled_up(band: Tensor) -> Tensor:
    """(W C, K) → the same with columns of zeros up to a round width: an odd one rounds by where a window stands."""
    return nn.functional.pad(band, (0, -band.shape[1] % _ROUND)).contiguous()


def _windows(rows: Rows) -> Rows:
    """(H + n, D, C) → (n, D, W, C) view: the window that ends at every row but the first H."""
    return np.lib.stride_tricks.sliding_window_view(rows, WINDOW, 0).transpose(0, 1, 3, 2)
