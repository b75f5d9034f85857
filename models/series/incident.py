"""From residuals and attention to the anomaly of a row, and to the rows that alarm: an incident lasts.

Now and then a row of an incident looks usual, and by its residual alone it ranks below the noise of a quiet day. So a
row is raised by what attention held to be a fault in the rows before it: their residuals, weighted by the evidence of
each channel and added up. Attention decides what is remembered: a jolt that it takes for no fault raises nothing.
Letters: n rows, D devices, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import latched
from models.series.evidence import Shares
from models.series.history import peak_hold
from models.series.level import MEMORY

RAISED, BUSY, RAISED_MOST = 0.7, 0.9, 0.35
"""A row is raised by up to this part of what a busy fault-free row reaches (this quantile of them), and by no more than
the last part of the limit. Where the limit lies far above usual days, a fixed step would lift quiet rows too high."""
LASTS = MEMORY
"""Rows in which it fades by 1/e."""
STEEP = 4
"""Power of the squash x^p / (1 + x^p): what lies within the limit of fault-free rows is hardly remembered, and how far
something lies beyond it does not count: one wild row is no longer an incident than another."""
_MOST = 1e3

Array = NDArray[np.floating]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AlarmLevels:
    """When rows alarm; one setting for every series."""

    quantile: float = 0.99
    """An episode opens above this quantile of what held-back training rows come to with what is remembered ..."""
    hold: float = 0.68
    """... and goes on while the residual stays above this part of its own `quantile`."""


class Judged(NamedTuple):
    """n rows."""

    anomaly: Scores
    """(n,) 1.0 is where an episode opens."""
    alarming: NDArray[np.bool_]
    """(n,) an episode is open."""


class HeldBack(NamedTuple):
    """Fault-free rows of one stretch, seen by a model that does not know them."""

    reached: Scores
    """(n,) residual score."""
    weight: Array
    """(n,) part of it that attention points at."""


class Limits(NamedTuple):
    """How far fault-free rows reach."""

    reached: float
    """The residual score."""
    pointed: float
    """The part of it that attention points at."""
    raised: float
    """By how much an incident of late raises a row, in units of the residual's limit."""
    lasting: float
    """The residual score in units of its limit, raised by what is remembered."""

    @classmethod
    def fit(cls, stretches: Sequence[HeldBack], alarm: AlarmLevels) -> "Limits":
        """On rows of the training data, each seen by a model of the others."""
        reached = np.concatenate([s.reached for s in stretches])
        limit = _quantile(reached, alarm.quantile)
        pointed = _quantile(np.concatenate([s.weight * s.reached for s in stretches]), alarm.quantile)
        raised = min(RAISED * _quantile(reached, BUSY) / limit, RAISED_MOST)
        lasting = [s.reached / limit + raised * remembered(s.weight * s.reached / pointed) for s in stretches]
        return cls(limit, pointed, raised, _quantile(np.concatenate(lasting), alarm.quantile))

    def of_the_residual_alone(self) -> "Limits":
        """Of a model that remembers no incident."""
        return self._replace(pointed=np.inf, raised=0.0, lasting=1.0)

    def anomaly(self, reached: Scores, incident: Array) -> Scores:
        """(…,) residual scores, and 0 to 1 how much of an incident the rows before remember → (…,) 1.0 where an episode
        opens."""
        anomaly: Scores = (reached / self.reached + self.raised * incident) / self.lasting
        return anomaly

    def judged(self, reached: Scores, incident: Array, alarm: AlarmLevels) -> Judged:
        """(n,) rows of one series → scores and alarms."""
        anomaly = self.anomaly(reached, incident)
        return Judged(anomaly, latched(anomaly >= 1.0, reached >= alarm.hold * self.reached))


NONE = Limits(1.0, np.inf, 0.0, 1.0)
"""Of a model whose limits are still to be fitted: it remembers nothing."""


def pointed(parts: Shares, watched: Array) -> Array:
    """(n, D, C) parts of the share → (n, D) part of the residual that attention points at: its evidence as weights of
    the channels' residuals, added up."""
    weight: Array = (parts.evidence * parts.residual * watched).sum(-1)
    return weight


def incidents(pointed: Array, before: Array) -> tuple[Array, Array]:
    """(n, D) what attention points at, in units of its limit, and the (D,) memory of the rows before → (n, D) 0 to 1
    how much of an incident each row remembers of the rows before it, and the memory after them."""
    powers = np.minimum(pointed, _MOST) ** STEEP
    held = peak_hold(powers / (1 + powers), LASTS, before)
    return np.concatenate([before[None], held[:-1]]), held[-1]


def remembered(pointed: Array) -> Array:
    """(n,) rows of one series from its beginning → (n,) what each remembers."""
    incident, _ = incidents(pointed[:, None], np.zeros(1))
    return incident[:, 0]


def _quantile(x: Array, part: float) -> float:
    return max(float(np.quantile(x, part)), 1e-6)
