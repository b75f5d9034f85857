"""The two yardsticks: distance from the training mean, and chance."""

import numpy as np

from models.peers.common import Residuals, Standard


def abs_z(rows: Standard) -> Residuals:
    """Squared standard scores."""
    return Residuals(*((z * z).astype(np.float64) for z in rows))


def chance(rows: Standard, seed: int) -> Residuals:
    """Random numbers."""
    rng = np.random.default_rng(seed)
    return Residuals(*(rng.random(z.shape) for z in rows))
