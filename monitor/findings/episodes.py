"""Memory of devices that are, or may be about to be, in an episode: one slot each, in columns.

A calm device has no slot, so the memory follows the number of suspects, not the size of the fleet.
Knows no thresholds; `judge.py` decides.
"""

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from monitor.findings.columns import enlarge

PARTS = 9
"""Planes of a window kept for its channels: share, attention, residual, observed, expected, direction, deviation,
liveliness, rows for which the channel has been off."""
OBSERVED, DEVIATION, OFF_ROWS = 3, 6, 8
LATER = frozenset({"strays", "stray_weight", "since", "clearest", "pictured"})
"""Columns that older snapshots don't have; an episode goes on with nothing known of them."""


@dataclass(slots=True)
class Episodes:
    """S slots; n windows remembered until an episode opens; C channels."""

    n: int
    channels: int
    row: NDArray[np.int32] = field(init=False)
    """(S,) the device's row, -1 where the slot is free."""
    ring_t: NDArray[np.int64] = field(init=False)
    """(S, n) ends of the last windows, oldest first."""
    ring_anomaly: NDArray[np.float32] = field(init=False)
    """(S, n) -inf where there was no window."""
    ring_parts: NDArray[np.float32] = field(init=False)
    """(S, n, PARTS, C)."""
    open: NDArray[np.bool_] = field(init=False)
    started: NDArray[np.int64] = field(init=False)
    sums: NDArray[np.float64] = field(init=False)
    """(S, 3, C) share, attention and residual, each window weighted by its evidence."""
    total: NDArray[np.float64] = field(init=False)
    """(S,) sum of those weights."""
    view: NDArray[np.float32] = field(init=False)
    """(S, 3, C) observed, expected, direction at the strongest window."""
    strays: NDArray[np.float64] = field(init=False)
    """(S, 2, C) deviation and liveliness, each window weighted by its evidence."""
    stray_weight: NDArray[np.float64] = field(init=False)
    """(S, 2, C) sum of the weights of the windows that told them."""
    since: NDArray[np.int64] = field(init=False)
    """(S, 1, C) when the channel began to deviate; 0 where it has not, or where that is unknown."""
    clearest: NDArray[np.float32] = field(init=False)
    """(S, 1, C) how far the channel deviated in the window that told `since`."""
    pictured: NDArray[np.float32] = field(init=False)
    """(S,) anomaly of the window that was last explained."""
    peak: NDArray[np.float32] = field(init=False)
    calm: NDArray[np.int32] = field(init=False)
    critical: NDArray[np.bool_] = field(init=False)
    top: NDArray[np.int32] = field(init=False)
    told: NDArray[np.int64] = field(init=False)
    """(S,) when the episode was last spoken of."""
    free: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        n, C = self.n, self.channels
        self.row = np.full(0, -1, np.int32)
        self.ring_t = np.zeros((0, n), np.int64)
        self.ring_anomaly = np.zeros((0, n), np.float32)
        self.ring_parts = np.zeros((0, n, PARTS, C), np.float32)
        self.open = np.zeros(0, np.bool_)
        self.started = np.zeros(0, np.int64)
        self.sums = np.zeros((0, 3, C), np.float64)
        self.total = np.zeros(0, np.float64)
        self.view = np.zeros((0, 3, C), np.float32)
        self.strays = np.zeros((0, 2, C), np.float64)
        self.stray_weight = np.zeros((0, 2, C), np.float64)
        self.since = np.zeros((0, 1, C), np.int64)
        self.clearest = np.zeros((0, 1, C), np.float32)
        self.pictured = np.zeros(0, np.float32)
        self.peak = np.zeros(0, np.float32)
        self.calm = np.zeros(0, np.int32)
        self.critical = np.zeros(0, np.bool_)
        self.top = np.zeros(0, np.int32)
        self.told = np.zeros(0, np.int64)

    @staticmethod
    def columns() -> tuple[str, ...]:
        """Names of the arrays over slots."""
        return tuple(f.name for f in fields(Episodes) if f.name not in {"n", "channels", "free"})

    def take(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Fresh slots for these device rows."""
        while len(self.free) < len(rows):
            self._grow()
        slots = np.array([self.free.pop() for _ in rows], np.intp)
        self.row[slots] = rows
        self.ring_t[slots] = 0
        self.ring_anomaly[slots] = -np.inf
        for name in ("open", "started", "sums", "total", "peak", "calm", "critical", "top", "told", *LATER):
            getattr(self, name)[slots] = 0
        self.view[slots] = np.nan
        return slots

    def give(self, slots: NDArray[np.intp]) -> None:
        """These slots are free again."""
        self.row[slots] = -1
        self.free.extend(slots.tolist())

    def _grow(self) -> None:
        old, new = len(self.row), max(8, 2 * len(self.row))
        for name in self.columns():
            setattr(self, name, enlarge(getattr(self, name), new, 0))
        self.row[old:] = -1
        self.free.extend(range(new - 1, old - 1, -1))

    def push(
        self,
        slots: NDArray[np.intp],
        t: NDArray[np.int64],
        anomaly: NDArray[np.float32],
        parts: NDArray[np.float32],
        reach_ms: int,
    ) -> None:
        """Remember one more window of each slot; forget what is older than `reach_ms`."""
        for ring, value in ((self.ring_t, t), (self.ring_anomaly, anomaly), (self.ring_parts, parts)):
            recent = ring[slots]
            recent[:, :-1] = recent[:, 1:]
            recent[:, -1] = value
            ring[slots] = recent
        old = self.ring_t[slots] < (t - reach_ms)[:, None]
        self.ring_anomaly[slots] = np.where(old, -np.inf, self.ring_anomaly[slots])

    def add(
        self,
        slots: NDArray[np.intp],
        t: NDArray[np.int64],
        anomaly: NDArray[np.float32],
        parts: NDArray[np.float32],
        hold_at: float,
        grid_ms: int,
    ) -> None:
        """Count one window of each slot in its episode, weighted by how far it exceeds `hold_at`."""
        weight = np.maximum(anomaly.astype(np.float64) - hold_at, 0.0)
        self.sums[slots] += weight[:, None, None] * np.nan_to_num(parts[:, :OBSERVED])
        self.total[slots] += weight
        stronger = anomaly > self.peak[slots]
        now, before = parts[:, OBSERVED:DEVIATION], self.view[slots]
        # A channel without a reading in the strongest window keeps what was last seen of it.
        read = ~np.isnan(now[:, :1]) & (stronger[:, None, None] | np.isnan(before[:, :1]))
        self.view[slots] = np.where(read, now, before)
        self.peak[slots] = np.maximum(self.peak[slots], anomaly)
        stray = parts[:, DEVIATION:OFF_ROWS]
        self.strays[slots] += weight[:, None, None] * np.nan_to_num(stray)
        self.stray_weight[slots] += weight[:, None, None] * np.isfinite(stray)
        rows = np.nan_to_num(parts[:, OFF_ROWS:]).astype(np.int64)
        began, known = t[:, None, None] - rows * grid_ms, self.since[slots]
        # Of the windows that open an episode the one where the channel stands out most tells its onset best: a device
        # may be a little off all its life. Later windows begin after the onset.
        size, before_size = np.abs(np.nan_to_num(stray[:, :1])), self.clearest[slots]
        settles = ~self.open[slots][:, None, None] & (size > before_size) | (known == 0)
        settles &= rows > 0
        self.since[slots] = np.where(settles, began, known)
        self.clearest[slots] = np.where(settles, size, before_size)

    def strayed(self, slot: np.intp | int) -> NDArray[np.float64]:
        """(2, C) mean deviation and liveliness of an episode, NaN where no window told them."""
        weight = self.stray_weight[slot]
        mean: NDArray[np.float64] = np.divide(
            self.strays[slot], weight, out=np.full_like(weight, np.nan), where=weight > 0
        )
        return mean

    def shares(self, slots: NDArray[np.intp], nameable: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(len(slots), 3, C) of the episodes; settings and states are no causes and get nothing."""
        kept = self.sums[slots] * nameable
        norm = kept.sum(axis=2, keepdims=True)
        shares: NDArray[np.float64] = np.divide(kept, norm, out=np.zeros_like(kept), where=norm > 0)
        return shares


def fit(
    target: NDArray[np.generic],
    slots: NDArray[np.intp],
    saved: NDArray[np.generic],
    columns: tuple[NDArray[np.intp], int],
) -> None:
    """Write saved slots into today's shape: the newest n windows, the channels matched by name."""
    if target.ndim >= 3:
        where, _ = columns
        filled = np.zeros((*saved.shape[:-1], target.shape[-1]), saved.dtype)
        filled[..., where[where >= 0]] = saved[..., where >= 0]
        saved = filled
    if target.ndim == 4 and saved.shape[2] < target.shape[2]:
        more = np.full((*saved.shape[:2], target.shape[2] - saved.shape[2], saved.shape[3]), np.nan)
        saved = np.concatenate([saved, more.astype(saved.dtype)], axis=2)
    if target.ndim in {2, 4} and saved.shape[1] != target.shape[1]:
        kept = min(saved.shape[1], target.shape[1])
        filler = -np.inf if target.dtype == np.float32 and target.ndim == 2 else 0
        window = np.full((len(saved), *target.shape[1:]), filler, target.dtype)
        window[:, target.shape[1] - kept :] = saved[:, saved.shape[1] - kept :]
        saved = window
    target[slots] = saved
