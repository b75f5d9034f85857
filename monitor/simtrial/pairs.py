"""The same runs without and with the devices' own baselines → differences, pair by pair. Pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.evaluation.comparison import paired_bootstrap
from monitor.simtrial.rates import MEDIUM, summary

OWN = "with_own_baseline"
"""Where a row tells what was said of the same run when the device had been watched before."""
Row = dict[str, Any]


def own_baseline_figures(
    faults: Sequence[Row], healthy: Sequence[Row], days: float, asked_a_day: float | None
) -> dict[str, Any]:
    """What the benchmark tells of watched devices, as `rates.summary`, and `paired`: watched minus fresh.

    Args:
        faults: rows of fault runs, each with its `OWN` twin.
        healthy: rows of fault-free devices, likewise.
    """
    twins = [row | row[OWN] for row in faults]
    alarms = sum(row[OWN]["alarms"] for row in healthy)
    return {**summary(twins, alarms, days, asked_a_day), "paired": paired(faults, healthy)}


def paired(faults: Sequence[Row], healthy: Sequence[Row]) -> dict[str, Any]:
    """Faults of medium severity or more, and fault-free devices."""
    medium = [row for row in faults if row["severity"] >= MEDIUM]
    both = [row for row in medium if row["detected"] and row[OWN]["detected"]]
    return {
        "detected": _one_sided(medium, "detected"),
        "top1": _one_sided(both, "top1"),
        "delay_s": _difference([row[OWN]["delay_s"] - row["delay_s"] for row in both]),
        "high_anomaly": _difference([row[OWN]["high_anomaly"] - row["high_anomaly"] for row in healthy]),
        "false_before": [sum(r["false_before"] for r in faults), sum(r[OWN]["false_before"] for r in faults)],
        "false_alarms": [sum(r["alarms"] for r in healthy), sum(r[OWN]["alarms"] for r in healthy)],
        "calmed_devices": sum(row[OWN]["alarms"] < row["alarms"] for row in healthy),
        "alarmed_devices": sum(row[OWN]["alarms"] > row["alarms"] for row in healthy),
        "own_bias": _biases([*faults, *healthy]),
        "most_biased": _most_biased(healthy),
    }


def _one_sided(rows: Sequence[Row], name: str) -> dict[str, int]:
    """Where one of the two has it and the other has not."""
    return {
        "only_fresh": sum(row[name] and not row[OWN][name] for row in rows),
        "only_watched": sum(row[OWN][name] and not row[name] for row in rows),
        "of": len(rows),
    }


def _difference(differences: Sequence[float]) -> dict[str, Any]:
    """Watched minus fresh; the mean with its 95 % bootstrap interval, and how many are less and more."""
    if not differences:
        return {"mean": None, "interval": None, "median": None, "less": 0, "more": 0, "of": 0}
    told = np.asarray(differences)
    between = paired_bootstrap(differences, [0.0] * len(told))
    return {
        "mean": float(told.mean()), "interval": [between.low, between.high],
        "median": float(np.median(told)), "less": int((told < 0).sum()), "more": int((told > 0).sum()),
        "of": len(told),
    }  # fmt: skip


def _biases(rows: Sequence[Row]) -> dict[str, float] | None:
    """Largest of a device's channels as its run was first told of any, in spreads; 0 where none was told."""
    if not rows:
        return None
    low, middle, high = np.quantile([row[OWN]["own_bias"] for row in rows], (0.1, 0.5, 0.9))
    return {"q10": float(low), "median": float(middle), "q90": float(high)}


def _most_biased(healthy: Sequence[Row]) -> dict[str, Any] | None:
    """The quarter of the fault-free devices that differ most from their type: for them the baseline is there."""
    if not healthy:
        return None
    ordered = sorted(healthy, key=lambda row: -row[OWN]["own_bias"])
    most = ordered[: max(1, len(ordered) // 4)]
    return {
        "devices": len(most), "own_bias_over": most[-1][OWN]["own_bias"],
        "false_alarms": [sum(r["alarms"] for r in most), sum(r[OWN]["alarms"] for r in most)],
        "high_anomaly": _difference([r[OWN]["high_anomaly"] - r["high_anomaly"] for r in most]),
    }  # fmt: skip
