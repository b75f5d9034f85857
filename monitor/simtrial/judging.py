"""Simulated runs → scores → findings → what came of each fault and each fault-free device.

Windows and decisions are those of the service: the same grid, the scorer, and the Judge with the model's own rule.
Many devices are judged at once, because the Judge takes a round of all of them in the time of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from models.calibration import AlarmRule
from models.scoring import Score, Scorer
from monitor.findings import Action, Baseline, Finding, Judge, JudgeSettings
from monitor.simtrial.pairs import OWN
from monitor.simtrial.rates import summary
from monitor.simtrial.runs import (
    DAY_S,
    FaultCase,
    Trial,
    earlier_runs,
    fault_cases,
    fault_run,
    healthy_runs,
)
from monitor.simtrial.scoring import Scored, Windows, hidden_anomaly, score_runs, windows_of_run
from monitor.simtrial.watching import Watch
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile
from streams.simulation import FaultTruth, Simulation

TOGETHER = 12
"""Runs judged at a time; bounds the memory."""
_DELETED = 20
"""Windows of an episode that the deletion test looks at, at most."""
_HIGH = 0.99
"""Of the windows of a fault-free device this part has a lower anomaly than what its row tells; alarms are rarer."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is put to the trial."""

    profile: DeviceProfile
    scorer: Scorer
    settings: JudgeSettings


class Seen(NamedTuple):
    """A run and its windows, the same for whoever judges them."""

    run: Simulation
    windows: Windows


class _Judged(NamedTuple):
    """A run and what was said of it."""

    run: Simulation
    windows: Windows
    scored: Scored
    findings: list[Finding]

    def opened(self) -> list[Finding]:
        return [f for f in self.findings if f.action is Action.OPEN]

    def own_bias(self) -> float:
        """Largest of its channels in the first window that was told of any, in spreads; 0 where none was."""
        bias = self.scored.bias
        if bias is None or not bias.any():
            return 0.0
        return float(np.abs(bias[bias.any(1)][0]).max())


