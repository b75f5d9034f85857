"""What the commands share: options that several of them take, how they fail and how they report. Knows no command."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

Number = TypeVar("Number", int, float)
JsonOut = Annotated[
    bool, typer.Option("--json", help="Print JSON for a script instead of text for a person.")
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


def _in_a_folder(file: Path | None) -> Path | None:
    """A report is asked for before minutes of work: that there is no such folder is said now and not then."""
    if file is not None and not file.absolute().parent.is_dir():
        fail(f"{file}: there is no folder {file.absolute().parent}; make it, or name another file")
    return file


ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--json", help="Write the report to this file as JSON.", metavar="FILE", callback=_in_a_folder
    ),
]


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """The numbers of a comma separated list, none below zero."""
    try:
        found = [kind(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        fail(f"{option} takes numbers separated by commas, not {text!r}")
    return found


def write_report(file: Path | None, figures: Mapping[str, Any]) -> None:
    """Write what was measured as JSON, if a file was named."""
    from monitor import longrun

    try:
        longrun.write_report(file, figures)
    except longrun.ReportError as error:
        fail(str(error), code=1)
