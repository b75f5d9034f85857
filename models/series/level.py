"""From energies to one number a row: how much of it is residual.

Two things lower a residual, each within bounds: what this series was off by from its beginning, and slow drift.
Letters: n rows, D devices, B nested subspaces, C channels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.series.evidence import Usual
from models.series.history import slow_mean
from models.series.memory import Drift
from models.series.subspaces import KEPT, WINDOW

BANDS = slice(2, None)
"""Subspaces whose residual makes the score: those that hold 80 % of the variance and more ..."""
WHOLE, WHOLE_COUNTS = 0, 0.7
"""... and the one that takes nothing away, which counts less: how unusual the readings are by themselves, however well
they go together."""
CALIBRATED = np.where(np.arange(len(KEPT)) == WHOLE, 1.0, 0.8)[:, None]
"""Energies are divided by their channel's scale to this power: 1 is fully calibrated, 0 would be raw."""
NORM = 4
"""Power mean over the bands."""
OWN_ROWS, PRIOR_ROWS, OWN = 2 * WINDOW, WINDOW, 4.0
"""A series' own level is learnt from so many first rows, beside so many as usual, and is no more usual residuals."""
MEMORY, DELAY = 460.0, 40.0
"""Rows of the slow background of every residual, and by how many it trails behind the row ..."""
SPIKE, RELIEF = 2.0, 2.0
"""... what one row adds to it at most, and how far it may lower a residual at most, both in its own level."""

Rows = NDArray[np.floating]
Scores = NDArray[np.float64]


class Level(NamedTuple):
    """What fault-free rows of the series come to."""

    unit: Rows
    """(B, C) energy of a calibrated residual."""
    usual: Rows
    """(B, C) mean calibrated residual."""
    watched: Rows
    """(C,) 1.0 where the channel can be at fault, 0.0 where it only helps to tell what is usual."""
    height: Rows
    """(1 + bands,) what each of `_bands` counts as 1."""

    @classmethod
    def fit(cls, energies: Rows, usual: Usual, watched: Rows) -> "Level":
        """On cross-fitted (N, B, C) energies: those of held-back rows, not of rows that the subspaces know."""
        unit = usual.scale**CALIBRATED
        residual = np.sqrt(energies / unit)
        height = np.maximum(_bands(residual, watched).mean(0), 1e-6)
        height[0] /= WHOLE_COUNTS
        return cls(unit, np.maximum(residual.mean(0), 0.05), watched, height)

    def reached(self, energies: Rows) -> Scores:
        """(…, B, C) energies → (…,) the residual score, about 1 where all is usual."""
        bands = _bands(np.sqrt(energies / self.unit), self.watched) / self.height
        reached: Scores = (bands**NORM).mean(-1) ** (1 / NORM)
        return reached

    def relieved(self, energies: NDArray[np.float32], drift: Drift) -> tuple[NDArray[np.float32], Drift]:
        """(n, D, B, C) energies less what each series was off by from its beginning and less slow drift, within bounds;
        and what to know of them for the rows that come next.

        A series may begin off its training rows and stay there: its first `OWN_ROWS` say how far. What they say never
        changes again, so that no later incident becomes usual. Drift is what the slow background of the residuals
        shows: it learns from no more than `SPIKE` of them a row, trails `DELAY` rows behind and divides by no more than
        `RELIEF`, so it fades from the score in hours and no incident can hide in it.
        """
        new = (drift.rows == 0)[:, None, None]
        residual = np.sqrt(energies / self.unit)
        own, begun = self._own(residual, drift)
        slow = slow_mean(
            np.minimum(residual / own, SPIKE * self.usual), MEMORY, np.where(new, self.usual, drift.slow)
        )
        slower = slow_mean(slow, DELAY, np.where(new, self.usual, drift.slower))
        relief = own * np.clip(slower / self.usual, 1.0, RELIEF)
        left = Drift(drift.rows + len(energies), begun, slow[-1], slower[-1])
        return (energies / relief**2).astype(np.float32), left

    def _own(self, residual: Rows, drift: Drift) -> tuple[Rows, Rows]:
        """(n, D, B, C) these series' own levels in usual residuals, at least 1, from each row and rows before it; and
        the (D, B, C) sums that they rest on."""
        at = drift.rows + np.arange(len(residual))[:, None]  # (n, D)
        counts = (at < OWN_ROWS)[..., None, None]
        first = np.where(counts, np.minimum(residual / self.usual, OWN), 0.0)
        begun = drift.begun + first.cumsum(0, dtype=np.float64)
        n = np.minimum(at + 1, OWN_ROWS)[..., None, None]
        own: Rows = np.maximum((PRIOR_ROWS + begun) / (PRIOR_ROWS + n), 1.0)
        return own, begun[-1]


def _bands(residual: Rows, watched: Rows) -> Scores:
    """(…, B, C) → (…, 1 + bands) over the watched channels: root mean square of what nothing was taken from, mean of
    each of the residuals that make the score.

    Incidents show in many residuals a little. In the readings themselves most channels only do what they usually do,
    and those that do not must not drown in them.
    """
    counted, n = residual.astype(np.float64) * watched, max(watched.sum(), 1.0)
    whole = np.sqrt((counted[..., WHOLE, :] ** 2).sum(-1, keepdims=True) / n)
    return np.concatenate([whole, counted[..., BANDS, :].sum(-1) / n], -1)
