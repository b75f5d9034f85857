"""Plain scorers behind the same Protocol: what the attention has to beat.

They reconstruct or standardize and stop there: no context, no evidence, no teaching. Letters as in `models.detector`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scoring import ModelIdentity, Score, check_windows


@dataclass(frozen=True, slots=True)
class _Fitted:
    names: tuple[str, ...]
    watched: NDArray[np.bool_]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]


class _Plain:
    """Robustly standardized readings, a residual energy per channel, anomaly by a quantile of the fault-free."""

    def __init__(
        self, name: str, channels: Sequence[str], watched: Sequence[bool],
        values: NDArray[np.float32], mask: NDArray[np.bool_], quantile: float = 0.999,
    ) -> None:  # fmt: skip
        """Fit on (N, T, C) fault-free windows; only `watched` channels get share."""
        cells = np.where(mask, values, np.nan).reshape(-1, values.shape[-1])
        have = mask.reshape(-1, values.shape[-1]).any(0)
        low, center, high = np.nanquantile(np.where(have, cells, 0.0), [0.01, 0.5, 0.99], axis=0).astype(
            np.float32
        )
        scale = np.maximum((high - low) / 4.65, 1e-6).astype(np.float32)
        self._fitted = _Fitted(tuple(channels), np.array(watched), center, scale)
        self._rows = values.shape[1]
        self._fit(*self._standardized(values, mask))
        energy = self._energy(*self._standardized(values, mask))
        self._usual = np.maximum(np.quantile(energy, 0.9, axis=0), 1e-6).astype(np.float32)
        self._limit = float(np.quantile(self._total(energy), quantile)) or 1.0
        digest = hashlib.sha256(center.tobytes() + scale.tobytes() + self._usual.tobytes()).hexdigest()
        self._identity = ModelIdentity(name, "baseline", digest)

    def _fit(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        raise NotImplementedError

    def _residual(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        raise NotImplementedError

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def channels(self) -> tuple[str, ...]:
        return self._fitted.names

    @property
    def window_rows(self) -> int:
        return int(self._rows)

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        """See `models.scoring.Scorer.score`. Attention is even: these scorers have none."""
        check_windows(values, mask, self._rows, len(self.channels))
        z, mask = self._standardized(values, mask)
        residual = self._residual(z, mask)
        energy = self._energy(z, mask)
        weight = energy / self._usual * self._fitted.watched + 1e-6 * self._fitted.watched
        share = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
        some = mask.any(1)
        n = np.maximum(mask.sum(1), 1)
        seen = np.where(mask, values, 0).sum(1) / n
        off = (residual * mask).sum(1) / n
        even = np.broadcast_to(self._fitted.watched / self._fitted.watched.sum(), share.shape).astype(
            np.float32
        )
        shown = some & self._fitted.watched
        return Score(
            anomaly=(self._total(energy) / self._limit).astype(np.float32),
            share=share, attention=even, residual=share.copy(),
            observed=np.where(shown, seen, np.nan).astype(np.float32),
            expected=np.where(shown, seen - off * self._fitted.scale, np.nan).astype(np.float32),
            direction=np.where(shown & (np.abs(off) > 1), np.sign(off), 0).astype(np.int8),
            imputed=np.logical_not(some), spread=np.full(share.shape, np.nan, np.float32),
        )  # fmt: skip

    def _standardized(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        z = (np.where(mask, values, self._fitted.center) - self._fitted.center) / self._fitted.scale
        return np.clip(z, -10, 10).astype(np.float32), mask

    def _energy(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        r = self._residual(z, mask)
        energy: NDArray[np.float32] = ((r * r * mask).sum(1) / np.maximum(mask.sum(1), 1)).astype(np.float32)
        return energy

    def _total(self, energy: NDArray[np.float32]) -> NDArray[np.float32]:
        total: NDArray[np.float32] = np.sqrt(energy / self._usual)[:, self._fitted.watched].mean(1)
        return total


class RobustZ(_Plain):
    """Distance from the fleet's median in robust spreads."""

    def _fit(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        pass

    def _residual(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:  # noqa: ARG002 -- one signature for all
        return z


class WindowedPCA(_Plain):
    """Distance from the windows' principal subspace: the strongest plain peer on public data."""

    variance = 0.9

    def _fit(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:  # noqa: ARG002 -- one signature for all
        x = z.reshape(len(z), -1).astype(np.float64)
        self._mean = x.mean(0)
        values, vectors = np.linalg.eigh(np.cov((x - self._mean).T))
        carried = np.cumsum(values[::-1]) / max(values.sum(), 1e-12)
        kept = int(np.searchsorted(carried, self.variance)) + 1
        self._basis = vectors[:, ::-1][:, :kept]

    def _residual(self, z: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:  # noqa: ARG002 -- one signature for all
        x = z.reshape(len(z), self._mean.size) - self._mean
        # One window at a time: the bits of a product of matrices depend on how many rows it has.
        kept = np.stack([self._basis @ (row @ self._basis) for row in x]) if len(x) else x
        residual: NDArray[np.float32] = (x - kept).reshape(z.shape).astype(np.float32)
        return residual
