"""Commands that measure: how well faults are found and named, and how fast."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ReportFile, fail, numbers, write_report

if TYPE_CHECKING:
    from monitor.simtrial import Trial


def evaluate(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of labelled recordings.", metavar="DIR…")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0",
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Run all peers beside it; `--peers pca,usad` runs these, with --simulated `--peers robust_z`.",
        ),
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
    own_baseline: Annotated[
        float | None,
        typer.Option(
            help="Of --simulated: judge every device once more after so many fault-free hours of its own; new devices "
            "and watched ones, the same runs, side by side. It is settled after 24 hours in its usual mode.",
            metavar="HOURS",
            min=0,
            max=2000,
        ),
    ] = None,
    bound: Annotated[
        float | None,
        typer.Option(
            help="Of --own-baseline: spreads by which a device may differ from its type; the service's by default.",
            min=0,
            max=3,
        ),
    ] = None,
    unit_scale: Annotated[
        float | None,
        typer.Option(
            help="Of --simulated: devices differ from each other so many times as far as usual.", min=0, max=3
        ),
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
        # What follows --peers arrives as folders, for the flag takes no value of its own.
        of_folders = {"DIR": None if peers else folders, "--budget": budget, "--vus-window": vus_window}
        if wrong := _given(of_folders):
            fail(f"--simulated takes no {' and no '.join(wrong)}: leave that out, or --simulated")
        trial = _trial(chosen, severities, devices, own_baseline, bound, unit_scale)
        beside = [str(name) for name in folders or []] if peers else None
        _evaluate_simulated(types, trial, models or [], profiles or [], jobs, report, beside)
        return
    of_simulated = {
        "--types": types, "--severities": severities, "--devices": devices, "--own-baseline": own_baseline,
        "--bound": bound, "--unit-scale": unit_scale, "--models": models, "--profiles": profiles,
    }  # fmt: skip
    if wrong := _given(of_simulated):
        fail(f"only --simulated takes {' and '.join(wrong)}: say that instead of DIR, or leave it out")
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


def _given(options: Mapping[str, object]) -> list[str]:
    """Names of those that were given, whatever to."""
    return [name for name, to in options.items() if to is not None and to is not False and to != []]


def _trial(
    seeds: list[int],
    severities: str | None,
    devices: int | None,
    own_hours: float | None,
    bound: float | None,
    unit_scale: float | None,
) -> "Trial":
    """What was not asked for is as the trial and the service have it."""
    from monitor.findings import AdaptationSettings
    from monitor.simtrial import Trial

    if bound is not None and not own_hours:
        fail("--bound goes with --own-baseline HOURS: say that, too, or leave it out")
    asked = {
        "devices": devices,
        "own_hours": own_hours,
        "unit_scale": unit_scale,
        "adaptation": None if bound is None else AdaptationSettings(bound=bound),
        "severities": None if severities is None else tuple(numbers("--severities", severities, float)),
    }
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return Trial(seeds=tuple(seeds), **given)


def _evaluate_simulated(
    types: str | None, trial: "Trial", models: list[Path], profiles: list[Path], jobs: int, report: Path | None,
    beside: list[str] | None,
) -> None:  # fmt: skip
    """`beside`: names of peers; without one all of them, and None for none."""
    from monitor.longrun import ReportError
    from monitor.simtrial import BenchmarkError, PeerError, peers_named, simulated_command

    names = [name.strip() for name in types.split(",")] if types else []
    try:
        peers = () if beside is None else peers_named(beside)
        simulated_command(
            types=names, trial=trial, models=models, profiles=profiles, report=report, jobs=jobs, peers=peers
        )
    except (BenchmarkError, PeerError, ReportError, ValueError) as error:
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
