"""The commands. Parses, calls, prints; everything heavy is imported by the command that needs it.

`attendant --help` must answer at once, so nothing here imports torch, aiokafka or pandas at the top.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

app = typer.Typer(
    name="attendant",
    help="Watches medical devices: reads their telemetry from Kafka, finds faults, names the channels behind them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)

Number = TypeVar("Number", int, float)
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file (TOML). ATTENDANT_… variables come over it.", metavar="FILE"
    ),
]
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
TrainDevice = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
TrainPrecision = Annotated[
    str,
    typer.Option(
        "--precision", help="Of training's products: auto (bfloat16 on a GPU), float32 or bfloat16."
    ),
]
TrainWindows = Annotated[
    int | None,
    typer.Option("--windows", help="Windows drawn for each half; by default 40 000 and 80 000.", min=100),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch", help="Windows a step; by default 128, on a GPU 512.", min=8)
]


def main() -> None:
    """Entry point of the `attendant` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def fail(message: str, *details: str, code: int = 2) -> NoReturn:
    """Say what is wrong on standard error and leave with `code`."""
    typer.secho(f"attendant: {message}", fg=typer.colors.RED, err=True)
    for detail in details:
        typer.echo(f"  {detail}", err=True)
    raise typer.Exit(code)


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


@app.command()
def run(config: ConfigFile = None) -> None:
    """Run the service: telemetry in, alerts out, until it is told to stop (Ctrl-C, SIGTERM)."""
    from monitor.app import StartError, run_service

    settings = _settings(config)
    try:
        run_service(settings)
    except StartError as error:
        fail(str(error), *error.details, code=1)


@app.command("check-config")
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


@app.command()
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
    if report is not None:
        report.write_text(json.dumps(outcome, indent=2) + "\n", "utf-8")


@app.command()
def simulate(
    device_type: Annotated[str, typer.Option("--type", help="Device type; `list` shows them.")],
    devices: Annotated[int, typer.Option(help="How many devices.", min=1)] = 1,
    hours: Annotated[float, typer.Option(help="Device hours of each.", min=0.01)] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same telemetry.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Inject this fault (may be given again); `list` shows them.")
    ] = None,
    severity: Annotated[float, typer.Option(help="Of the faults, 0 to 1.", min=0, max=1)] = 0.7,
    lookalikes: LookalikeRates = "1",
    out: Annotated[
        Path | None, typer.Option(help="Write labelled recordings into this folder.", metavar="DIR")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(help="Send to this broker instead.", metavar="HOST:PORT")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic for --kafka.")] = "telemetry",
    speed: Annotated[float, typer.Option(help="Device seconds a second, for --kafka.", min=0.01)] = 1.0,
) -> None:
    """Simulated devices with faults and harmless look-alikes: as recordings, or live into Kafka."""
    from monitor.simulated import SimulateError, SimulateOptions, device_types
    from monitor.simulating import simulate_to_folder, simulate_to_kafka

    if device_type == "list":
        typer.echo("\n".join(device_types()))
        return
    rates = tuple(_numbers("--lookalikes", lookalikes, float))
    options = SimulateOptions(device_type, devices, hours, seed, tuple(fault or ()), severity, rates)
    if (out is None) == (kafka is None) and fault != ["list"]:
        fail("give either --out DIR or --kafka HOST:PORT")
    try:
        if fault == ["list"]:
            for line in options.catalogue():
                typer.echo(line)
        elif out is not None:
            simulate_to_folder(options, out)
        elif kafka is not None:
            simulate_to_kafka(options, kafka, topic, speed)
    except SimulateError as error:
        fail(str(error))


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings: Parquet or CSV.", metavar="FILE…")],
    kafka: Annotated[str, typer.Option(help="Broker to send to.", metavar="HOST:PORT")] = "127.0.0.1:9092",
    device_type: Annotated[
        str | None, typer.Option("--type", help="Device type; by default guessed from the channels.")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic.")] = "telemetry",
    speed: Annotated[
        float, typer.Option(help="1 is the recording's own rate; 0 as fast as it goes.", min=0)
    ] = 1.0,
    rate: Annotated[
        float | None, typer.Option(help="Rows a second, where the file doesn't say it.", min=0.001)
    ] = None,
) -> None:
    """Play recordings through Kafka, each as a device of its own."""
    from monitor.simulated import SimulateError
    from monitor.simulating import replay_to_kafka

    try:
        replay_to_kafka(files, kafka, topic=topic, device_type=device_type, speed=speed, rate_hz=rate)
    except SimulateError as error:
        fail(str(error))


