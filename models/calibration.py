"""Scores of fault-free devices → the threshold for a stated budget of false alarms.

The threshold is fitted on the statistic the alarm logic really uses: k of the last n windows above it. Beside this
patient way to an alarm there may be an express lane: fewer windows, further above, for a part of the same budget. The
far tail, rarer than anything the held-back devices showed, is a generalized Pareto distribution over the peaks (Coles,
"An Introduction to Statistical Modeling of Extreme Values", 2001, chapter 4). Knows no channel and no network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

from models.scoring import EXPRESS_AT

_FEW = 5
"""Peaks that say nothing of a tail."""
_ABOVE = 1e-3
"""A limit lies at least so far above what is usual, or reached by far too many peaks."""
_LEAST_APART = 1.01
"""The express limit lies at least this much further from what is usual than the limit."""


@dataclass(frozen=True, slots=True)
class ExpressRule:
    """An alarm is also k of the last n windows at or above `EXPRESS_AT`: what is blatant need not last."""

    k: int = 2
    n: int = 3
    portion: float = 1 / 3
    """Of the budget of false alarms; the rest is for the patient lane."""

    def __post_init__(self) -> None:
        if not 0 < self.portion < 1:
            raise ValueError(f"an express lane with {self.portion} of the budget; it must be between 0 and 1")
        if not 1 <= self.k <= self.n:
            raise ValueError(f"an express lane of {self.k} of {self.n} windows is no rule")

    def quickens(self, k: int, n: int) -> bool:
        """Whether it can be quicker than k of n windows."""
        return self.n <= n and self.k < k


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """An alarm is k of the last n windows at or above the threshold; it lasts while windows stay above `hold`."""

    k: int = 3
    n: int = 5
    hold: float = 0.8
    """Of the threshold: what opened an alarm only once may stay below it for a while."""
    express: ExpressRule | None = None
    """The second way to an alarm, where there is one."""

    def __post_init__(self) -> None:
        if not 0 < self.hold < 1:
            raise ValueError(f"a hold level of {self.hold} is not between 0 and the threshold, 1")
        if not 1 <= self.k <= self.n:
            raise ValueError(f"{self.k} of {self.n} windows is no rule")
        quick = self.express
        if quick and not quick.quickens(self.k, self.n):
            raise ValueError(
                f"an express lane of {quick.k} of {quick.n} windows is no quicker than {self.k} of {self.n}"
            )


class Measuring(Protocol):
    """A scorer before its threshold: what that is fitted on."""

    @property
    def window_rows(self) -> int: ...

    def statistics(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(B, S) of (B, T, C) windows, those of one device in time order."""
        ...


