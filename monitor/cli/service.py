"""Commands that run the service, check its settings, or show all of it at work on this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import JsonOut, ReportFile, fail, write_report

if TYPE_CHECKING:
    from monitor.settings import Settings

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file (TOML). ATTENDANT_… variables come over it.", metavar="FILE"
    ),
]


def run(config: ConfigFile = None) -> None:
    """Run the service: telemetry in, alerts out, until it is told to stop (Ctrl-C, SIGTERM)."""
    from monitor.app import StartError, run_service

    settings = _settings(config)
    try:
        run_service(settings)
    except StartError as error:
        fail(str(error), *error.details, code=1)


def check_config(config: ConfigFile = None, as_json: JsonOut = False) -> None:
    """Check a settings file: reports every error at once, opens no connection. Exit 0 if good, 2 if not."""
    from monitor.settings import SettingsError, load_settings

    try:
        settings = load_settings(config)
        _check_files(settings)
    except SettingsError as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "source": error.source, "problems": error.problems}))
            raise typer.Exit(2) from None
        fail(str(error), *error.problems)
    if as_json:
        typer.echo(json.dumps({"ok": True, "settings": settings.model_dump(mode="json")}))
    else:
        typer.secho(f"{config or 'environment'}: good", fg=typer.colors.GREEN)


def demo(
    duration: Annotated[
        float | None, typer.Option(help="Seconds to run; without it until Ctrl-C.", min=10)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated fleet.")] = 0,
    recording: Annotated[
        str | None,
        typer.Option(
            help="Play a real ventilator recording instead: the name of a shipped one (leak, disconnect, …) or a file.",
            metavar="NAME|FILE",
        ),
    ] = None,
    speed: Annotated[float | None, typer.Option(help="Device seconds a second.", min=0.1, max=1000)] = None,
    port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 8080,
    report: ReportFile = None,
) -> None:
    """See it work: broker, simulated fleet with faults, the service and a webhook receiver, all on this machine."""
    from monitor.demo import DemoError, DemoOptions, run_demo

    options = DemoOptions(duration_s=duration, seed=seed, recording=recording, speed=speed, port=port)
    try:
        outcome = run_demo(options)
    except DemoError as error:
        fail(str(error), code=1)
    write_report(report, outcome)


def _settings(config: Path | None) -> "Settings":
    from monitor.settings import SettingsError, load_settings

    try:
        return load_settings(config)
    except SettingsError as error:
        fail(str(error), *error.problems)


def _check_files(settings: "Settings") -> None:
    """Profiles and models are files, so they can be checked without a connection, and on a machine without the GPU."""
    from monitor.settings import SettingsError
    from streams.devices import ProfileError, load_profiles

    try:
        load_profiles(settings.models.profile_folders)
    except ProfileError as error:
        raise SettingsError(str(error.file), error.problems) from None
    # The shipped models alone are tested, and torch takes seconds to be imported.
    if settings.models.folders:
        from monitor.app import StartError, load_models

        try:
            load_models(settings.models.model_copy(update={"device": "cpu"}))
        except StartError as error:
            raise SettingsError("models.folders", [": ".join([str(error), *error.details])]) from None