@app.command()
def alerts(
    url: Annotated[
        str, typer.Option(help="The running service.", envvar="ATTENDANT_URL")
    ] = "http://127.0.0.1:8080",
    status: Annotated[str | None, typer.Option(help="open, acknowledged or resolved.")] = None,
    device: Annotated[str | None, typer.Option(help="Of this device only.")] = None,
    acknowledge: Annotated[
        str | None, typer.Option("--ack", help="Acknowledge this alert.", metavar="ID")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who acknowledges.")] = None,
    note: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "",
    token: Annotated[str | None, typer.Option(help="Bearer token.", envvar="ATTENDANT_TOKEN")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=500)] = 50,
    as_json: JsonOut = False,
) -> None:
    """List the alerts of a running service, or acknowledge one."""
    from monitor.client import ClientError, acknowledge_alert, list_alerts, render_alerts

    try:
        if acknowledge is not None:
            if not by:
                fail("say who acknowledges: --by NAME")
            found = [acknowledge_alert(url, token, acknowledge, by=by, note=note)]
        else:
            found = list_alerts(url, token, status=status, device=device, limit=limit)
    except ClientError as error:
        fail(str(error), code=1)
    typer.echo(json.dumps(found, indent=2) if as_json else render_alerts(found, datetime.now(UTC)))


@app.command()
def explain(
    alert: Annotated[
        str, typer.Argument(help="Id of an alert, or `last` for the newest fault.", metavar="ALERT")
    ],
    url: Annotated[
        str, typer.Option(help="The running service.", envvar="ATTENDANT_URL")
    ] = "http://127.0.0.1:8080",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture to write; alert-….png here by default.", metavar="FILE.png", dir_okay=False
        ),
    ] = None,
    token: Annotated[str | None, typer.Option(help="Bearer token.", envvar="ATTENDANT_TOKEN")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what stands behind the picture; draws it only with --out.")
    ] = False,
) -> None:
    """Draw why an alert was raised: traces with expected bands, where the model looked, what it may be."""
    from monitor.client import ClientError, explain_alert

    try:
        found, told = explain_alert(url, token, alert)
    except ClientError as error:
        fail(str(error), code=1)
    if as_json:
        typer.echo(json.dumps({"alert": found, "explanation": told}, indent=2))
        if out is None:
            return
    from monitor.picture import PictureError, draw_alert

    file = out or Path(f"alert-{found['id'][:8]}.png")
    try:
        draw_alert(found, told, file)
    except PictureError as error:
        fail(str(error), code=1)
    typer.echo(f"{found['summary']}\n{file}", err=as_json)


