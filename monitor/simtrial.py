"""Simulated faults and fault-free days through a scorer and the real Judge: what an operator would have been told.

The simulator's faults are not those that training injects (`models.injection`), and its seeds here are none of those
that the shipped models were trained or calibrated on.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from models.fleet import Series, as_new, windows_of
from models.scoring import Scorer
from monitor.findings import Action, Finding, Judge, JudgeSettings
from streams.alignment import to_grid
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile
from streams.simulation import Plan, Simulation, fault_plan, fault_specs, observe, random_plan, simulate

START_MS = 1_790_000_000_000
DAY_S = 86_400.0
FIRST_SEED = 9_000_000
"""Seeds of a trial begin here; the training fleets stay far below."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried."""

    seeds: tuple[int, ...] = (0, 1)
    severities: tuple[float, ...] = (0.5, 0.75, 1.0)
    fault_hours: float = 1.0
    devices: int = 32
    """Fault-free devices ..."""
    device_hours: float = 6.0
    """... for so long each."""
    lookalikes: float = 2.0
    """How many times as often as usual look-alikes come."""


def evaluate_simulated(
    scorer: Scorer, profile: DeviceProfile, rule: tuple[int, int], trial: Trial | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:  # fmt: skip
    """Every fault at every severity and seed, and fault-free days with look-alikes.

    Args:
        rule: the k of n that the scorer's threshold was fitted for.
        progress: told how many runs of how many are done.

    Returns:
        JSON-able: rates over all faults (`top1` and `top3` over the detected ones), false alarms a device-month with
        the device-days that they rest on, lead over the device's own alarm, and a row for every fault run.
    """
    trial = trial or Trial()
    settings = JudgeSettings().fitted_for(*rule)
    cases = list(product(fault_specs(profile.type), trial.severities, trial.seeds))
    total, rows, false = len(cases) + trial.devices, [], 0
    for done, case in enumerate(cases):
        rows.append(_fault_row(scorer, profile, settings, trial, *case))
        progress(done + 1, total)
    for device in range(trial.devices):
        false += sum(
            f.action is Action.OPEN for f in _findings(scorer, _healthy(profile, trial, device), settings)
        )
        progress(len(cases) + device + 1, total)
    days = trial.devices * trial.device_hours * 3600 / DAY_S
    return {**_rates(rows), "false_alarms": false + sum(row["false_before"] for row in rows), "device_days": days,
            "false_alarms_per_device_month": 30 * false / days if days else None, "faults": rows}  # fmt: skip


def _rates(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = [row for row in rows if row["detected"]]
    lead = [row["lead_s"] for row in found if row["lead_s"] is not None]
    return {
        "detected": _mean([row["detected"] for row in rows]),
        "top1": _mean([row["top1"] for row in found]),
        "top3": _mean([row["top3"] for row in found]),
        "hypothesis_top1": _mean([row["hypothesis_top1"] for row in found]),
        "hypothesis_top1_at_opening": _mean([row["hypothesis_top1_at_opening"] for row in found]),
        "delay_s": float(np.median([row["delay_s"] for row in found])) if found else None,
        "lead_time_s": float(np.median(lead)) if lead else None,
    }


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _seed(name: str, seed: int) -> int:
    return FIRST_SEED + zlib.crc32(f"{name}:{seed}".encode()) % 1_000_000


def _fault_row(
    scorer: Scorer, profile: DeviceProfile, settings: JudgeSettings, trial: Trial, name: str, severity: float, seed: int
) -> dict[str, Any]:  # fmt: skip
    duration_s, number = trial.fault_hours * 3600, _seed(name, seed)
    rng = np.random.default_rng([number, round(severity * 1000)])
    plan = fault_plan(profile.type, name, rng, duration_s, severity=severity, rate=trial.lookalikes)
    run = simulate(profile.type, f"FAULT-{number}", number, START_MS, duration_s, plan, profile=profile)
    fault = run.truth.faults[0]
    findings = _findings(scorer, run, settings)
    opened = [f for f in findings if f.action is Action.OPEN]
    caught = next((f for f in opened if fault.onset_ms < f.at_t <= fault.end_ms), None)
    ranked = [e.channel for e in caught.evidence] if caught else []
    first, last = _suspected(caught), _suspected(_last_within(findings, caught, fault.end_ms))
    alarm = fault.device_alarm_ms
    return {
        "fault": name, "severity": severity, "seed": seed, "channels": list(fault.channels), "ranked": ranked,
        "detected": caught is not None,
        "top1": bool(ranked) and ranked[0] in fault.channels,
        "top3": any(channel in fault.channels for channel in ranked[:3]),
        "hypothesis": last, "hypothesis_top1": last == name, "hypothesis_top1_at_opening": first == name,
        "delay_s": (caught.at_t - fault.onset_ms) / 1000 if caught else None,
        "lead_s": (alarm - caught.at_t) / 1000 if caught and alarm is not None else None,
        "false_before": sum(f.at_t <= fault.onset_ms for f in opened),
    }  # fmt: skip


def _suspected(finding: Finding | None) -> str | None:
    """The fault that a finding names first."""
    return finding.suspicions[0].fault if finding and finding.suspicions else None


def _last_within(findings: Sequence[Finding], opened: Finding | None, end_ms: int) -> Finding | None:
    """The last word on the episode before the fault ends."""
    if opened is None:
        return None
    episode = [f for f in findings if f.started_t == opened.started_t and f.at_t <= end_ms]
    return episode[-1] if episode else opened


def _healthy(profile: DeviceProfile, trial: Trial, device: int) -> Simulation:
    number, duration_s = _seed("healthy", device), trial.device_hours * 3600
    plan: Plan = random_plan(profile.type, np.random.default_rng(number), duration_s, rate=trial.lookalikes)
    return simulate(profile.type, f"HEALTHY-{number}", number, START_MS, duration_s, plan, profile=profile)


def _findings(scorer: Scorer, run: Simulation, settings: JudgeSettings) -> list[Finding]:
    """What the Judge says of a run, its first partial windows included, readings as they would have arrived."""
    judge = Judge(run.profile, scorer.identity, settings)
    return [
        found
        for batch in _windows(run)
        for found in judge.judge(batch, scorer.score(batch.values, batch.mask))
    ]


def _windows(run: Simulation) -> Iterator[WindowBatch]:
    profile, arrivals = run.profile, observe(run, 0)
    ends, values, mask = to_grid(profile, arrivals.t_ms, arrivals.values)
    series = as_new(Series(run.device, values, mask), profile.window_rows, profile.min_rows)
    all_values, all_mask = windows_of(series, profile.window_rows, profile.stride_rows)
    first = profile.min_rows - 1 if profile.min_rows < profile.window_rows else profile.window_rows - 1
    end_t = ends[first :: profile.stride_rows][: len(all_values)]
    for start in range(0, len(all_values), 1024):
        cut = slice(start, start + 1024)
        v, m = np.ascontiguousarray(all_values[cut]), np.ascontiguousarray(all_mask[cut])
        yield WindowBatch(profile, [run.device] * len(v), end_t[cut], v, m)
