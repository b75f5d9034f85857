"""What every scorer answers: how anomalous a window is, and which channels carry it.

Knows no Kafka, no alert and no device id. Scores leave this package as numpy.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of B windows over C channels."""

    anomaly: NDArray[np.float32]
    """(B,) 1.0 is the calibrated threshold; above is anomalous."""
    share: NDArray[np.float32]
    """(B, C) the channel's share in the anomaly; each row sums to 1."""
    attention: NDArray[np.float32]
    """(B, C) the part of `share` that the attention gives; each row sums to 1."""
    residual: NDArray[np.float32]
    """(B, C) the part that the reconstruction error gives; each row sums to 1."""
    observed: NDArray[np.float32]
    """(B, C) recency-weighted mean of the readings, in the channel's unit; NaN without a reading."""
    expected: NDArray[np.float32]
    """(B, C) the same mean of what the model expected at those readings; NaN without a reading."""
    direction: NDArray[np.int8]
    """(B, C) -1 lower, 0 as expected, +1 higher than expected."""
    imputed: NDArray[np.bool_]
    """(B, C) True where the window held no reading of the channel."""
    spread: NDArray[np.float32]
    """(B, C) standard deviation of `expected` over healthy devices, in the channel's unit; NaN where the model
    knows none, as for counters, settings and states."""

    def __len__(self) -> int:
        return len(self.anomaly)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model spoke: goes into every alert and into `attendant_model_info`."""

    name: str
    """Device type the model was trained for."""
    version: str
    digest: str
    """SHA-256 of the weights, hex."""


class Scorer(Protocol):
    """Scores windows. Laws that every scorer passes: `tests/checks/scorer_laws.py`."""

    @property
    def identity(self) -> ModelIdentity: ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in the order of the last axis."""
        ...

    @property
    def window_rows(self) -> int: ...

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        """Score (B, T, C) windows; `values` is NaN where `mask` is False. Inputs are not changed.

        Raises:
            ValueError: shapes that don't fit the model.
        """
        ...


@runtime_checkable
class AdaptableScorer(Scorer, Protocol):
    """A scorer that can be told how one device differs from its type."""

    def score_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Score:
        """As `score`, expecting `bias` (B, C) spreads more than of any device; `expected` says so, too.

        Raises:
            ValueError: shapes that don't fit the model.
        """
        ...