@app.command()
def devices(
    url: Annotated[
        str, typer.Option(help="The running service.", envvar="ATTENDANT_URL")
    ] = "http://127.0.0.1:8080",
    state: Annotated[str | None, typer.Option(help="learning, normal, alarming or silent.")] = None,
    device_type: Annotated[str | None, typer.Option("--type", help="Of this device type only.")] = None,
    maintenance: Annotated[
        str | None, typer.Option("--maintenance", help="Say that this device was serviced.", metavar="ID")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who serviced it.")] = None,
    note: Annotated[str, typer.Option(help="What was done.")] = "",
    at: Annotated[datetime | None, typer.Option(help="When, UTC; now by default.")] = None,
    rebaseline: Annotated[
        bool, typer.Option("--rebaseline", help="Learn anew what is usual for this very device.")
    ] = False,
    token: Annotated[str | None, typer.Option(help="Bearer token.", envvar="ATTENDANT_TOKEN")] = None,
    as_json: JsonOut = False,
) -> None:
    """List the devices of a running service with their states, or say that one was serviced."""
    from monitor.client import (
        ClientError,
        list_devices,
        record_maintenance,
        render_devices,
        render_maintenance,
    )

    try:
        if maintenance is not None:
            if not by:
                fail("say who serviced the device: --by NAME")
            when = None if at is None else at.replace(tzinfo=UTC)
            entry = record_maintenance(
                url, token, maintenance, by=by, note=note, at=when, rebaseline=rebaseline
            )
            typer.echo(json.dumps(entry, indent=2) if as_json else render_maintenance(entry))
            return
        found = list_devices(url, token, state=state, device_type=device_type)
    except ClientError as error:
        fail(str(error), code=1)
    typer.echo(json.dumps(found, indent=2) if as_json else render_devices(found, datetime.now(UTC)))


@app.command()
def train(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, or folders of them.", metavar="DIR|FILE…")
    ],
    device_type: Annotated[str, typer.Option("--type", help="Device type whose profile names the channels.")],
    out: Annotated[Path, typer.Option(help="Folder for the artifact.", metavar="DIR")],
    profiles: Annotated[
        list[Path] | None, typer.Option(help="Folder with your own device profiles.", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 0,
    budget: Annotated[
        float | None,
        typer.Option(
            help="False alarms a device-day that the threshold allows; one a month by default.", min=0
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="At most so many optimizer steps a part.", min=10)] = None,
    batch: BatchSize = None,
    windows: TrainWindows = None,
    device: TrainDevice = "auto",
    precision: TrainPrecision = "auto",
    model: Annotated[
        str,
        typer.Option(
            help="fleet: what settings explain, from many devices. series: how readings go together, from one "
            "recording on. auto: series for a type without settings and states.",
            metavar="auto|fleet|series",
        ),
    ] = "auto",
    as_json: JsonOut = False,
) -> None:
    """Fit a model to recordings of healthy devices and write its artifact; under `torchrun` all processes share it."""
    from monitor.workshop import ModelKind, TrainOptions, WorkshopError, train_command

    if model not in list(ModelKind):
        fail(f"--model is {model}; it is one of {', '.join(ModelKind)}")
    options = TrainOptions(seed, budget, steps, batch, windows, device, precision, kind=ModelKind(model))
    try:
        outcome = train_command(recordings, device_type, out, options, profile_folders=profiles or [])
    except WorkshopError as error:
        fail(str(error))
    if as_json and outcome:
        typer.echo(json.dumps(outcome, indent=2))


@app.command()
def zoo(
    out: Annotated[Path, typer.Option(help="Folder for the artifacts, one folder a type.", metavar="DIR")],
    types: Annotated[
        str, typer.Option(help="Device types, comma separated, or `all` that are simulated.")
    ] = "all",
    devices: Annotated[int, typer.Option(help="Simulated devices of each type.", min=4)] = 1024,
    hours: Annotated[
        float | None,
        typer.Option(help="Device hours of each; by default what the type's grid needs.", min=0.1),
    ] = None,
    lookalikes: LookalikeRates = "1,3",
    fleet_seed: Annotated[
        int, typer.Option(help="Seed of the fleets; brief runs take the next.", min=0)
    ] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the trainings.", min=0)] = 0,
    steps: Annotated[int | None, typer.Option(help="At most so many optimizer steps a part.", min=10)] = None,
    batch: BatchSize = None,
    windows: TrainWindows = None,
    jobs: Annotated[
        int | None, typer.Option(help="Types at the same time; by default one a core.", min=1)
    ] = None,
    device: TrainDevice = "auto",
    precision: TrainPrecision = "auto",
    report: ReportFile = None,
) -> None:
    """Simulate the training fleets and train the models of all device types, several at the same time."""
    from monitor.workshop import TrainOptions
    from monitor.zoo import ZooError, ZooOptions, make_zoo

    training = TrainOptions(seed, None, steps, batch, windows, device, precision)
    options = ZooOptions(
        types,
        out,
        devices,
        hours,
        tuple(_numbers("--lookalikes", lookalikes, float)),
        fleet_seed,
        jobs,
        training,
    )
    try:
        made = make_zoo(options)
    except ZooError as error:
        fail(str(error), *error.details, code=1)
    if report is not None:
        report.write_text(json.dumps(made, indent=2) + "\n", "utf-8")


@app.command()
def calibrate(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recordings of healthy devices, or folders of them.", metavar="DIR|FILE…"),
    ],
    model: Annotated[Path, typer.Option(help="Folder of the model whose weights are kept.", metavar="DIR")],
    out: Annotated[Path, typer.Option(help="Folder for the artifact.", metavar="DIR")],
    budget: Annotated[
        float | None, typer.Option(help="False alarms a device-day; by default the model's own.", min=0)
    ] = None,
    profiles: Annotated[
        list[Path] | None, typer.Option(help="Folder with your own device profiles.", metavar="DIR")
    ] = None,
    as_json: JsonOut = False,
) -> None:
    """Fit the threshold of a model to your own healthy devices; its weights stay."""
    from monitor.recalibrating import calibrate_command
    from monitor.workshop import WorkshopError

    try:
        told = calibrate_command(recordings, model, out, budget=budget, profile_folders=profiles or [])
    except WorkshopError as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps(told, indent=2))


