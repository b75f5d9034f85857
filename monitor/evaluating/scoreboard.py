"""Measured series → averages, comparisons and tables for a person. Measures nothing itself."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from models.evaluation import CAUSES, DETECTION, paired_bootstrap
from monitor.longrun import blank_table

OURS = "attendant"
AT_BUDGET = "_at_budget"
"""Ends the name of a method that is another's scores with the threshold and the alarm rule of the service, for a budget
of false alarms. It is compared with nobody: a threshold for another purpose is no better and no worse."""
FIGURES = (*DETECTION, *CAUSES)
COMPARED = ("vus_pr", "f1_own", "segment_hit_100", "top1")
"""Figures that are compared with every peer's, series by series."""
Row = Mapping[str, Any]

RANKING_COLUMNS = {
    "vus_pr": "VUS-PR", "vus_roc": "VUS-ROC", "auc_pr": "AUC-PR", "best_f1": "best F1", "event_f1": "event F1",
    "pa_f1_inflated": "PA-F1 (inflated)",
}  # fmt: skip
OWN_COLUMNS = {
    "f1_own": "F1 own", "events_found": "events found", "normal_rows_alarming": "normal rows alarming",
    "alarms_per_day": "alarms a day", "alarms_before_fault": "alarms before the fault", "detection_delay_s": "delay, s",
}  # fmt: skip
CAUSE_COLUMNS = {
    "row_hit_100": "row hit @100", "row_hit_150": "row hit @150", "segment_hit_100": "hit @100",
    "segment_hit_150": "hit @150", "segment_ndcg_100": "NDCG @100", "top1": "top-1", "top3": "top-3",
}  # fmt: skip
SERIES_COLUMNS = {
    "vus_pr": "VUS-PR", "f1_own": "F1 own", "normal_rows_alarming": "normal rows alarming",
    "alarms_per_day": "alarms a day", "top1": "top-1",
}  # fmt: skip


def averages(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Set → method → figure: the mean over series and seeds that have the figure, None where none has."""
    kept: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        kept.setdefault(row["set"], {}).setdefault(row["method"], []).append(row)
    return {
        name: {method: {figure: _mean(of, figure) for figure in FIGURES} for method, of in methods.items()}
        for name, methods in kept.items()
    }


def overall(rows: Sequence[Row]) -> dict[str, dict[str, float | None]]:
    """Method → figure: the mean of the sets' means, where every set that tells ours tells the method's."""
    sets = averages(rows)
    methods = list(dict.fromkeys(method for of in sets.values() for method in of))
    return {method: {figure: _over_sets(sets, method, figure) for figure in FIGURES} for method in methods}


def _over_sets(
    sets: Mapping[str, Mapping[str, Mapping[str, float | None]]], method: str, figure: str
) -> float | None:
    wanted = [of for of in sets.values() if of.get(OURS, {}).get(figure) is not None]
    told = [value for of in wanted if (value := of.get(method, {}).get(figure)) is not None]
    return statistics.fmean(told) if told and len(told) == len(wanted) else None


def seed_by_seed(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Set → seed → figure: ours, mean over the series."""
    kept: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row["method"] == OURS:
            kept.setdefault(row["set"], {}).setdefault(str(row["seed"]), []).append(row)
    return {
        name: {seed: {figure: _mean(of, figure) for figure in FIGURES} for seed, of in seeds.items()}
        for name, seeds in kept.items()
    }


def _mean(rows: Sequence[Row], figure: str) -> float | None:
    told = [row[figure] for row in rows if row.get(figure) is not None]
    return statistics.fmean(told) if told else None


def comparisons(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Set (and `all`) → method → figure: how much ours is above it, with the interval over series."""
    sets = sorted({row["set"] for row in rows})
    return {name: _against([row for row in rows if name in ("all", row["set"])]) for name in [*sets, "all"]}


def _against(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    told = dict.fromkeys(row["method"] for row in rows)
    methods = [method for method in told if method != OURS and not method.endswith(AT_BUDGET)]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for method in methods:
        for figure in COMPARED:
            ours, theirs = _by_series(rows, OURS, figure), _by_series(rows, method, figure)
            both = sorted(ours.keys() & theirs.keys())
            if both:
                interval = paired_bootstrap([ours[one] for one in both], [theirs[one] for one in both])
                found.setdefault(method, {})[figure] = interval._asdict()
    return found


def _by_series(rows: Sequence[Row], method: str, figure: str) -> dict[tuple[str, str], float]:
    """Mean over the seeds."""
    told: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["method"] == method and row.get(figure) is not None:
            told.setdefault((row["set"], row["series"]), []).append(row[figure])
    return {series: statistics.fmean(values) for series, values in told.items()}


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Tables of every set, series by series and over all sets, the intervals, and what was left out."""
    for name, methods in report["sets"].items():
        ours = [row for row in report["series"] if row["set"] == name and row["method"] == OURS]
        series, seeds = len({row["series"] for row in ours}), len({row["seed"] for row in ours})
        title = f"{name}: mean over {series} series, {seeds} seed{'s' * (seeds != 1)}"
        _tables(console, title, methods)
        if series > 1 or seeds > 1:
            _series_table(console, f"{name}: {OURS}, series by series", ours)
    if len(report["sets"]) > 1 and report.get("mean_of_sets"):
        _tables(console, f"mean of {len(report['sets'])} sets", report["mean_of_sets"])
    if report.get("comparisons", {}).get("all"):
        _intervals(console, report["comparisons"]["all"])
    for note in report.get("notes", ()):
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False)
    for one in report["skipped"]:
        console.print(f"[yellow]left out[/] {one['set']}/{one['series']}: {one['why']}", highlight=False)


def _tables(console: Console, title: str, methods: Mapping[str, Mapping[str, Any]]) -> None:
    _table(console, f"{title} – detection at any threshold", methods, RANKING_COLUMNS)
    _table(console, f"{title} – at the method's own threshold", methods, OWN_COLUMNS)
    _table(console, f"{title} – causes", methods, CAUSE_COLUMNS)


def _series_table(console: Console, title: str, ours: Sequence[Row]) -> None:
    """Mean over the seeds; of the figure that is looked at most, every seed."""
    table = blank_table(title, "series")
    for heading in (*SERIES_COLUMNS.values(), "VUS-PR, each seed"):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(row["series"] for row in ours):
        rows = [row for row in ours if row["series"] == name]
        seeds = " ".join(_cell(row.get("vus_pr")) for row in rows)
        table.add_row(name, *(_cell(_mean(rows, figure)) for figure in SERIES_COLUMNS), seeds)
    console.print(table)


def _table(
    console: Console, title: str, methods: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]
) -> None:
    rows = {name: [of[figure] for figure in columns] for name, of in methods.items()}
    rows = {name: cells for name, cells in rows.items() if any(cell is not None for cell in cells)}
    if not rows:
        return
    table = blank_table(title, "method")
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for name in sorted(rows, key=lambda name: not name.startswith(OURS)):
        table.add_row(name, *map(_cell, rows[name]), style="bold" if name == OURS else None)
    console.print(table)


def _cell(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def _intervals(console: Console, methods: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    table = blank_table("attendant's lead over all series, 95 % interval", "against")
    for figure in COMPARED:
        table.add_column({**RANKING_COLUMNS, **OWN_COLUMNS, **CAUSE_COLUMNS}[figure], justify="right")
    for method, figures in methods.items():
        table.add_row(method, *(_interval(figures.get(figure)) for figure in COMPARED))
    console.print(table)


def _interval(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "–"
    return f"{interval['difference']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
