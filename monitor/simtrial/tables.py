"""The benchmark's report → tables for a person. Measures nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from monitor.longrun import blank_table
from monitor.simtrial.pairs import OWN

OURS = "attendant"
FAULT_COLUMNS = {
    "detected": "detected", "top1": "top-1", "top3": "top-3", "hypothesis_top1": "fault named",
    "deletion_top1": "deletion",
}  # fmt: skip


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Faults, times and false alarms by device type; what was missed; what was not tried.

    Fault named: the right hypothesis first. Deletion: hiding the top channel calms the episode more than any other.
    Before own: part of the alerts that came before the device's own alarm, where it had one.
    """
    types = {**report["by_type"], "all": report} if len(report["by_type"]) > 1 else report["by_type"]
    _rates(console, types)
    _times(console, types)
    if OWN in report:
        _pairs(console, types)
    if "peers" in report:
        _beside(console, report, list(types))
        _leads(console, report)
    for kind, figures in report["by_type"].items():
        missed = [name for name, one in figures["by_fault"].items() if one["detected"] < 1]
        if missed:
            told = ", ".join(f"{name.split('/')[1]} {_hits(figures['by_fault'][name])}" for name in missed)
            console.print(f"{kind}: not always found: {told}", highlight=False)
    for one in report["skipped"]:
        console.print(f"[yellow]left out[/] {one['type']}: {one['why']}", highlight=False)


def _hits(figures: Mapping[str, Any]) -> str:
    hits, of = figures["counts"]["detected"]
    return f"{hits}/{of}"


def _rates(console: Console, types: Mapping[str, Mapping[str, Any]]) -> None:
    table = blank_table("simulated faults of severity 0.5 or more; rates with their 95 % intervals", "type")
    for heading in ("faults", *FAULT_COLUMNS.values()):
        table.add_column(heading, justify="right")
    for kind, figures in types.items():
        cells = [_rate(figures[name], figures["intervals"][name]) for name in FAULT_COLUMNS]
        table.add_row(kind, str(figures["counts"]["detected"][1]), *cells)
    console.print(table)


def _times(console: Console, types: Mapping[str, Mapping[str, Any]]) -> None:
    table = blank_table("medians of the times; false alarms on fault-free devices, a device-month", "type")
    for heading in ("delay, s", "lead, s", "before own", "days", "alarms", "a month", "asked"):
        table.add_column(heading, justify="right")
    for kind, figures in types.items():
        table.add_row(
            kind, _number(figures["delay_s"]), _number(figures["lead_time_s"]),
            _rate(figures["before_device_alarm"], None), _number(figures["device_days"]),
            str(figures["false_alarms"]),
            _rate(
                figures["false_alarms_per_device_month"], figures["false_alarms_per_device_month_interval"]
            ),
            _rate(figures["asked_false_alarms_per_device_month"], None),
        )  # fmt: skip
    console.print(table)


def _pairs(console: Console, types: Mapping[str, Mapping[str, Any]]) -> None:
    """Each first as new, below it watched before.

    Later: the mean over the pairs in which both found the fault, of which some came earlier (-) and some later (+).
    Bias: the median over devices of their largest.
    """
    hours = next(iter(types.values()))[OWN]["hours"]
    title = f"as new; below it, the same runs after {hours:,.0f} hours of its own"
    table = blank_table(title, "type")
    headings = (
        "detected", "top-1", "delay, s", "lead, s", "alarms", "later, s", "pairs", "bias",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for kind, figures in types.items():
        own, pairs = figures[OWN], figures[OWN]["paired"]
        delay, bias = pairs["delay_s"], pairs["own_bias"]
        table.add_row(
            kind,
            *(f"{_rate(figures[name], None)}\n{_rate(own[name], None)}" for name in ("detected", "top1")),
            *(f"{_number(figures[name])}\n{_number(own[name])}" for name in ("delay_s", "lead_time_s")),
            "\n".join(map(str, pairs["false_alarms"])),
            _mean(delay["mean"], delay["interval"]), f"-{delay['less']} +{delay['more']}\nof {delay['of']}",
            "–" if bias is None else f"{bias['median']:.2f}",
        )  # fmt: skip
    console.print(table)


def _beside(console: Console, report: Mapping[str, Any], kinds: Sequence[str]) -> None:
    """Every method on every type, ours first."""
    title = "beside other methods: the same runs, the same false alarms asked for"
    table = blank_table(title, "type, method")
    for heading in ("found", "top-1", "top-3", "delay, s", "lead, s", "alarms a month"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in kinds:
        table.add_row(kind, style="bold")
        for method, of in {OURS: report, **report["peers"]}.items():
            table.add_row(f"  {method}", *_method_cells(of["by_type"].get(kind, of)))
    console.print(table)


def _method_cells(figures: Mapping[str, Any]) -> list[str]:
    month = figures["false_alarms_per_device_month"]
    interval = figures["false_alarms_per_device_month_interval"]
    return [
        *(_rate(figures[name], None) for name in ("detected", "top1", "top3")),
        _number(figures["delay_s"]),
        _number(figures["lead_time_s"]),
        _rate(month, interval).replace("\n", " "),
    ]


def _leads(console: Console, report: Mapping[str, Any]) -> None:
    """Found: over all faults; the true channel first and the mean delay: over those that both found."""
    table = blank_table(f"{OURS} less each of them over the same faults, 95 % interval", "less")
    for heading in ("found", "top-1", "delay, s", "both"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, figures in report["peers"].items():
        paired = figures["paired"]
        found, named, delay = (paired[one] for one in ("detected", "top1", "delay_s"))
        table.add_row(
            name, _lead(found, 2), _lead(named, 2), _lead(delay, 0), str(delay["of"] if delay else 0)
        )
    console.print(table)


def _lead(told: Mapping[str, Any] | None, digits: int) -> str:
    if told is None:
        return "–"
    low, high = told["interval"]
    return f"{told['difference']:+,.{digits}f}\n[{low:+,.{digits}f}, {high:+,.{digits}f}]"


def _mean(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:+.1f}\n[{interval[0]:+.0f} – {interval[1]:+.0f}]"


def _rate(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "–"
    return (
        f"{value:.2f}" if interval is None else f"{value:.2f}\n[{_bound(interval[0])}–{_bound(interval[1])}]"
    )


def _bound(value: float) -> str:
    """Short, so that five intervals stand beside each other on a narrow screen."""
    return f"{value:.2f}".removeprefix("0") if value < 1 else f"{value:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