def evaluate_simulated(
    scorer: Scorer, profile: DeviceProfile, rule: AlarmRule, trial: Trial | None = None,
    progress: Progress = lambda _done, _total: None, asked_a_day: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Every fault at every severity and seed and in two ways, and fault-free days with look-alikes.

    Args:
        rule: the alarm rule that the scorer's threshold was fitted for.
        progress: told how many runs of how many are done.
        asked_a_day: false alarms a device-day that the threshold was fitted for.

    Returns:
        JSON-able: see `rates.summary`, and `faults`, a row for every fault run.
    """
    trial = trial or Trial()
    subject = Subject(profile, scorer, JudgeSettings().fitted_for(rule))
    cases, devices = fault_cases(profile.type, trial), trial.healthy_devices(profile.type)
    total, rows, alarms = len(cases) + devices, [], 0
    for start in range(0, len(cases), TOGETHER):
        some = cases[start : start + TOGETHER]
        rows += fault_rows(subject, trial, some, seen_faults(profile, trial, some))
        progress(len(rows), total)
    for start in range(0, devices, TOGETHER):
        last = min(devices, start + TOGETHER)
        seen = seen_healthy(profile, trial, start, last)
        alarms += sum(row["alarms"] for row in healthy_rows(subject, trial, seen))
        progress(len(cases) + last, total)
    days = devices * trial.hours(profile.type) * 3600 / DAY_S
    return {**summary(rows, alarms, days, asked_a_day), "faults": rows}


def seen_faults(profile: DeviceProfile, trial: Trial, cases: Sequence[FaultCase]) -> list[Seen]:
    """The runs of some cases, in their order."""
    return [_seen(fault_run(profile, trial, case)) for case in cases]


def seen_healthy(profile: DeviceProfile, trial: Trial, first: int, last: int) -> list[Seen]:
    """The runs of the fault-free devices `first` to `last` (exclusive)."""
    return [_seen(run) for run in healthy_runs(profile, trial, first, last)]


def _seen(run: Simulation) -> Seen:
    return Seen(run, windows_of_run(run))


def fault_rows(
    subject: Subject, trial: Trial, cases: Sequence[FaultCase], seen: Sequence[Seen]
) -> list[dict[str, Any]]:
    """What came of each case, `seen` being their runs."""
    judged = _judged(subject, seen)
    rows = [_fault_row(subject, case, one) for case, one in zip(cases, judged, strict=True)]
    if trial.own_hours:
        for row, case, one in zip(rows, cases, _watched(subject, trial, judged), strict=True):
            row[OWN] = _fault_row(subject, case, one) | {"own_bias": one.own_bias()}
    return rows


def healthy_rows(subject: Subject, trial: Trial, seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Alarms of fault-free devices, and during which look-alikes."""
    judged = _judged(subject, seen)
    rows = [_healthy_row(one) for one in judged]
    if trial.own_hours:
        for row, one in zip(rows, _watched(subject, trial, judged), strict=True):
            row[OWN] = _healthy_row(one) | {"own_bias": one.own_bias()}
    return rows


def _healthy_row(one: _Judged) -> dict[str, Any]:
    opened, events = [f.started_t for f in one.opened()], one.run.truth.lookalikes
    during = [
        next((e.name for e in events if e.start_ms <= t <= e.end_ms + 600_000), "nothing") for t in opened
    ]
    return {
        "device": one.run.device,
        "alarms": len(opened),
        "during": during,
        "reasons": [f.reason.value for f in one.opened()],
        "lookalikes": [e.name for e in events],
        "high_anomaly": float(np.quantile(one.scored.score.anomaly, _HIGH)),
    }


def _fault_row(subject: Subject, case: FaultCase, one: _Judged) -> dict[str, Any]:
    fault, opened = one.run.truth.faults[0], one.opened()
    caught = next((f for f in opened if fault.onset_ms < f.at_t <= fault.end_ms), None)
    row = {
        "type": subject.profile.type, "fault": case.fault, "severity": case.severity, "onset": case.onset.value,
        "seed": case.seed, "channels": list(fault.channels), "detected": caught is not None,
        "false_before": sum(f.at_t <= fault.onset_ms for f in opened),
        "own_alarm_s": None if fault.device_alarm_ms is None else (fault.device_alarm_ms - fault.onset_ms) / 1000,
    }  # fmt: skip
    return row | (_caught(subject, case, one, fault, caught) if caught else _MISSED)


_MISSED = {
    "ranked": [], "top1": False, "top3": False, "hypothesis": None, "hypothesis_top1": None,
    "hypothesis_top1_at_opening": None, "deletion_top1": None, "delay_s": None, "lead_s": None, "reason": None,
}  # fmt: skip


def _caught(
    subject: Subject, case: FaultCase, one: _Judged, fault: FaultTruth, caught: Finding
) -> dict[str, Any]:
    ranked = [e.channel for e in caught.evidence]
    episode = [f for f in one.findings if f.started_t == caught.started_t and f.at_t <= fault.end_ms]
    first, last = _suspected(caught), _suspected(episode[-1] if episode else caught)
    known = any(signature.name == case.fault for signature in subject.profile.faults)
    alarm = fault.device_alarm_ms
    return {
        "ranked": ranked,
        "top1": bool(ranked) and ranked[0] in fault.channels,
        "top3": any(channel in fault.channels for channel in ranked[:3]),
        "hypothesis": last,
        "hypothesis_top1": last == case.fault if known else None,
        "hypothesis_top1_at_opening": first == case.fault if known else None,
        "deletion_top1": _deletion(subject, one, caught),
        "delay_s": (caught.at_t - fault.onset_ms) / 1000,
        "lead_s": None if alarm is None else (alarm - caught.at_t) / 1000,
        "reason": caught.reason.value,
    }


def _suspected(finding: Finding) -> str | None:
    """The fault that a finding names first, where it names any."""
    return finding.suspicions[0].fault if finding.suspicions else None


def _deletion(subject: Subject, one: _Judged, caught: Finding) -> bool | None:
    """Does hiding the channel with the largest share calm the episode more than hiding any other?"""
    windows, held = one.windows, one.scored.score.anomaly >= subject.settings.hold_at
    episode = np.flatnonzero((windows.end_t >= caught.started_t) & (windows.end_t <= caught.at_t) & held)
    blamed = [
        c for c, channel in enumerate(subject.profile.channels) if channel.role in ("measured", "counter")
    ]
    if not len(episode) or len(blamed) < 2 or not caught.evidence:
        return None
    left = hidden_anomaly(subject.scorer, windows, one.scored, episode[-_DELETED:], blamed)
    first, second = np.argsort(left, kind="stable")[:2]
    top = subject.profile.index[caught.evidence[0].channel]
    return bool(blamed[first] == top and left[first] < left[second])


def _judged(subject: Subject, seen: Sequence[Seen]) -> list[_Judged]:
    """Score every run, then judge all of them at once."""
    scored = score_runs(subject.scorer, subject.profile, [one.windows for one in seen])
    devices = [one.run.device for one in seen for _ in range(len(one.windows))]
    joined = Score.joined([one.score for one in scored])
    end_t = np.concatenate([one.windows.end_t for one in seen])
    # The Judge looks at names, times and scores; the readings were needed by the scorer alone.
    nothing = np.zeros((len(end_t), 0, 0), np.float32)
    batch = WindowBatch(subject.profile, devices, end_t, nothing, nothing.astype(np.bool_))
    found = Judge(subject.profile, subject.scorer.identity, subject.settings).judge(batch, joined)
    return [
        _Judged(*one, told, [f for f in found if f.device == one.run.device])
        for one, told in zip(seen, scored, strict=True)
    ]


def _watched(subject: Subject, trial: Trial, fresh: Sequence[_Judged]) -> list[_Judged]:
    """The same runs, each device having been watched for `trial.own_hours` before."""
    profile = subject.profile
    baseline = Baseline(profile, trial.adaptation)
    watch = Watch(profile, subject.scorer, subject.settings, baseline)
    watch.learn(
        {
            one.run.device: [windows_of_run(run) for run in earlier_runs(profile, trial, one.run.device)]
            for one in fresh
        }
    )
    played = watch.play({one.run.device: one.windows for one in fresh})
    return [
        one._replace(
            scored=played.scored[one.run.device],
            findings=[f for f in played.findings if f.device == one.run.device],
        )
        for one in fresh
    ]
