"""The commands of `attendant`, each in the file named for what it is about. They parse, call and print.

`attendant --help` must answer at once, so no file here imports anything heavy (torch, aiokafka, pandas) at its top:
everything heavy is imported by the command that needs it.
"""

import sys
from typing import Annotated

import typer

from monitor.cli import fleet, measuring, models, recordings, service

COMMANDS = (
    service.run,
    service.check_config,
    service.demo,
    recordings.simulate,
    recordings.replay,
    fleet.alerts,
    fleet.explain,
    fleet.devices,
    models.train,
    models.zoo,
    models.calibrate,
    measuring.evaluate,
    measuring.bench,
)
"""In the order in which `--help` lists them."""

app = typer.Typer(
    name="attendant",
    help="Watches medical devices: reads their telemetry from Kafka, finds faults, names the channels behind them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
for _command in COMMANDS:
    app.command()(_command)


def main() -> None:
    """Entry point of the `attendant` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def version(value: bool) -> None:
    if value:
        from monitor import __version__

        typer.echo(f"attendant {__version__}")
        raise typer.Exit


@app.callback()
def attendant(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Watches medical devices, not patients. Start with `attendant demo`."""
