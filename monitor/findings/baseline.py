"""What is usual for one device and not for its type: a slow, bounded estimate of its own bias, channel by channel.

The bias is the mean of (observed - expected) over windows that are clearly normal, in spreads of the model's
expectation, because what is little in one mode of a device is a lot in another. The model is told of it and expects so
much more or less of this very device: one that always reads a little high is not judged by that. The bias stays within
`bound` spreads, moves slowly once settled, and is learned from nothing that came shortly before or after anything
suspicious, so that a fault never becomes the new normal by itself.

It is the bias in one mode, the one that a device is in most of the time, and told in windows that lie wholly in it: a
machine that pumps a little more than others while it treats does not do so while it stands still. A device without such
a mode has no bias.

Device time is cut into steps, the same for every replay. A device's bias changes only where a step begins, so that all
windows within a step can be scored together and where polls are cut changes no bit. What a step taught waits through
the next one and is thrown away if anything suspicious is seen until then.

Pure and vectorised over the devices of one type in one partition. Knows no model, no clock and no alert.
Letters: D devices, B windows, T rows, C channels.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.scoring import Score
from monitor.findings.blob import Array, Meta, SnapshotError, pack, unpack
from monitor.findings.columns import NEVER, rounds
from monitor.findings.known import COUNT, FRESH, MIXED, SUM, WAITING, Known, lifted
from monitor.findings.learning import BaselineReason, Learning, Missed
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile

WILD = 3.0
"""One window says no more than so many spreads, however far off it is."""
_HOUR_MS: Final = 3_600_000


class AdaptationSettings(BaseModel):
    """How far and how fast a device's own bias is learned. Hours are hours of normal telemetry of that device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bound: Annotated[float, Field(ge=0, le=3)] = 1.0
    """By so many spreads of the model's expectation a device may differ from its type; 0 switches adaptation off."""
    calm_below: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Only windows of an anomaly below this teach; 1.0 is the threshold."""
    hold_h: Annotated[float, Field(ge=0)] = 0.5
    """After a window that was not calm, and after an episode, nothing is learned for so long."""
    settle_h: Annotated[float, Field(gt=0)] = 24.0
    """A new device is settled after so many hours in its usual mode; before half of them it has no bias, then more and
    more of it. It is shown as learning until then, or until it has spent as many hours without learning anything."""
    time_constant_h: Annotated[float, Field(gt=0)] = 168.0
    """A settled bias follows new readings with this time constant only."""
    drift: Annotated[float, Field(gt=0, le=1)] = 0.25
    """A settled bias moves by so many spreads at most within one time constant."""
    step_s: Annotated[float, Field(ge=1)] = 600.0
    """Device time after which what was learned is applied, if nothing suspicious came since."""


class Baseline:
    """The devices of one type in one partition."""

    def __init__(self, profile: DeviceProfile, settings: AdaptationSettings | None = None) -> None:
        self.profile = profile
        self.settings = settings or AdaptationSettings()
        self.hindrance = hindrance(profile, self.settings)
        """Why no device can have a baseline of its own; None where they can."""
        stride_ms = profile.stride_rows * profile.grid_ms
        self._step_ms = max(round(self.settings.step_s * 1000), 4 * stride_ms)
        self._hold_ms = round(self.settings.hold_h * _HOUR_MS)
        self._settle = max(1, round(self.settings.settle_h * _HOUR_MS / stride_ms))
        self._memory = max(float(self._settle), self.settings.time_constant_h * _HOUR_MS / stride_ms)
        self._window_ms = profile.window_rows * profile.grid_ms
        self._adaptable = np.array(_adaptable(profile))
        self._states = [i for i, c in enumerate(profile.channels) if c.role == "state"]
        self._known = Known(len(profile.channels))

    @property
    def enabled(self) -> bool:
        """Whether anything is learned at all."""
        return self.hindrance is None

    # -- the road: steps → begin → bias, fresh → (score) → learn --------------------------------------

    def steps(self, end_t: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B,) number of the step in which each window ends; what a device has learned is constant within one."""
        return end_t // self._step_ms if self.enabled else np.zeros_like(end_t)

    def begin(self, devices: Sequence[str], end_t: NDArray[np.int64]) -> None:
        """These windows come next: what was learned in steps that are over is applied. No two steps of one device."""
        rows, steps = self._known.rows(devices), self.steps(end_t)
        # The first window of each device: which others came with it is a matter of how polls were cut.
        rows, first = np.unique(rows, return_index=True)
        steps, end_t = steps[first], end_t[first]
        new = self._known.begun_t[rows] == NEVER
        self._known.begun_t[rows[new]] = end_t[new]
        later = steps > self._known.step[rows]
        rows, steps = rows[later], steps[later]
        following = steps == self._known.step[rows] + 1
        self._commit(rows[following])
        self._known.pending[rows[following], WAITING] = self._known.pending[rows[following], FRESH]
        self._known.pending[rows[following], FRESH] = 0
        # After a silence nothing is known of how it began, so the steps before it teach nothing.
        self._known.interrupt(rows[~following])
        self._known.step[rows] = steps
        self._move_home(
            rows[(self._known.votes[rows] == 0) & (self._known.other[rows] != self._known.home[rows])]
        )

    def biases(self, batch: WindowBatch) -> NDArray[np.float32] | None:
        """(B, C) by how many spreads these windows' devices differ from their type; None where none does."""
        rows = self._known.rows(batch.devices)
        if not self._known.bias[rows].any():
            return None
        at_home = self._modes(batch) == self._known.home[rows]
        return np.where(at_home[:, None], self._known.bias[rows], 0.0).astype(np.float32)

    def _modes(self, batch: WindowBatch) -> NDArray[np.int64]:
        """(B,) a number for the states that a device was in all through a window; MIXED where they changed."""
        modes = np.zeros(len(batch), np.int64)
        steady = np.ones(len(batch), np.bool_)
        for channel in self._states:
            values, seen = batch.values[..., channel], batch.mask[..., channel]
            low = np.where(seen, values, np.inf).min(1)
            steady &= low == np.where(seen, values, -np.inf).max(1)
            modes = modes * 64 + np.where(steady, low, 0).astype(np.int64) + 1
        return np.where(steady, modes, MIXED)

    def _move_home(self, rows: NDArray[np.intp]) -> None:
        """Elsewhere is where these devices mostly are. One that was settled at home is new there."""
        settled = rows[self._known.applied(rows) >= self._settle]
        self._known.begin_anew(settled, self._known.last_t[settled])
        self._known.move_home(rows)

    def since_service(self, batch: WindowBatch) -> WindowBatch:
        """The windows without the rows from before their device was serviced."""
        since = self._known.since_t[self._known.rows(batch.devices)]
        if not (batch.end_t - self._window_ms < since).any():
            return batch
        row_start = batch.end_t[:, None] - np.arange(self.profile.window_rows, 0, -1) * self.profile.grid_ms
        mask = batch.mask & (row_start >= since[:, None])[..., None]
        values = np.where(mask, batch.values, np.float32(np.nan))
        return WindowBatch(batch.profile, batch.devices, batch.end_t, values, mask)

    def learn(
        self, batch: WindowBatch, score: Score, calm: NDArray[np.bool_], wary: NDArray[np.bool_]
    ) -> None:
        """Take the scores of one batch.

        Args:
            batch: windows, oldest first for each device.
            score: their scores, made with `biases`.
            calm: (B,) judged, and outside of every episode.
            wary: (B,) judged, and within an episode.
        """
        if not self.enabled:
            return
        rows, modes = self._known.rows(batch.devices), self._modes(batch)
        low = score.anomaly < self.settings.calm_below
        wary = wary | (calm & ~low)
        calm = calm & low
        told = self._taught(rows, score)
        for index in rounds(rows):
            self._vote(rows[index], modes[index], calm[index])
            at_home = modes[index] == self._known.home[rows[index]]
            self._learn_round(rows[index], batch.end_t[index], calm[index], at_home, wary[index], told[index])

    def _vote(self, rows: NDArray[np.intp], modes: NDArray[np.int64], calm: NDArray[np.bool_]) -> None:
        """Boyer and Moore's vote: home is the mode of most windows; a change waits for the next step."""
        told = calm & (modes != MIXED)
        rows, modes = rows[told], modes[told]
        away = modes != self._known.home[rows]
        self._known.votes[rows] = np.clip(self._known.votes[rows] + np.where(away, -1, 1), 0, self._settle)
        self._known.other[rows[away]] = modes[away]

    def _taught(self, rows: NDArray[np.intp], score: Score) -> NDArray[np.float64]:
        """(B, 2, C) what each window says: 1 and its bias in spreads; 0 where it says nothing."""
        spread = score.spread.astype(np.float64)
        off = score.observed.astype(np.float64) - score.expected
        known = self._adaptable & (spread > 0) & np.isfinite(off)
        # What is expected of this very device was moved by its bias; the type's expectation was not.
        told = np.divide(off, spread, out=np.zeros_like(off), where=known) + self._known.bias[rows].astype(
            np.float32
        )
        return np.stack((known.astype(np.float64), np.where(known, np.clip(told, -WILD, WILD), 0.0)), 1)

    def _learn_round(
        self,
        rows: NDArray[np.intp],
        t: NDArray[np.int64],
        calm: NDArray[np.bool_],
        at_home: NDArray[np.bool_],
        wary: NDArray[np.bool_],
        told: NDArray[np.float64],
    ) -> None:
        self._known.pending[rows[wary]] = 0
        self._known.hold_t[rows[wary]] = t[wary] + self._hold_ms
        newest = calm | wary
        self._known.last_t[rows[newest]] = np.maximum(self._known.last_t[rows[newest]], t[newest])
        full = t - self._window_ms >= self._known.since_t[rows]
        self._known.judged[rows[newest & full]] += 1
        teaches = calm & full & (t > self._known.hold_t[rows])
        self._known.learned[rows[teaches]] += 1
        teaches &= at_home
        self._known.at_home[rows[teaches]] += 1
        self._known.pending[rows[teaches], FRESH] += told[teaches]

    def _commit(self, rows: NDArray[np.intp]) -> None:
        """Move the biases of these devices by what the waiting step taught."""
        taught = self._known.pending[rows, WAITING]
        rows, taught = rows[taught[:, COUNT].any(1)], taught[taught[:, COUNT].any(1)]
        if not len(rows):
            return
        count, total = taught[:, COUNT], taught[:, SUM]
        known = count > 0
        told = np.divide(total, count, out=np.zeros_like(total), where=known)
        seen = self._known.seen[rows] + count
        settled = seen > self._settle
        # Until it is settled it is a mean in which the hours that are still to come count as without a bias.
        gain = count / np.where(settled, self._memory, self._settle)
        keep = np.where(settled, 1 - gain, 1.0)
        mean = self._known.mean[rows] * keep + gain * told
        square = self._known.square[rows] * keep + gain * told * told
        wanted = np.clip(_agreed(mean, square), -self.settings.bound, self.settings.bound)
        bias = self._known.bias[rows]
        slowest = gain * self.settings.drift
        wanted = np.where(settled, np.clip(wanted, bias - slowest, bias + slowest), wanted)
        self._known.bias[rows] = np.where(known, wanted, bias)
        self._known.mean[rows], self._known.square[rows] = mean, square
        self._known.seen[rows] = seen

    # -- what people and other parts of the service do ------------------------------------------------

    def renew(self, device: str, since_t: int, *, rebaseline: bool) -> None:
        """A device was serviced: rows up to `since_t` count no more; with `rebaseline` its bias is learned anew."""
        row = self._known.rows([device])
        self._known.since_t[row], self._known.hold_t[row] = since_t, NEVER
        self._known.interrupt(row)
        if rebaseline:
            self._known.begin_anew(row, np.array([since_t]), renewed=True)
            self._known.unlearn(row)

    def forget(self, devices: Sequence[str]) -> None:
        """Remember nothing of these devices."""
        self._known.forget(devices)

    def learning(self) -> Mapping[str, Learning]:
        """How far each device's baseline is; empty where nothing is learned."""
        if not self.enabled:
            return {}
        known, rows = self._known, np.arange(len(self._known))
        applied, missed = known.applied(rows), known.missed(rows)
        learned = applied + known.waiting(rows)
        until = np.where((applied < self._settle) & (learned > missed.sum(1)), self._until(learned), NEVER)
        return {
            device: Learning(
                renewed=bool(known.renewed[row]),
                learned=int(learned[row]),
                applied=int(applied[row]),
                wanted=self._settle,
                missed=Missed(*missed[row].tolist()),
                differs=bool(known.bias[row].any()),
                until_t=None if until[row] == NEVER else int(until[row]),
            )
            for row, device in enumerate(known.devices)
        }

    def _until(self, learned: NDArray[np.int64]) -> NDArray[np.int64]:
        """(D,) when each is settled if it goes on so: when the step after that of its last window is over, too."""
        begun, newest = self._known.begun_t[: len(learned)], self._known.last_t[: len(learned)]
        # Of a device that was never judged there is no newest window.
        each_ms = np.where(learned > 0, newest - begun, 0) / np.maximum(learned, 1)
        last_t = newest + np.round(np.maximum(self._settle - learned, 0) * each_ms).astype(np.int64)
        return (last_t // self._step_ms + 2) * self._step_ms

    def at_bound(self) -> int:
        """How many devices have a channel whose bias is as large as it may be."""
        limit = self.settings.bound
        return int((np.abs(self._known.bias[: len(self._known)]) >= limit).any(1).sum()) if limit else 0

    def bias(self, device: str) -> NDArray[np.float64]:
        """(C,) by how many spreads a device differs from its type; a copy."""
        row = self._known.row.get(device)
        return np.zeros(len(self.profile.channels)) if row is None else self._known.bias[row].copy()

    # -- save and restore -----------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """A copy of all that is remembered."""
        known = len(self._known)
        arrays: dict[str, Array] = {name: getattr(self._known, name)[:known] for name in Known.FILLERS}
        meta: dict[str, Meta] = {
            "type": self.profile.type,
            "channels": list(self.profile.names),
            "step_ms": self._step_ms,
        }
        return pack("baseline", meta, self._known.devices, arrays)

    @classmethod
    def restore(cls, profile: DeviceProfile, settings: AdaptationSettings | None, data: bytes) -> "Baseline":
        """Go on where `snapshot` was taken; channels are matched by name, new ones are learned from now on.

        Raises:
            SnapshotError: damaged, or of another device type.
        """
        saved = unpack("baseline", data)
        if saved.meta.get("type") != profile.type:
            raise SnapshotError(f"baselines of {saved.meta.get('type')!r}, wanted {profile.type!r}")
        names = saved.meta.get("channels")
        if not isinstance(names, list):
            raise SnapshotError("channels are missing")
        baseline = cls(profile, settings)
        baseline._known.admit(saved.ids)
        known = len(saved.ids)
        kept = [(old, profile.index[name]) for old, name in enumerate(names) if name in profile.index]
        before, after = (np.array(side, np.intp) for side in (zip(*kept, strict=True) if kept else ((), ())))
        try:
            arrays = lifted(saved.arrays)
            for name in Known.FILLERS:
                column, array = getattr(baseline._known, name), arrays[name]
                if column.ndim == 1:
                    column[:known] = array
                else:
                    column[:known][..., after] = array[..., before]
        except (KeyError, IndexError, ValueError) as error:
            raise SnapshotError(f"baselines of {profile.type!r} do not fit: {error}") from None
        # The bound and the channels may be others than when it was learned.
        bias = np.clip(baseline._known.bias, -baseline.settings.bound, baseline.settings.bound)
        baseline._known.bias = np.where(baseline._adaptable, bias, 0.0)
        if saved.meta.get("step_ms") != baseline._step_ms:
            # Numbers of another grid of steps mean nothing here; what was not applied yet is learned again.
            baseline._known.step[:known] = NEVER
            baseline._known.interrupt(np.arange(known))
        return baseline


def hindrance(profile: DeviceProfile, settings: AdaptationSettings) -> BaselineReason | None:
    """Why no device of a type can have a baseline of its own; None where they can."""
    if settings.bound == 0:
        return BaselineReason.SWITCHED_OFF
    return None if any(_adaptable(profile)) else BaselineReason.NO_LEVEL


def _adaptable(profile: DeviceProfile) -> list[bool]:
    """A rhythm has no level, and a counter is read by its slope, which a constant does not change."""
    return [channel.role == "measured" and not channel.cyclic for channel in profile.channels]


def _agreed(mean: NDArray[np.float64], square: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean as far as the steps agree on it: all of it where they say the same, 0 where they scatter by as much.

    The shrinkage of James and Stein (1961). A device that reads high with one patient and low with the next has no bias
    of its own.
    """
    variance = np.maximum(square - mean * mean, 0.0)
    kept = np.divide(mean * mean - variance, mean, out=np.zeros_like(mean), where=mean != 0)
    return np.where(mean * mean > variance, kept, 0.0)
