"""Terminals whose text a test reads."""

import io

from rich.console import Console


def screen() -> Console:
    """As wide as the tables."""
    return Console(file=io.StringIO(), width=200)


def written(console: Console) -> str:
    """What stands on a `screen`."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
