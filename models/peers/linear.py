"""Windowed PCA: distance of a window from the principal subspace of the training windows. The strongest simple peer."""

from typing import NamedTuple

import numpy as np

from models.peers.common import Array, Residuals, Rows, Standard, windows

WINDOW = 20
"""Rows of a window."""
VARIANCE = 0.9
"""Part of the variance that the subspace carries."""
NEWEST = 5
"""Rows at the window's end that the best simple ranking looks at."""
_FIT_ON = 30_000
"""At most so many windows are fitted on; every second one at most, neighbours are nearly the same."""
_PASS = 4096
"""Windows a pass; bounds the memory."""


class Subspace(NamedTuple):
    """D = WINDOW · C readings a window; K components."""

    mean: Array
    """(D,)"""
    basis: Array
    """(D, K)"""


def windowed_pca(rows: Standard) -> tuple[Residuals, Residuals]:
    """Squared residuals, mean over the whole window and mean over its `NEWEST` rows."""
    subspace = _fit(rows.train)
    train, test = _residuals(subspace, rows.train), _residuals(subspace, rows.test)
    return Residuals(train[0], test[0]), Residuals(train[1], test[1])


def _fit(train: Rows) -> Subspace:
    stride = max(2, -(-len(train) // _FIT_ON))
    x = windows(train, WINDOW)[::stride].reshape(-1, WINDOW * train.shape[1]).astype(np.float64)
    mean = x.mean(0)
    return Subspace(mean, principal(np.atleast_2d(np.cov((x - mean).T))))


def principal(covariance: Array) -> Array:
    """(D, D) covariance on any scale → (D, K) components that carry `VARIANCE` of it, the largest first."""
    values, vectors = np.linalg.eigh(covariance)
    carried = np.cumsum(values[::-1]) / max(values.sum(), 1e-12)
    basis: Array = vectors[:, ::-1][:, : int(np.searchsorted(carried, VARIANCE)) + 1]
    return basis


def _residuals(subspace: Subspace, z: Rows) -> tuple[Array, Array]:
    mean, basis = subspace
    whole, newest = [], []
    for i in range(0, len(z), _PASS):
        y = windows(z, WINDOW)[i : i + _PASS].reshape(-1, mean.size) - mean
        error = ((y - (y @ basis) @ basis.T) ** 2).reshape(-1, WINDOW, z.shape[1])
        whole.append(error.mean(1))
        newest.append(error[:, -NEWEST:].mean(1))
    return np.concatenate(whole), np.concatenate(newest)


def by_root_of_usual(residuals: Residuals) -> Residuals:
    """r / √m with m the mean training residual: between raw, which follows the loud channels, and fully calibrated."""
    usual = np.sqrt(np.maximum(residuals.train.mean(0), 1e-9))
    return Residuals(*(x / usual for x in residuals))
