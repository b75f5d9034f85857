"""A bare series of rows and channels: no device profile, no roles, nobody who tells its settings.

One fixed configuration serves whatever series comes; only what the training rows themselves say may differ (scale,
subspaces, usual residuals, threshold). Every score is causal: that of row t has seen rows up to t.

`subspaces` says how far a window lies outside of what is usual, `practice` puts faults into held-back rows, `evidence`
learns from them to point at channels, `level` makes scores and alarms of both, `model` composes them.
"""

from models.series.fitting import SHORTEST, Fitted, SeriesConfig, TooShortError, fit_model
from models.series.level import AlarmLevels, hysteresis
from models.series.model import MIN_ROWS, Ablation, RowScores, SeriesModel, running_share

__all__ = [
    "MIN_ROWS",
    "SHORTEST",
    "Ablation",
    "AlarmLevels",
    "Fitted",
    "RowScores",
    "SeriesConfig",
    "SeriesModel",
    "TooShortError",
    "fit_model",
    "hysteresis",
    "running_share",
]
