"""One plain method for each mode of a device: nobody would judge standby by what is usual in treatment."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.baselines.methods import Fit, Fitted, Told, Weighed
from models.baselines.reading import Inputs

LEAST = 300
"""Windows that a mode must have on either side of the fit, or those of all modes serve it as well."""


@dataclass(frozen=True)
class ByMode:
    """Judges a window by the mode that it ends in, one in which it changed by others of those."""

    pooled: Fitted
    """Fitted on all modes; for those that were rare, and where no state is told."""
    modes: Mapping[float, Fitted]

    def tell(self, x: Inputs) -> Told:
        parts = [(rows, fitted.tell(x.rows(rows))) for fitted, rows in self._sorted_out(x)]
        order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
        planes = zip(*(told for _, told in parts), strict=True)
        return Told(*(np.concatenate(plane)[order] for plane in planes))

    def _sorted_out(self, x: Inputs) -> Iterator[tuple[Fitted, NDArray[np.intp]]]:
        known = np.isin(x.mode, list(self.modes))
        yield self.pooled, np.flatnonzero(~known)
        for mode, fitted in self.modes.items():
            yield fitted, np.flatnonzero(x.mode == mode)


def weighed(fit: Fit, ground: Inputs, others: Inputs, seed: int) -> Weighed:
    """Fit on the windows of some devices, and weigh by those of others."""
    return Weighed.of(fit(ground, seed), others)


def by_mode(fit: Fit, ground: Inputs, others: Inputs, seed: int) -> ByMode:
    """The same for all modes together, and for each that is not rare."""
    values = np.unique(ground.mode[np.isfinite(ground.mode)])
    split = {float(mode): (_of(ground, mode), _of(others, mode)) for mode in values}
    return ByMode(
        weighed(fit, ground, others, seed),
        {
            mode: weighed(fit, *both, seed)
            for mode, both in split.items()
            if min(len(part.mode) for part in both) >= LEAST
        },
    )


def _of(x: Inputs, mode: float) -> Inputs:
    return x.rows(np.flatnonzero(x.mode == mode))


Build = Callable[[Fit, Inputs, Inputs, int], Fitted]
"""`weighed` or `by_mode`."""
