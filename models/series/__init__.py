"""Readings as they are: no fleet to learn from, nobody who tells what settings explain.

The model of a device type that is known from one recording on, and of every bare series that `attendant evaluate`
scores: the same class there, in the service and in the benchmark. One fixed configuration serves whatever comes; only
what the training rows themselves say may differ (scale, subspaces, usual residuals, threshold). Every score is causal:
that of row t has seen rows up to t.

`subspaces` says how far a window lies outside of what is usual, `practice` puts faults into held-back rows, `evidence`
learns from them to point at channels, `level` says how much residual a row has, `incident` makes anomaly and alarms
of both; `fitting` fits them, `model` composes them, for a
whole series at once or piece by piece with what `memory` keeps of a device. `scorer` puts that behind the Protocol of
`models.scoring` (counters by their `slopes`), `learning` calibrates it for the service, `artifacts` saves and loads it.
"""

from models.series.fitting import SHORTEST, Fitted, SeriesConfig, TooShortError, fit_model
from models.series.incident import AlarmLevels
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
    "running_share",
]
