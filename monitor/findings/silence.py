"""Which devices send nothing; one finding for the site when (nearly) all fall silent together.

Counts arrival, not content: `seen` and `check` take the stream's clock as an argument. Knows no scores.
One `Silence` remembers one partition; `check_together` looks at all partitions that a worker reads, since
an outage of the site stops at no partition's edge.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.findings.blob import SnapshotError, pack, unpack
from monitor.findings.columns import NEVER
from monitor.findings.finding import (
    SILENCE,
    SITE,
    SITE_TYPE,
    Action,
    Finding,
    Kind,
    Reason,
    Severity,
    SilenceSettings,
)
from monitor.findings.roll import AWAKE, SILENT, WITH_SITE, Roll

_SAVED = ("last", "origin", "state", "since")


class Outage(NamedTuple):
    """A silence of the site, kept by the partition that reported it."""

    started: int
    members: int


class Silence:
    """The devices of one partition."""

    def __init__(self, silent_after_ms: Mapping[str, int], settings: SilenceSettings | None = None) -> None:
        """`silent_after_ms`: device type → time without a sample after which a device is silent."""
        self.settings = settings or SilenceSettings()
        self.reasons: Counter[Reason] = Counter()
        self.roll = Roll(silent_after_ms)
        self.outage: Outage | None = None

    def __len__(self) -> int:
        return len(self.roll)

    def seen(self, devices: Sequence[str], device_type: str, now_ms: int) -> None:
        """These devices were heard.

        Raises:
            KeyError: a device type whose `silent_after_ms` was not given.
        """
        known = self.roll.row
        unknown = [device for device in dict.fromkeys(devices) if device not in known]
        if unknown:
            self.roll.admit(unknown, [device_type] * len(unknown))
        rows = np.array([known[device] for device in devices], np.intp)
        self.roll.last[rows] = np.maximum(self.roll.last[rows], now_ms)

    def resume(self, now_ms: int) -> None:
        """Nobody listened until now (restart, rebalance), so silence counts from here.

        Devices found silent before stay so until they are heard.
        """
        np.maximum(self.roll.origin, now_ms, out=self.roll.origin)

    def check(self, now_ms: int) -> list[Finding]:
        """What changed, with this partition as the whole site."""
        return check_together([self], now_ms)[0]

    def silent(self) -> list[str]:
        """Devices silent now, alone or with the site."""
        return [self.roll.devices[row] for row in np.flatnonzero(self.roll.state != AWAKE)]

    def last_seen(self) -> dict[str, int]:
        """Device → when it was last heard."""
        return dict(zip(self.roll.devices, self.roll.last.tolist(), strict=True))

    # -- steps of `check_together` -------------------------------------------------------------------

    def wake(self, now_ms: int) -> list[Finding]:
        """Silent devices that were heard again."""
        rows = self.roll.returned(SILENT, now_ms)
        findings = [self._finding(row, Action.RESOLVE, Reason.BACK, now_ms, age=0.0) for row in rows]
        self.roll.state[rows] = AWAKE
        return findings

    def fall(self, rows: NDArray[np.intp], now_ms: int) -> list[Finding]:
        """Devices that became silent, each for itself."""
        ages = self.roll.ages(now_ms)
        self.roll.fall(rows, SILENT)
        return [self._finding(row, Action.OPEN, Reason.SILENT, now_ms, float(ages[row])) for row in rows]

    def forget(self, now_ms: int) -> list[Finding]:
        """Devices silent for so long that they are no longer watched."""
        unheard_ms = now_ms - self.roll.last
        old = (self.roll.state == SILENT) & (unheard_ms > self.settings.forget_after_s * 1000)
        findings = [
            self._finding(row, Action.RESOLVE, Reason.FORGOTTEN, now_ms, age=0.0)
            for row in np.flatnonzero(old)
        ]
        if findings:
            self.roll.keep(np.flatnonzero(~old))
        return findings

    def _finding(self, row: np.intp, action: Action, reason: Reason, now_ms: int, age: float) -> Finding:
        self.reasons[reason] += 1
        return Finding(
            kind=Kind.SILENT,
            action=action,
            reason=reason,
            severity=Severity.WARNING,
            device=self.roll.devices[row],
            device_type=self.roll.types[row],
            started_t=int(self.roll.since[row]),
            at_t=now_ms,
            anomaly=age,
            peak=max(age, 1.0),
            evidence=(),
            model=SILENCE,
        )

    def begin_outage(self, outage: Outage, now_ms: int) -> Finding:
        """This partition reports and remembers the silence of the site."""
        self.outage = outage
        return self._site(outage, Action.OPEN, Reason.STREAM_SILENT, now_ms)

    def end_outage(self, now_ms: int) -> list[Finding]:
        """The site is back; members still unheard are counted from now on, each for itself."""
        members = self.roll.state == WITH_SITE
        self.roll.state[members] = AWAKE
        self.roll.origin[members] = now_ms
        if self.outage is None:
            return []
        outage, self.outage = self.outage, None
        return [self._site(outage, Action.RESOLVE, Reason.STREAM_BACK, now_ms)]

    def _site(self, outage: Outage, action: Action, reason: Reason, now_ms: int) -> Finding:
        self.reasons[reason] += 1
        return Finding(
            kind=Kind.STREAM_SILENT,
            action=action,
            reason=reason,
            severity=Severity.CRITICAL,
            device=SITE,
            device_type=SITE_TYPE,
            started_t=outage.started,
            at_t=now_ms,
            anomaly=1.0 if action is Action.OPEN else 0.0,
            peak=1.0,
            evidence=(),
            model=SILENCE,
            count=outage.members,
        )

    # -- save and restore ----------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """A copy of all that is remembered."""
        started, members = self.outage or (NEVER, 0)
        return pack(
            "silence",
            {"types": self.roll.types, "started": started, "members": members},
            self.roll.devices,
            {name: getattr(self.roll, name) for name in _SAVED},
        )

    @classmethod
    def restore(
        cls, silent_after_ms: Mapping[str, int], settings: SilenceSettings | None, data: bytes
    ) -> "Silence":
        """Go on where `snapshot` was taken; call `resume` when time has passed since.

        Raises:
            SnapshotError: damaged, or with a device type that is no longer known.
        """
        saved = unpack("silence", data)
        silence = cls(silent_after_ms, settings)
        types, started, members = (saved.meta.get(key) for key in ("types", "started", "members"))
        if not (isinstance(types, list) and isinstance(started, int) and isinstance(members, int)):
            raise SnapshotError("state of silence is incomplete")
        try:
            silence.roll.admit(saved.ids, types)
            for name in _SAVED:
                getattr(silence.roll, name)[:] = saved.arrays[name]
        except (KeyError, ValueError) as error:
            raise SnapshotError(f"state of silence does not fit: {error}") from None
        silence.outage = None if started == NEVER else Outage(started, members)
        return silence


def check_together(silences: Sequence[Silence], now_ms: int) -> list[list[Finding]]:
    """Check all partitions of a worker as one site; the findings of each, in the order given.

    A finding belongs to the state of its own partition and is to be recorded with that state.
    """
    findings = [silence.wake(now_ms) + silence.forget(now_ms) for silence in silences]
    if _site_is_back(silences, now_ms):
        for silence, found in zip(silences, findings, strict=True):
            found += silence.end_outage(now_ms)
    ages = [silence.roll.ages(now_ms) for silence in silences]
    awake = [silence.roll.state == AWAKE for silence in silences]
    due = [np.flatnonzero(a & (age > 1)) for a, age in zip(awake, ages, strict=True)]
    if not any(len(rows) for rows in due):
        return findings
    # A device unheard for half of the time allowed is quiet already. Waiting for each to become due
    # would report the first ones one by one.
    quiet = [np.flatnonzero(a & (age > 0.5)) for a, age in zip(awake, ages, strict=True)]
    if _is_site(silences, sum(map(len, quiet)), sum(int(a.sum()) for a in awake)):
        _join_outage(silences, quiet, findings, now_ms)
    else:
        for silence, rows, found in zip(silences, due, findings, strict=True):
            found += silence.fall(rows, now_ms)
    return findings


def _is_site(silences: Sequence[Silence], quiet: int, awake: int) -> bool:
    """Devices that were silent before say nothing about what happens now."""
    settings = silences[0].settings
    going_on = any(silence.outage for silence in silences)
    return quiet >= settings.site_share * awake and (going_on or awake >= settings.site_devices)


def _join_outage(
    silences: Sequence[Silence],
    quiet: Sequence[NDArray[np.intp]],
    findings: list[list[Finding]],
    now_ms: int,
) -> None:
    """Quiet devices fall silent with the site; the first partition of them reports it, once."""
    heard = np.concatenate([silence.roll.last[rows] for silence, rows in zip(silences, quiet, strict=True)])
    for silence, rows in zip(silences, quiet, strict=True):
        silence.roll.fall(rows, WITH_SITE)
    if not any(silence.outage for silence in silences):
        owner = next(i for i, rows in enumerate(quiet) if len(rows))
        outage = Outage(started=int(heard.max()), members=len(heard))
        findings[owner].append(silences[owner].begin_outage(outage, now_ms))


def _site_is_back(silences: Sequence[Silence], now_ms: int) -> bool:
    """Half of the members are heard again, or no member is left in these partitions."""
    members = sum(int((silence.roll.state == WITH_SITE).sum()) for silence in silences)
    returned = sum(len(silence.roll.returned(WITH_SITE, now_ms)) for silence in silences)
    return 2 * returned >= members
