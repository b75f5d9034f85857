"""Rows of runs → the benchmark's report: of one method over all device types, and of ours beside its peers. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.simtrial.beside import beside
from monitor.simtrial.pairs import OWN, own_baseline_figures
from monitor.simtrial.rates import summary
from monitor.simtrial.runs import DAY_S, Trial
from streams.simulation import lookalike_specs

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TypeRows:
    """What came of all runs of a device type that one method judged."""

    kind: str
    faults: Sequence[Row]
    healthy: Sequence[Row]
    asked_a_day: float
    """False alarms a device-day that its threshold is for."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What else the report says of the method on this type."""

    def days(self, trial: Trial) -> float:
        """Fault-free device-days."""
        return len(self.healthy) * trial.hours(self.kind) * 3600 / DAY_S


def method_report(types: Sequence[TypeRows], trial: Trial) -> dict[str, Any]:
    """One method over all device types, `by_type`, and `faults`, a row for every fault run."""
    by_type: dict[str, Any] = {}
    rows: list[Row] = []
    devices: list[Row] = []
    days, asked = 0.0, 0.0
    for one in types:
        own, own_days = in_order(one.faults), one.days(trial)
        by_type[one.kind] = _figures(trial, own, one.healthy, own_days, one.asked_a_day) | {
            "lookalikes": _lookalikes(one.kind, one.healthy), **one.told,
        }  # fmt: skip
        rows, devices, days = [*rows, *own], [*devices, *one.healthy], days + own_days
        asked += one.asked_a_day * own_days
    figures = _figures(trial, rows, devices, days, asked / days if days else None)
    return {**figures, "by_type": by_type, "faults": rows}


def peers_report(
    ours: Mapping[str, Any], peers: Mapping[str, Sequence[TypeRows]], trial: Trial
) -> dict[str, Any]:
    """Peer → the same as of ours, and `paired`: how far ours is ahead of it, over all faults and those of each type."""
    told = {}
    for name, types in peers.items():
        figures = method_report(types, trial)
        figures["paired"] = beside(ours["faults"], figures["faults"])
        for kind, one in figures["by_type"].items():
            sides = ([row for row in of["faults"] if row["type"] == kind] for of in (ours, figures))
            one["paired"] = beside(*sides)
        told[name] = figures
    return told


def in_order(rows: Sequence[Row]) -> list[Row]:
    """However the work was shared out."""
    return sorted(rows, key=lambda row: (row["fault"], row["severity"], row["onset"], row["seed"]))


def _figures(
    trial: Trial, faults: Sequence[Row], healthy: Sequence[Row], days: float, asked_a_day: float | None
) -> dict[str, Any]:
    figures = summary(faults, sum(row["alarms"] for row in healthy), days, asked_a_day)
    if not trial.own_hours:
        return figures
    # What tells of watched devices; none where none was watched.
    settings = {"hours": trial.own_hours, "bound": trial.adaptation.bound, "unit_scale": trial.unit_scale}
    return figures | {OWN: settings | own_baseline_figures(faults, healthy, days, asked_a_day)}


def _lookalikes(kind: str, healthy: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How often each kind of look-alike came, and how many false alarms began during it or just after."""
    came = Counter(name for row in healthy for name in row["lookalikes"])
    blamed = Counter(name for row in healthy for name in row["during"])
    names = [*lookalike_specs(kind), "nothing"]
    return {name: {"events": came[name], "false_alarms": blamed[name]} for name in names}
