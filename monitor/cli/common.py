"""What the commands share: options that several of them take, how they fail and how they report. Knows no command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

Number = TypeVar("Number", int, float)
JsonOut = Annotated[
    bool, typer.Option("--json", help="Print JSON for a script instead of text for a person.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--json", help="Write the report to this file as JSON.", metavar="FILE")
]
LookalikeRates = Annotated[
    str,
    typer.Option(
        "--lookalikes", help="Harmless events, times as often as usual; `1,3`: device by device in turn."
    ),
]


def fail(message: str, *details: str, code: int = 2) -> NoReturn:
    """Say what is wrong on standard error and leave with `code`."""
    typer.secho(f"attendant: {message}", fg=typer.colors.RED, err=True)
    for detail in details:
        typer.echo(f"  {detail}", err=True)
    raise typer.Exit(code)


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """The numbers of a comma separated list, none below zero."""
    try:
        found = [kind(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        fail(f"{option} takes numbers separated by commas, not {text!r}")
    return found


def write_report(file: Path | None, figures: object) -> None:
    """Write what was measured as JSON, if a file was named."""
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
