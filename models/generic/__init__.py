"""A bare series of rows and channels: no device profile, no roles, nobody who tells its settings.

One fixed configuration serves whatever series comes; only what the training rows themselves say may differ (scale,
subspaces, usual residuals, threshold). Every score is causal: that of row t has seen rows up to t.

`subspaces` says how far a window lies outside of what is usual, `practice` puts faults into held-back rows, `evidence`
learns from them to point at channels, `model` composes them.
"""

from models.generic.model import (
    MIN_ROWS,
    SHORTEST,
    GenericConfig,
    GenericModel,
    RowScores,
    TooShortError,
    fit_generic,
    hysteresis,
)

__all__ = [
    "MIN_ROWS",
    "SHORTEST",
    "GenericConfig",
    "GenericModel",
    "RowScores",
    "TooShortError",
    "fit_generic",
    "hysteresis",
]
