"""Counts → rates with their intervals. Pure; knows no simulator and no scorer."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

MEDIUM = 0.5
"""Severity from which a fault must be found."""
MONTH = 30.0
"""Days."""
_Z = 1.959964
"""95 %."""
Row = dict[str, Any]
Interval = tuple[float, float]

FOUND = ("top1", "top3", "hypothesis_top1", "hypothesis_top1_at_opening", "deletion_top1")
"""Asked of detected faults only."""


def wilson(hits: int, of: int) -> Interval | None:
    """95 % interval of a rate (Wilson, 1927); None without a case."""
    if not of:
        return None
    p, z = hits / of, _Z * _Z / of
    middle, half = p + z / 2, _Z * math.sqrt(p * (1 - p) / of + z / (4 * of))
    return max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z))


def poisson(events: int, time: float) -> Interval | None:
    """Exact 95 % interval of a rate of events (Garwood, 1936); None without any time."""
    if not time > 0:
        return None
    low = float(chi2.ppf(0.025, 2 * events)) / 2 if events else 0.0
    return low / time, float(chi2.ppf(0.975, 2 * events + 2)) / 2 / time


def fault_figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Rates over fault runs: `detected` over all of them, the others over the detected; medians of the times."""
    found = [row for row in rows if row["detected"]]
    asked: dict[str, list[bool]] = {"detected": [row["detected"] for row in rows]}
    asked |= {name: [row[name] for row in found if row[name] is not None] for name in FOUND}
    lead = [row["lead_s"] for row in found if row["lead_s"] is not None]
    figures: dict[str, Any] = {name: float(np.mean(told)) if told else None for name, told in asked.items()}
    figures["counts"] = {name: [int(sum(told)), len(told)] for name, told in asked.items()}
    figures["intervals"] = {name: wilson(int(sum(told)), len(told)) for name, told in asked.items()}
    return figures | {
        "delay_s": _median([row["delay_s"] for row in found]),
        "lead_time_s": _median(lead),
        "before_device_alarm": float(np.mean([one > 0 for one in lead])) if lead else None,
    }


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def false_alarm_figures(alarms: int, days: float, asked_a_day: float | None) -> dict[str, Any]:
    """False alarms on fault-free devices: obtained beside what the threshold was fitted for."""
    asked = None if asked_a_day is None else MONTH * asked_a_day
    obtained = MONTH * alarms / days if days else None
    return {
        "false_alarms": alarms, "device_days": days, "false_alarms_per_device_month": obtained,
        "false_alarms_per_device_month_interval": poisson(alarms, days / MONTH),
        "asked_false_alarms_per_device_month": asked,
        "obtained_to_asked": obtained / asked if asked and obtained is not None else None,
    }  # fmt: skip


def summary(rows: Sequence[Row], alarms: int, days: float, asked_a_day: float | None) -> dict[str, Any]:
    """Everything of one device type, or of all: faults of medium severity or more, and every severity by itself."""
    medium = [row for row in rows if row["severity"] >= MEDIUM]
    severities = sorted({row["severity"] for row in rows})
    faults = sorted({(row["type"], row["fault"]) for row in medium})
    by_severity = {str(s): fault_figures([row for row in rows if row["severity"] == s]) for s in severities}
    by_fault = {
        f"{kind}/{name}": fault_figures([r for r in medium if (r["type"], r["fault"]) == (kind, name)])
        for kind, name in faults
    }
    return {
        **fault_figures(medium), **false_alarm_figures(alarms, days, asked_a_day),
        "false_before_onset": sum(row["false_before"] for row in rows),
        "by_severity": by_severity, "by_fault": by_fault,
    }  # fmt: skip
