"""Readings as they are: no fleet to learn from, nobody who tells what settings explain.

The model of a device type that is known from one recording on, and of every bare series that `attendant evaluate`
scores: the same class there, in the service and in the benchmark. One fixed configuration serves whatever comes; only
what the training rows themselves say may differ (scale, subspaces, usual residuals, threshold). Every score is causal:
that of row t has seen rows up to t.

- Rows → scores: `subspaces` says how far a window lies outside of what is usual, `evidence` points at channels,
  `level` says how much residual a row has, `incident` makes anomaly and alarms of both, `model` composes them. They
  look back by the filters of `history` and by what `memory` keeps of a device: a series comes out the same whole and
  in pieces.
- Learning: `fitting` fits them; `practice` puts faults into held-back rows, from which `evidence` learns.
- Service: `scorer` puts a model behind the Protocol of `models.scoring`; `windows` finds the rows that are new to it
  (counters by their `slopes`), `explaining` shows what it expected. `learning` calibrates it, `artifacts` saves and
  loads it.
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
