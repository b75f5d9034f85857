"""Commands that measure: how well faults are found and named, and how fast."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import ReportFile, fail, numbers, write_report


def evaluate(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of labelled recordings.", metavar="DIR…")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0",
    peers: Annotated[
        bool, typer.Option("--peers", help="Run all peers beside it; `--peers pca,usad` runs these.")
    ] = False,
    vus_window: Annotated[int | None, typer.Option(help="Largest window of VUS, in rows.", min=1)] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="False alarms a device-day for what the service would have told; one a month by default.",
            min=1e-6,
        ),
    ] = None,
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
    chosen = numbers("--seeds", seeds, int)
    if simulated:
        if folders or peers or budget is not None:
            fail("--simulated takes no folders and no budget, and has no peers")
        _evaluate_simulated(types, chosen, severities, devices, models or [], profiles or [], jobs, report)
        return
    if types or severities or devices is not None or models or profiles:
        fail("--types, --severities, --devices, --models and --profiles go with --simulated")
    if not folders:
        fail("name a folder of labelled recordings, or say --simulated")
    from monitor.evaluating import EvaluateError, evaluate_command, peers_asked
    from monitor.longrun import ReportError

    try:
        places, names = peers_asked(peers, folders)
        evaluate_command(
            places, seeds=chosen, report=report, peers=names, vus_window=vus_window, budget=budget, jobs=jobs
        )
    except (EvaluateError, ReportError) as error:
        fail(str(error))


def _evaluate_simulated(
    types: str | None, seeds: list[int], severities: str | None, devices: int | None, models: list[Path],
    profiles: list[Path], jobs: int, report: Path | None,
) -> None:  # fmt: skip
    from monitor.longrun import ReportError
    from monitor.simtrial import BenchmarkError, Trial, simulated_command

    trial = Trial(seeds=tuple(seeds), devices=devices)
    if severities is not None:
        trial = replace(trial, severities=tuple(numbers("--severities", severities, float)))
    names = [name.strip() for name in types.split(",")] if types else []
    try:
        simulated_command(
            types=names, trial=trial, models=models, profiles=profiles, report=report, jobs=jobs
        )
    except (BenchmarkError, ReportError, ValueError) as error:
        fail(str(error))


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
    write_report(report, figures)
