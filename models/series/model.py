"""A fitted model of a series: rows → anomaly and share, a whole series at once or many devices piece by piece.

Letters: n rows, D devices, B nested subspaces, C channels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.series.evidence import FaultQuery, Shares, Told, Usual, features, normalized, shares
from models.series.history import peak_hold
from models.series.incident import AlarmLevels, Judged, Limits, incidents, pointed, remembered
from models.series.level import Level
from models.series.memory import HISTORY, Memory, begun
from models.series.subspaces import WINDOW, NestedSubspaces, Rows, Scale, Scaled

MIN_ROWS = WINDOW
"""A row gets a score from the first full window on; until then the series is being learnt."""
COUNTS = 1.5
"""Power of the residual score in what a row adds to the share of its episode."""


class Ablation(NamedTuple):
    """The same model without a part of it."""

    anomaly: NDArray[np.float64]
    alarming: NDArray[np.bool_]
    evidence: NDArray[np.float64]
    """(n, C) as `RowScores.evidence`."""


class RowScores(NamedTuple):
    """Scores of n rows over C channels."""

    anomaly: NDArray[np.float64]
    """(n,) 1.0 is the calibrated threshold."""
    alarming: NDArray[np.bool_]
    """(n,) an episode is open: it opens at 1.0 and holds as `AlarmLevels.hold` says."""
    evidence: NDArray[np.float64]
    """(n, C) what a row adds to the share of its episode: attention and residual combined, by how anomalous it is."""
    attention: NDArray[np.float32]
    residual: NDArray[np.float32]
    """(n, C) the parts of the evidence; rows sum to 1."""
    ablations: dict[str, Ablation]

    @property
    def share(self) -> NDArray[np.float32]:
        """(n, C) as an alert would show it at the row; see `running_share`."""
        return running_share(self.evidence)


class Advanced(NamedTuple):
    """What n new rows of D devices come to."""

    energies: Rows
    """(n, D, B, C) what lies outside of the subspaces ..."""
    relieved: Rows
    """(n, D, B, C) ... and what is left of it without the series' own level and slow drift."""
    reached: NDArray[np.float64]
    """(n, D) residual score."""
    pointed: NDArray[np.floating]
    """(n, D) part of it that attention points at ..."""
    incident: NDArray[np.floating]
    """(n, D) ... and how much of an incident a row remembers, 0 to 1."""
    parts: Shares
    """(n, D, C) each."""
    told: Told
    stray: Rows
    """(n, D, C) mean residual of the newest rows, in spreads of the channel."""
    early: NDArray[np.bool_]
    """(n, D) too few rows have come to judge by them."""
    course: Rows
    """(H + n, D, C) the rows in spreads, after those before them."""


class SeriesModel:
    """What is usual in a series, its threshold, and the query for the channel at fault."""

    def __init__(
        self, scale: Scale, subspaces: NestedSubspaces, usual: Usual, query: FaultQuery, level: Level,
        limits: Limits, evenly: Limits, alarm: AlarmLevels,
    ) -> None:  # fmt: skip
        """`evenly`: limits of the model without attention, to which all channels weigh the same."""
        self.scale, self.subspaces, self.usual = scale, subspaces, usual
        self.query, self.level = query, level
        self.limits, self.evenly, self.alarm = limits, evenly, alarm

    def unknown(self, devices: int) -> Memory:
        """Of devices of which nothing is known."""
        return Memory.unknown(devices, len(self.scale.center))

    def advance(self, values: NDArray[np.float32], memory: Memory) -> tuple[Advanced, Memory]:
        """(n, D, C) new rows, n > 0, NaN without a reading, and what the rows before them left behind → what they come
        to, each from rows up to it, and what they leave behind."""
        both, new = self.course(values, memory), memory.came == 0
        z, n = both.z[HISTORY:], len(values)
        left = self.subspaces.residuals(both)
        relieved, drift = self.level.relieved(left.energies, memory.drift)
        told, trace = features(relieved, z, self.usual, memory.trace, new)
        parts = shares(self.query.logit(told.features), relieved, self.usual)
        early = memory.came + np.arange(n)[:, None] < MIN_ROWS - 1
        reached, weight = self.level.reached(relieved), pointed(parts, self.level.watched)
        beyond = np.where(early, 0.0, weight * reached / self.limits.pointed)
        incident, left_of_it = incidents(beyond, memory.incident)
        advanced = Advanced(
            left.energies, relieved, reached, weight, incident, parts, told, left.stray, early, both.z
        )  # fmt: skip
        left_behind = memory._replace(
            came=memory.came + n, drift=drift, trace=trace, seen=both.seen[n:], incident=left_of_it
        )
        return advanced, left_behind

    def course(self, values: NDArray[np.float32], memory: Memory) -> Scaled:
        """(n, D, C) new rows, n > 0 → (H + n, D, C) after the rows before them; before the first of all it stands."""
        past, new = memory.trace.z, memory.came == 0
        rows = self.scale.apply(values, past[-1])
        before = begun(past, rows.z[0], new), begun(memory.seen, rows.seen[0], new)
        both = (np.concatenate(pair) for pair in zip(before, rows, strict=True))
        return Scaled(*(x.astype(np.float32, copy=False) for x in both))

    def score(self, values: NDArray[np.float32]) -> RowScores:
        """(n, C) rows in time order, NaN without a reading → a score for every row, from it and rows before it."""
        return self.rows(self.advance(values[:, None], self.unknown(1))[0])

    def anomaly(self, told: Advanced) -> NDArray[np.float64]:
        """(n, D) 1.0 is the limit of the training rows."""
        return np.where(told.early, 0.0, self.limits.anomaly(told.reached, told.incident))

    def rows(self, told: Advanced) -> RowScores:
        """What n rows of one device come to, from its beginning on, as scores."""
        early, weight, limits = told.early[:, 0], told.pointed[:, 0], self.limits
        reached, unadapted = (
            np.where(early, 0.0, x[:, 0]) for x in (told.reached, self.level.reached(told.energies))
        )
        _, softened, attention, residual = (x[:, 0] for x in told.parts)
        shown = softened * counted(reached / limits.reached)[:, None]
        ablations = {
            "without_attention": Ablation(
                *self._judged(reached, np.ones_like(weight), self.evenly),
                residual * (reached / limits.reached)[:, None],
            ),
            "without_memory": Ablation(*self._judged(reached, weight, limits.of_the_residual_alone()), shown),
            "without_adaptation": Ablation(
                *self._judged(unadapted, weight, limits),
                softened * counted(unadapted / limits.reached)[:, None],
            ),
        }
        judged = limits.judged(reached, told.incident[:, 0], self.alarm)
        return RowScores(*judged, shown, attention, residual, ablations)

    def _judged(self, reached: NDArray[np.float64], weight: NDArray[np.floating], limits: Limits) -> Judged:
        return limits.judged(reached, remembered(weight * reached / limits.pointed), self.alarm)


def counted(reached: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much rows count in the share of their episode, by their residual score in units of its limit."""
    counted: NDArray[np.float64] = reached**COUNTS + 1e-9
    return counted


def running_share(evidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, C) evidence → (n, C) share: each channel's strongest evidence of late, fading with the length of a window.

    An incident shows its channels one after another, and some of them only when it begins; rows sum to 1.
    """
    return normalized(peak_hold(evidence, WINDOW))