@app.command()
def evaluate(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of labelled recordings.", metavar="DIR…")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0",
    peers: Annotated[
        bool, typer.Option("--peers", help="Run all peers beside it; `--peers pca,usad` runs these.")
    ] = False,
    vus_window: Annotated[int | None, typer.Option(help="Largest window of VUS, in rows.", min=1)] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated faults and fault-free days instead of recordings.")
    ] = False,
    types: Annotated[
        str | None, typer.Option(help="Of --simulated: these device types only, comma separated.")
    ] = None,
    severities: Annotated[
        str | None, typer.Option(help="Of --simulated: from 0 to 1, comma separated; 0.25,0.5,1 by default.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(help="Of --simulated: fault-free devices a type; 30 device-days by default.", min=0),
    ] = None,
    models: Annotated[
        list[Path] | None,
        typer.Option(help="Of --simulated: folder of models beside the shipped.", metavar="DIR"),
    ] = None,
    profiles: Annotated[
        list[Path] | None, typer.Option(help="Of --simulated: folder of device profiles.", metavar="DIR")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at work at a time.", min=1)] = 1,
    report: ReportFile = None,
) -> None:
    """Measure detection and causes: on labelled recordings (trained on `split == train`), or --simulated."""
    chosen = _numbers("--seeds", seeds, int)
    if simulated:
        if folders or peers:
            fail("--simulated takes no folders and has no peers")
        _evaluate_simulated(types, chosen, severities, devices, models or [], profiles or [], jobs, report)
        return
    if types or severities or devices is not None or models or profiles:
        fail("--types, --severities, --devices, --models and --profiles go with --simulated")
    if not folders:
        fail("name a folder of labelled recordings, or say --simulated")
    from monitor.evaluating import EvaluateError, evaluate_command, peers_asked

    try:
        places, names = peers_asked(peers, folders)
        evaluate_command(places, seeds=chosen, report=report, peers=names, vus_window=vus_window, jobs=jobs)
    except EvaluateError as error:
        fail(str(error))


def _evaluate_simulated(
    types: str | None, seeds: list[int], severities: str | None, devices: int | None, models: list[Path],
    profiles: list[Path], jobs: int, report: Path | None,
) -> None:  # fmt: skip
    from monitor.simtrial import BenchmarkError, Trial, simulated_command

    trial = Trial(seeds=tuple(seeds), devices=devices)
    if severities is not None:
        trial = replace(trial, severities=tuple(_numbers("--severities", severities, float)))
    names = [name.strip() for name in types.split(",")] if types else []
    try:
        simulated_command(
            types=names, trial=trial, models=models, profiles=profiles, report=report, jobs=jobs
        )
    except (BenchmarkError, ValueError) as error:
        fail(str(error))


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """The numbers of a comma separated list, none below zero."""
    try:
        numbers = [kind(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        fail(f"{option} takes numbers separated by commas, not {text!r}")
    return numbers


@app.command()
def bench(
    samples: Annotated[int, typer.Option(help="Samples of the throughput part.", min=1000)] = 400_000,
    devices: Annotated[int, typer.Option(help="Devices they come from.", min=1)] = 200,
    scorer: Annotated[
        bool, typer.Option("--scorer", help="Only the scorer: no broker, one thread, 12 channels, 64 rows.")
    ] = False,
    report: ReportFile = None,
) -> None:
    """Measure the road from a real broker to the score on this machine."""
    if scorer:
        from monitor.scorerbench import run_scorer_benchmark

        figures = run_scorer_benchmark()
    else:
        from monitor.benchmark import run_benchmark

        figures = run_benchmark(samples=samples, devices=devices)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def _settings(config: Path | None) -> Any:
    from monitor.settings import SettingsError, load_settings

    try:
        return load_settings(config)
    except SettingsError as error:
        fail(str(error), *error.problems)


def _check_files(settings: Any) -> None:
    """Profiles and models are files, so they can be checked without a connection."""
    from monitor.settings import SettingsError
    from streams.devices import ProfileError, load_profiles

    try:
        load_profiles(settings.models.profile_folders)
    except ProfileError as error:
        raise SettingsError(str(error.file), error.problems) from None


if __name__ == "__main__":
    main()
