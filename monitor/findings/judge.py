"""k of n with hysteresis over the scores of one (partition, device type): vectorised, pure, restorable.

Only transitions become objects. Every window judged gets a named reason, counted in `Judge.reasons`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.scoring import ModelIdentity, Score
from monitor.findings.blob import Array, Meta, Snapshot, SnapshotError, pack, unpack
from monitor.findings.columns import NEVER, rounds
from monitor.findings.episodes import LATER, PARTS, Episodes, fit
from monitor.findings.finding import Action, Finding, JudgeSettings, Reason
from monitor.findings.sights import Sight, worth_a_picture
from monitor.findings.telling import Teller
from monitor.findings.watched import Watched
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile


class Standing(NamedTuple):
    """How one device stands."""

    device: str
    end_t: int
    """End of its newest judged window."""
    anomaly: float
    learning: bool
    alarming: bool
    """An episode is open."""


class Verdict(NamedTuple):
    """What was decided on the windows of one batch."""

    findings: list[Finding]
    """What changed, in the order of the windows' rounds."""
    judged: NDArray[np.bool_]
    """(B,) neither late nor unscored, and not of a device too new to be judged."""
    alarming: NDArray[np.bool_]
    """(B,) judged, and the device's episode was open before this window or is after it."""

    @property
    def calm(self) -> NDArray[np.bool_]:
        """(B,) judged, and outside of every episode."""
        return self.judged & ~self.alarming


class _Round(NamedTuple):
    """Windows of distinct devices, so that arrays can be scattered without collisions."""

    place: NDArray[np.intp]
    """Position in the batch."""
    rows: NDArray[np.intp]
    t: NDArray[np.int64]
    anomaly: NDArray[np.float32]


