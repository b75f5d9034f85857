"""What every scorer answers: how anomalous a window is, and which channels carry it.

Knows no Kafka, no alert and no device id. Scores leave this package as numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

EXPRESS_AT = 2.0
"""Anomaly at which few windows are enough for an alarm, where the scorer's threshold was fitted for such a lane."""


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of B windows over C channels."""

    anomaly: NDArray[np.float32]
    """(B,) 1.0 is the calibrated threshold; above is anomalous, from `EXPRESS_AT` on blatantly so."""
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
    deviation: NDArray[np.float32] | None = None
    """(B, C) recency-weighted mean of how far the level is off the expected one, in its spreads, signed; NaN where it
    cannot be told. None: the scorer tells of no channel."""
    liveliness: NDArray[np.float32] | None = None
    """(B, C) likewise for how much the channel shakes: above 0 restless, below 0 stiller than expected."""
    off_rows: NDArray[np.int16] | None = None
    """(B, C) rows before the window's end since when the channel has been off without a break; 0 where it is not."""

    def __len__(self) -> int:
        return len(self.anomaly)

    def rows(self, chosen: slice) -> "Score":
        """The scores of some of the windows: views."""
        planes = [getattr(self, name) for name in Score.__slots__]
        cut: list[Any] = [None if plane is None else plane[chosen] for plane in planes]
        return Score(*cut)

    @classmethod
    def joined(cls, scores: Sequence["Score"]) -> "Score":
        """One after the other; what the first of them leaves out is left out."""
        planes = [[getattr(score, name) for score in scores] for name in cls.__slots__]
        one: list[Any] = [None if plane[0] is None else np.concatenate(plane) for plane in planes]
        return cls(*one)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model expected in B windows of T rows and C channels, and where in P time patches it looked."""

    expected: NDArray[np.float32]
    """(B, T, C) in the channel's unit; NaN where the model expects nothing, as of settings and states."""
    low: NDArray[np.float32]
    """(B, T, C) lower edge of the band in which a healthy device's readings nearly always lie."""
    high: NDArray[np.float32]
    """(B, T, C) its upper edge."""
    attention: NDArray[np.float32]
    """(B, P, C) attention, weighted by the residual, to every channel in each of the window's P equal time patches, the
    oldest first. Over P it sums to the share, over P and C to 1."""

    def __len__(self) -> int:
        return len(self.attention)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model spoke: goes into every alert and into `attendant_model_info`."""

    name: str
    """Device type the model was trained for."""
    version: str
    digest: str
    """SHA-256 of the weights, hex."""


def check_windows(values: NDArray[np.float32], mask: NDArray[np.bool_], rows: int, channels: int) -> None:
    """Do these windows fit a model of so many rows and channels?

    Raises:
        ValueError: they don't.
    """
    if values.ndim != 3 or values.shape[1:] != (rows, channels):
        raise ValueError(f"windows of shape {values.shape[1:]}, the model takes ({rows}, {channels})")
    if mask.shape != values.shape:
        raise ValueError(f"mask of shape {mask.shape} beside values of shape {values.shape}")


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
class Explainer(Protocol):
    """A scorer that can also show what it expected and where it looked; too slow for every window of a fleet."""

    def explain(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Explanation:
        """Explain (B, T, C) windows; `values` is NaN where `mask` is False. Inputs are not changed.

        Raises:
            ValueError: shapes that don't fit the model.
        """
        ...


@runtime_checkable
class RememberingExplainer(Protocol):
    """A scorer that remembers and can show what it expected with what it remembered."""

    def explain_remembering(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], memory: NDArray[np.float32],
        new_rows: NDArray[np.int64], of: NDArray[np.intp] | None = None,
    ) -> Explanation:  # fmt: skip
        """Explain the newest window of each of D devices as `RememberingScorer.score_remembering` scored it.

        Arguments and errors are those of that; every device has a window.
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


@runtime_checkable
class AdaptableExplainer(Protocol):
    """A scorer that can be told how one device differs from its type, and shows what it expects of that device."""

    def explain_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Explanation:
        """Explain as `AdaptableScorer.score_adapted` scores; arguments and errors are those of that."""
        ...


@runtime_checkable
class RememberingScorer(Scorer, Protocol):
    """A scorer that judges each window of a device by what the windows before it were like."""

    @property
    def memory_width(self) -> int:
        """Numbers that it remembers of a device: M."""
        ...

    @property
    def lasting(self) -> NDArray[np.bool_]:
        """(M,) which of them say what is usual of the device. The others say how it has been going of late: a break in
        that, as when it was serviced, makes them zeros."""
        ...

    def score_remembering(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_],
        memory: NDArray[np.float32], new_rows: NDArray[np.int64], of: NDArray[np.intp] | None = None,
    ) -> tuple[Score, NDArray[np.float32]]:  # fmt: skip
        """As `score`, of windows of D devices, the next ones of each.

        Args:
            values, mask: (B, T, C); rows that were new in an earlier window are not looked at again.
            memory: (D, M) what the device's window before left; zeros of a device without one, and in what does not
                last after a break.
            new_rows: (B,) how many of the newest rows are new, 0 to T.
            of: (B,) which of the devices each window is of, those of one device oldest first; None: one of each, in
                their order.

        Returns:
            The scores, the same up to rounding as if the windows of a device had come one by one, and the (D, M) memory
            for those that come next. Inputs are not changed.

        Raises:
            ValueError: shapes that don't fit the model.
        """
        ...
