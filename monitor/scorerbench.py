"""`attendant bench --scorer`: the speed of the scorer alone, as a table. Knows no broker; `models.speed` measures."""

from typing import Any

from rich.console import Console
from rich.table import Table

from models.speed import measure

MODELS = {"batch": "attention", "series": "series, a new row each"}
"""Figures of `models.speed.measure` → what they are called."""


def run_scorer_benchmark(console: Console | None = None) -> dict[str, Any]:
    """Measure, print the table, and answer with the figures (JSON-able)."""
    with Console(stderr=True).status("scoring synthetic windows"):
        figures = measure()
    table = Table(title=f"{figures['channels']} channels, {figures['rows']} rows, one thread, share included")
    for heading in (
        "model",
        "batch",
        "windows/s",
        "best",
        "a CPU second",
        "µs a window",
        "of a plain autoencoder",
    ):
        table.add_column(heading, justify="right")
    rows = [(told, *one) for name, told in MODELS.items() for one in figures[name].items()]
    for model, batch, pair in rows:
        table.add_row(
            model, batch, f"{pair['windows_per_s']:,.0f}", f"{pair['best_windows_per_s']:,.0f}",
            f"{pair['windows_per_cpu_s']:,.0f}", f"{pair['us_per_window']:.1f}", f"{pair['ratio']:.3f}",
        )  # fmt: skip
    (console or Console()).print(table)
    return figures
