"""A bare series of rows and channels: no device profile, no roles, nobody who tells its settings.

One fixed configuration serves whatever series comes; only what the training rows themselves say may differ (scale,
subspaces, usual residuals, threshold). Every score is causal: that of row t has seen rows up to t.

`subspaces` says how far a window lies outside of what is usual, `practice` puts faults into held-back rows, `evidence`
learns from them to point at channels, `level` makes scores and alarms of both, `model` composes them.
"""

from models.generic.fitting import SHORTEST, Fitted, GenericConfig, TooShortError, fit_generic
from models.generic.level import AlarmLevels, hysteresis
from models.generic.model import MIN_ROWS, Ablation, GenericModel, RowScores, running_share

__all__ = [
    "MIN_ROWS",
    "SHORTEST",
    "Ablation",
    "AlarmLevels",
    "Fitted",
    "GenericConfig",
    "GenericModel",
    "RowScores",
    "TooShortError",
    "fit_generic",
    "hysteresis",
    "running_share",
]