class Judge:
    """Decides for the devices of one type in one partition."""

    def __init__(
        self, profile: DeviceProfile, model: ModelIdentity, settings: JudgeSettings | None = None
    ) -> None:
        self.profile = profile
        self.model = model
        self.settings = settings or JudgeSettings()
        self.reasons: Counter[Reason] = Counter()
        self.sights: tuple[Sight, ...] = ()
        """Of the batch judged last, at most one an episode."""
        self._nameable = np.array([c.role in {"measured", "counter"} for c in profile.channels])
        self._teller = Teller(profile, model, self._nameable, self.settings.evidence_channels)
        self._ring = max(self.settings.n, self.settings.express_n or 0)
        # Anomalous windows further apart than this are no one run, however few windows lie between.
        self._reach_ms = 2 * self._ring * profile.stride_rows * profile.grid_ms
        self._watched = Watched()
        self._episodes = Episodes(self._ring, len(profile.channels))

    def judge(self, batch: WindowBatch, score: Score) -> list[Finding]:
        """Take the scores of one batch; answer what changed. Raises as `assess`."""
        return self.assess(batch, score).findings

    def assess(self, batch: WindowBatch, score: Score) -> Verdict:
        """Take the scores of one batch; answer what changed, and what became of each window.

        Raises:
            ValueError: batch and score differ in length or in channels.
        """
        if len(batch) != len(score) or score.share.shape != (len(batch), len(self.profile.channels)):
            raise ValueError(f"{len(batch)} windows, scores of shape {score.share.shape}")
        rows = self._watched.rows(batch.devices)
        planes = (
            score.share,
            score.attention,
            score.residual,
            score.observed,
            score.expected,
            score.direction,
            score.deviation,
            score.liveliness,
            score.off_rows,
        )
        verdict = Verdict([], np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.bool_))
        sights: dict[tuple[str, int], Sight] = {}
        for index in rounds(rows):
            fresh = self._fresh(_Round(index, rows[index], batch.end_t[index], score.anomaly[index]))
            verdict.judged[fresh.place] = True
            verdict.alarming[fresh.place] = self._in_episode(fresh.rows)
            verdict.findings.extend(self._step(fresh, planes))
            verdict.alarming[fresh.place] |= self._in_episode(fresh.rows)
            sights.update(((sight.device, sight.started_t), sight) for sight in self._sights(fresh))
        self.sights = tuple(sights.values())
        return verdict

    def forget(self, devices: Sequence[str]) -> list[Finding]:
        """Watch these devices no longer; their open episodes are resolved."""
        findings = []
        for device in devices:
            row = self._watched.row.get(device)
            if row is None:
                continue
            findings += self._end(row, Reason.FORGOTTEN, int(self._watched.last_t[row]))
            self._drop(row)
            self.reasons[Reason.FORGOTTEN] += 1
        return findings

    def serviced(self, device: str, at_t: int, until_t: int) -> list[Finding]:
        """A device was serviced at `at_t`: its open episode ends; windows that end before `until_t` are not judged."""
        row = int(self._watched.rows([device])[0])
        findings = self._end(row, Reason.SERVICED, at_t)
        self._watched.quiet_t[row] = max(int(self._watched.quiet_t[row]), until_t)
        self.reasons[Reason.SERVICED] += 1
        return findings

    def _end(self, row: int, reason: Reason, at_t: int) -> list[Finding]:
        """Whatever is suspected of this device is suspected no longer; an open episode is resolved."""
        slot = int(self._watched.slot[row])
        if slot < 0:
            return []
        ended = []
        if self._episodes.open[slot]:
            at = max(at_t, int(self._episodes.told[slot]))
            ended.append(self._finding(slot, Action.RESOLVE, reason, at))
        self._release(np.array([slot], np.intp))
        return ended

    def standing(self) -> Iterator[Standing]:
        """Every device watched."""
        opened = set(self._episodes.row[self._episodes.open & (self._episodes.row >= 0)].tolist())
        for row, device in enumerate(self._watched.devices):
            seen = int(self._watched.seen[row])
            yield Standing(
                device,
                int(self._watched.last_t[row]),
                float(self._watched.anomaly[row]),
                seen <= self.settings.learn_windows
                or int(self._watched.last_t[row]) < int(self._watched.quiet_t[row]),
                row in opened,
            )

    # -- one round ---------------------------------------------------------------------------------

    def _fresh(self, r: _Round) -> _Round:
        """Drop what time has passed by and what says nothing; the rest goes on."""
        last = self._watched.last_t[r.rows]
        scored = np.isfinite(r.anomaly)
        newer = r.t > last
        self._count(Reason.LATE, r.t < last)
        self._count(Reason.DUPLICATE, r.t == last)
        self._count(Reason.UNSCORED, newer & ~scored)
        self._watched.last_t[r.rows] = np.maximum(last, r.t)
        keep = newer & scored
        self._watched.anomaly[r.rows[keep]] = r.anomaly[keep]
        self._watched.seen[r.rows[keep]] += 1
        learning = keep & (self._watched.seen[r.rows] <= self.settings.learn_windows)
        learning |= keep & (r.t < self._watched.quiet_t[r.rows])
        self._count(Reason.LEARNING, learning)
        keep &= ~learning
        return _Round(r.place[keep], r.rows[keep], r.t[keep], r.anomaly[keep])

    def _in_episode(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        slots = self._watched.slot[rows]
        inside: NDArray[np.bool_] = slots >= 0
        inside[inside] = self._episodes.open[slots[inside]]
        return inside

    def _sights(self, r: _Round) -> Iterator[Sight]:
        slots = self._watched.slot[r.rows].astype(np.intp)
        for i in worth_a_picture(self._episodes, slots, r.anomaly, self.settings.hold_at):
            device, started = self._watched.devices[int(r.rows[i])], int(self._episodes.started[slots[i]])
            yield Sight(int(r.place[i]), device, started, int(r.t[i]), float(r.anomaly[i]))

    def _step(self, r: _Round, planes: Sequence[NDArray[np.generic] | None]) -> list[Finding]:
        new = (self._watched.slot[r.rows] < 0) & (r.anomaly >= self.settings.open_at)
        if new.any():
            self._watched.slot[r.rows[new]] = self._episodes.take(r.rows[new])
        suspect = self._watched.slot[r.rows] >= 0
        self._count(Reason.NORMAL, ~suspect)
        if not suspect.any():
            return []
        index, t, anomaly = r.place[suspect], r.t[suspect], r.anomaly[suspect]
        slots = self._watched.slot[r.rows[suspect]].astype(np.intp)
        parts = np.empty((len(index), PARTS, len(self.profile.channels)), np.float32)
        for plane, column in enumerate(planes):
            parts[:, plane] = np.nan if column is None else column[index]
        is_open = self._episodes.open[slots]
        found = self._pending(slots[~is_open], t[~is_open], anomaly[~is_open], parts[~is_open])
        found += self._going_on(slots[is_open], t[is_open], anomaly[is_open], parts[is_open])
        return found

    def _pending(
        self,
        slots: NDArray[np.intp],
        t: NDArray[np.int64],
        anomaly: NDArray[np.float32],
        parts: NDArray[np.float32],
    ) -> list[Finding]:
        """Suspects without an episode: open it, wait, or let them go."""
        episodes = self._episodes
        episodes.push(slots, t, anomaly, parts, self._reach_ms)
        above = episodes.ring_anomaly[slots] >= self.settings.open_at
        opened: NDArray[np.bool_] = above[:, -self.settings.n :].sum(axis=1) >= self.settings.k
        hurried = ~opened & self._blatant(slots, t)
        seen: NDArray[np.bool_] = above.sum(axis=1) > 0
        self._count(Reason.OPENED, opened)
        self._count(Reason.OPENED_EXPRESS, hurried)
        self._count(Reason.NORMAL, ~seen)
        self._count(Reason.ABOVE_ONCE, seen & ~opened & ~hurried)
        findings = [
            self._open(slots[i], int(t[i]), Reason.OPENED if opened[i] else Reason.OPENED_EXPRESS)
            for i in np.flatnonzero(opened | hurried)
        ]
        self._release(slots[~seen])
        return findings

    def _blatant(self, slots: NDArray[np.intp], t: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Few windows close together are enough where they are far enough above the threshold."""
        settings = self.settings
        if settings.express_k is None or settings.express_n is None:
            return np.zeros(len(slots), np.bool_)
        reach_ms = 2 * settings.express_n * self.profile.stride_rows * self.profile.grid_ms
        last = slice(self._ring - settings.express_n, None)
        high = self._episodes.ring_anomaly[slots, last] >= max(settings.express_at, settings.open_at)
        high &= self._episodes.ring_t[slots, last] >= (t - reach_ms)[:, None]
        enough: NDArray[np.bool_] = high.sum(axis=1) >= settings.express_k
        return enough

    def _open(self, slot: np.intp, at: int, reason: Reason) -> Finding:
        """The episode starts with the first window of the run, and the whole run is its evidence."""
        episodes, one = self._episodes, np.array([slot])
        first = int(np.argmax(episodes.ring_anomaly[slot] >= self.settings.open_at))
        for place in range(first, self._ring):
            anomaly = episodes.ring_anomaly[slot, place]
            if np.isfinite(anomaly):
                parts = episodes.ring_parts[slot, place][None]
                self._add(one, episodes.ring_t[slot, place][None], np.array([anomaly], np.float32), parts)
        episodes.open[slot] = True
        episodes.started[slot] = episodes.ring_t[slot, first]
        episodes.critical[slot] = episodes.peak[slot] >= self.settings.critical_at
        episodes.top[slot] = episodes.shares(one, self._nameable)[0, 0].argmax()
        return self._finding(slot, Action.OPEN, reason, at)

    def _add(
        self,
        slots: NDArray[np.intp],
        t: NDArray[np.int64],
        anomaly: NDArray[np.float32],
        parts: NDArray[np.float32],
    ) -> None:
        self._episodes.add(slots, t, anomaly, parts, self.settings.hold_at, self.profile.grid_ms)

    def _going_on(
        self,
        slots: NDArray[np.intp],
        t: NDArray[np.int64],
        anomaly: NDArray[np.float32],
        parts: NDArray[np.float32],
    ) -> list[Finding]:
        """Open episodes: hold, speak again, or resolve."""
        if not len(slots):
            return []
        episodes, settings = self._episodes, self.settings
        self._add(slots, t, anomaly, parts)
        held = anomaly >= settings.hold_at
        episodes.calm[slots] = np.where(held, 0, episodes.calm[slots] + 1)
        cleared = episodes.calm[slots] >= settings.resolve_after
        worsened = ~episodes.critical[slots] & (episodes.peak[slots] >= settings.critical_at)
        episodes.critical[slots] |= worsened
        top_changed = self._top_changed(slots)
        due = t - episodes.told[slots] >= settings.update_every_s * 1000
        ruled = np.zeros(len(slots), np.bool_)
        findings = []
        for reason, where in (
            (Reason.CLEARED, cleared),
            (Reason.WORSENED, worsened),
            (Reason.TOP_CHANGED, top_changed),
            (Reason.CALMING, ~held),
            (Reason.UPDATED, due),
            (Reason.HELD, held),
        ):
            chosen = where & ~ruled
            ruled |= chosen
            self._count(reason, chosen)
            if reason in {Reason.CALMING, Reason.HELD}:
                continue
            action = Action.RESOLVE if reason is Reason.CLEARED else Action.UPDATE
            findings += [self._finding(slots[i], action, reason, int(t[i])) for i in np.flatnonzero(chosen)]
        self._release(slots[cleared])
        return findings

    def _top_changed(self, slots: NDArray[np.intp]) -> NDArray[np.bool_]:
        share = self._episodes.shares(slots, self._nameable)[:, 0]
        at, top = np.arange(len(slots)), share.argmax(axis=1)
        old = self._episodes.top[slots]
        ahead = share[at, top] >= share[at, old] + self.settings.top_margin
        changed: NDArray[np.bool_] = (top != old) & ahead
        self._episodes.top[slots] = np.where(changed, top, old)
        return changed

    def _finding(self, slot: np.intp | int, action: Action, reason: Reason, at: int) -> Finding:
        self._episodes.told[slot] = at
        return self._teller.finding(self._episodes, self._watched, slot, action, reason, at)

    # -- bookkeeping -------------------------------------------------------------------------------

    def _count(self, reason: Reason, where: NDArray[np.bool_]) -> None:
        if count := int(np.count_nonzero(where)):
            self.reasons[reason] += count

    def _release(self, slots: NDArray[np.intp]) -> None:
        self._watched.slot[self._episodes.row[slots]] = -1
        self._episodes.give(slots)

    def _drop(self, row: int) -> None:
        """Take a device out; the last one may move into its row."""
        if self._watched.slot[row] >= 0:
            self._release(np.array([self._watched.slot[row]], np.intp))
        if self._watched.remove(row) and self._watched.slot[row] >= 0:
            self._episodes.row[self._watched.slot[row]] = row

    # -- save and restore --------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """A copy of all that is remembered; small while the fleet is calm."""
        known = len(self._watched)
        used = np.flatnonzero(self._episodes.row >= 0)
        arrays: dict[str, Array] = {
            name: getattr(self._watched, name)[:known] for name in ("last_t", "anomaly", "seen", "quiet_t")
        }
        arrays |= {f"slot.{name}": getattr(self._episodes, name)[used] for name in Episodes.columns()}
        meta: dict[str, Meta] = {"type": self.profile.type, "channels": list(self.profile.names)}
        return pack("judge", meta, self._watched.devices, arrays)

    @classmethod
    def restore(
        cls,
        profile: DeviceProfile,
        model: ModelIdentity,
        settings: JudgeSettings | None,
        data: bytes,
    ) -> "Judge":
        """Go on where `snapshot` was taken.

        A profile with other channels, or another n, keeps the open episodes: channels are matched by name.

        Raises:
            SnapshotError: damaged, or of another device type.
        """
        saved = unpack("judge", data)
        if saved.meta.get("type") != profile.type:
            raise SnapshotError(f"state of {saved.meta.get('type')!r}, wanted {profile.type!r}")
        judge = cls(profile, model, settings)
        judge._watched.admit(saved.ids)
        judge._load(saved)
        return judge

    def _load(self, saved: Snapshot) -> None:
        known = len(saved.ids)
        try:
            for name in ("last_t", "anomaly", "seen"):
                getattr(self._watched, name)[:known] = saved.arrays[name]
            # States saved before there was maintenance have no such column.
            self._watched.quiet_t[:known] = saved.arrays.get("quiet_t", NEVER)
            rows = saved.arrays["slot.row"].astype(np.intp)
            slots = self._episodes.take(rows)
            missing = {name for name in LATER if f"slot.{name}" not in saved.arrays}
            for name in set(Episodes.columns()) - missing:
                fit(getattr(self._episodes, name), slots, saved.arrays[f"slot.{name}"], self._columns(saved))
            old_top = self._columns(saved)[0][saved.arrays["slot.top"].astype(np.intp)]
        except (KeyError, IndexError, ValueError) as error:
            raise SnapshotError(f"state of {self.profile.type!r} does not fit: {error}") from None
        self._episodes.top[slots] = np.maximum(old_top, 0)
        self._watched.slot[rows] = slots

    def _columns(self, saved: Snapshot) -> tuple[NDArray[np.intp], int]:
        """Where each channel of the snapshot now stands, -1 where it is gone; and how many there are now."""
        names = saved.meta.get("channels")
        if not isinstance(names, list):
            raise SnapshotError("channels are missing")
        return np.array([self.profile.index.get(name, -1) for name in names], np.intp), len(
            self.profile.names
        )
