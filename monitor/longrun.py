"""What commands that measure for minutes share: bar, processes, tables, and the report as a file. Measures nothing."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_SPEED_OVER_S = 86_400.0
"""A piece of the work may take minutes; the speed is that of the whole run."""


class ReportError(Exception):
    """A report that cannot be written, in one line: the file, what is wrong, and how to mend it."""


def bar(console: Console) -> Progress:
    """How far it is, and how long it still takes; gone when it is done."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, speed_estimate_period=_SPEED_OVER_S)


def blank_table(title: str, first: str) -> Table:
    """Of figures, without any yet; `first` heads the column that names the rows."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column(first, no_wrap=True)
    return table


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes: a forked torch may hang. What is not begun is dropped when one fails."""
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def write_report(file: Path | None, content: Mapping[str, Any]) -> None:
    """Write what was measured as JSON, if a file was named.

    Raises:
        ReportError: it cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise ReportError(
            f"{file}: cannot be written: {error.strerror}; name a file in a folder that is there"
        ) from None