@dataclass(frozen=True, slots=True)
class Threshold:
    """Turns the S statistics of a window into one anomaly where 1.0 is the alarm threshold."""

    usual: tuple[float, ...]
    """What each statistic is on half of all fault-free windows."""
    limit: tuple[float, ...]
    """Where each statistic alone reaches anomaly 1.0."""
    rate_asked: float
    """False alarms a device-day the limit was set for."""
    rate_seen: float
    """False alarms a device-day on the calibration devices themselves."""
    device_days: float
    """How much fault-free time the limit rests on."""
    express: tuple[float, ...] = ()
    """Where each statistic alone reaches `EXPRESS_AT`; empty without an express lane."""

    @classmethod
    def unfitted(cls, statistics: int) -> "Threshold":
        """Of a scorer of so many statistics whose threshold is still to be fitted; its anomalies mean nothing."""
        return cls((0.0,) * statistics, (1.0,) * statistics, 0.0, 0.0, 0.0)

    def anomaly(self, statistics: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, S) → (B,), the largest of the branches; beyond 1.0 it grows with the logarithm of the excess.

        With an express lane the logarithm of a branch is stretched between the two limits, so that every branch is 1.0
        at the one and `EXPRESS_AT` at the other.
        """
        usual, limit = np.array(self.usual, np.float32), np.array(self.limit, np.float32)
        ratio = np.maximum((statistics - usual) / (limit - usual), 0.0)
        excess = np.log(np.maximum(ratio, 1.0))
        stretch, reach = np.ones(len(limit), np.float32), np.full(len(limit), np.inf, np.float32)
        if self.express:
            wide = (np.array(self.express, np.float32) - usual) / (limit - usual)
            stretch = reach = np.log(np.maximum(wide, _LEAST_APART))
        above = np.where(
            excess > reach, EXPRESS_AT + (excess - reach), 1 + (EXPRESS_AT - 1) * excess / stretch
        )
        anomaly: NDArray[np.float32] = np.where(ratio > 1, above, ratio).max(1).astype(np.float32)
        return anomaly


def running_kth(x: NDArray[np.float32], rule: AlarmRule | ExpressRule) -> NDArray[np.float32]:
    """(N,) → (N,) the k-th largest of the last n: the rule fires at threshold h exactly where this is ≥ h."""
    padded = np.concatenate([np.full(rule.n - 1, -np.inf, x.dtype), x])
    windows = np.lib.stride_tricks.sliding_window_view(padded, rule.n)
    kth: NDArray[np.float32] = np.partition(windows, rule.n - rule.k, axis=1)[:, rule.n - rule.k]
    return kth


def peaks(x: NDArray[np.float32], apart: int) -> NDArray[np.float32]:
    """Greatest value of every block of `apart` samples: what separate episodes reach."""
    if len(x) == 0:
        return x
    return np.maximum.reduceat(x, np.arange(0, len(x), apart))


def tail_level(tops: NDArray[np.float64], chance: float) -> float:
    """The level that a block's peak exceeds with `chance`; from a Pareto tail over the highest of `tops`.

    The tail begins where only a hundredth of the peaks lie above (fifty at least): lower down they are another
    population, quiet hours and not the rarest events, and its tail would put every limit out of reach. The shape is
    kept within [0, 0.15]: below 0 the tail would end at the largest value seen, which a short calibration cannot know;
    the statistics are logarithms already, so a heavy tail of them is one odd device.
    """
    if len(tops) < 20:
        return float(tops.max()) + float(np.std(tops)) if len(tops) else 0.0
    start = float(np.quantile(tops, 1 - min(0.1, max(0.01, 50 / len(tops)))))
    excess = tops[tops > start] - start
    share = len(excess) / len(tops)
    if chance >= share or len(excess) < _FEW:
        level = float(np.quantile(tops, max(0.0, 1 - chance)))
        # A statistic that saturates reaches its highest value again and again: that is no level, but what lies above.
        tied = np.count_nonzero(tops == level) > max(_FEW, chance * len(tops))
        return level + _ABOVE if tied else level
    shape, _, scale = genpareto.fit(excess, floc=0.0)
    shape = float(np.clip(shape, 0.0, 0.15))
    scale = max(float(scale if 0 < shape < 0.15 else excess.mean() * (1 - shape)), 1e-9)
    return start + float(genpareto.isf(chance / share, shape, scale=scale))


def fit_threshold(
    statistics: Sequence[NDArray[np.float32]],
    windows_a_day: float,
    budget: float,
    rule: AlarmRule,
    apart: int = 30,
) -> Threshold:
    """Threshold for `budget` false alarms a device-day.

    Args:
        statistics: per held-back fault-free device its (N, S) statistics, in time order, one window a stride.
        windows_a_day: windows a device makes a day.
        budget: false alarms a device-day that the user will bear.
        rule: the alarm logic.
        apart: windows after which an exceedance counts as another alarm.

    Raises:
        ValueError: without a single window to calibrate on.
    """
    filled = [s for s in statistics if len(s)]
    if not filled:
        raise ValueError("no fault-free windows to calibrate on")
    usual = np.median(np.concatenate(filled), 0)
    express = rule.express
    patient = budget if express is None else budget * (1 - express.portion)
    limit = _limits(filled, rule, patient * apart / windows_a_day, apart)
    limit = np.maximum(limit, usual + _ABOVE)
    quick = np.zeros(0)
    if express is not None:
        quick = _limits(filled, express, budget * express.portion * apart / windows_a_day, apart)
        quick = np.maximum(quick, usual + _LEAST_APART * (limit - usual))
    days = sum(len(x) for x in filled) / windows_a_day
    fitted = Threshold(
        usual=tuple(map(float, usual)), limit=tuple(map(float, limit)), rate_asked=budget, rate_seen=0.0,
        device_days=days, express=tuple(map(float, quick)),
    )  # fmt: skip
    alarms = sum(count_alarms(fitted.anomaly(x), rule, apart) for x in filled)
    return replace(fitted, rate_seen=alarms / days)


def _limits(
    devices: Sequence[NDArray[np.float32]], rule: AlarmRule | ExpressRule, chance: float, apart: int
) -> NDArray[np.float64]:
    """(S,) the level of each statistic that k of n windows reach within `apart` windows with its part of `chance`."""
    limits = []
    for s, part in enumerate(_portions(devices[0].shape[1])):
        tops = np.concatenate([peaks(running_kth(x[:, s], rule)[rule.n - 1 :], apart) for x in devices])
        limits.append(tail_level(tops.astype(np.float64), min(1.0, part * chance)))
    return np.array(limits)


def _portions(statistics: int) -> list[float]:
    """How the budget is shared out: the last statistic, the taught one, gets most of it."""
    if statistics == 1:
        return [1.0]
    return [0.3 / (statistics - 1)] * (statistics - 1) + [0.7]


def open_rows(anomaly: NDArray[np.float32], rule: AlarmRule) -> NDArray[np.bool_]:
    """(N,) a run of windows → True while an alarm is open: from where a lane fires until the windows that fired it are
    below the hold level."""
    return latched(fires(anomaly, rule), running_kth(anomaly, rule) >= rule.hold)


def latched(opened: NDArray[np.bool_], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) True from a row that is `opened` until one that is not `held`."""
    n = np.arange(len(opened))
    newest_open = np.maximum.accumulate(np.where(opened, n, -1))
    newest_low = np.maximum.accumulate(np.where(held | opened, -1, n))
    open_now: NDArray[np.bool_] = newest_open > newest_low
    return open_now


def fires(anomaly: NDArray[np.float32], rule: AlarmRule) -> NDArray[np.bool_]:
    """(N,) a run of windows → True where either lane fires."""
    fired = running_kth(anomaly, rule) >= 1.0
    if rule.express is not None:
        fired |= running_kth(anomaly, rule.express) >= EXPRESS_AT
    return fired


def count_alarms(anomaly: NDArray[np.float32], rule: AlarmRule, apart: int = 30) -> int:
    """Separate alarms in a (N,) run of windows: firings less than `apart` windows from the last one are the same."""
    fired = np.flatnonzero(fires(anomaly, rule))
    return 1 + int((np.diff(fired) > apart).sum()) if len(fired) else 0
