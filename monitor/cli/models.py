"""Commands that make models: train one, train those that are shipped, fit a threshold anew."""

import json
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import JsonOut, LookalikeRates, ReportFile, fail, numbers, write_report

ProfileFolders = Annotated[
    list[Path] | None, typer.Option(help="Folder with your own device profiles.", metavar="DIR")
]
TrainSteps = Annotated[int | None, typer.Option(help="At most so many optimizer steps a part.", min=10)]
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


def train(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, or folders of them.", metavar="DIR|FILE…")
    ],
    device_type: Annotated[str, typer.Option("--type", help="Device type whose profile names the channels.")],
    out: Annotated[Path, typer.Option(help="Folder for the artifact.", metavar="DIR")],
    profiles: ProfileFolders = None,
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 0,
    budget: Annotated[
        float | None,
        typer.Option(
            help="False alarms a device-day that the threshold allows; one a month by default.", min=0
        ),
    ] = None,
    steps: TrainSteps = None,
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
    steps: TrainSteps = None,
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
        tuple(numbers("--lookalikes", lookalikes, float)),
        fleet_seed,
        jobs,
        training,
    )
    try:
        made = make_zoo(options)
    except ZooError as error:
        fail(str(error), *error.details, code=1)
    write_report(report, made)


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
    profiles: ProfileFolders = None,
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
