"""`attendant zoo`: a simulated fleet of every device type → the artifacts that ship, several types at the same time.

Each type is made in a process of its own, from the first simulated second to the written artifact, so nothing has to be
handed over; on a GPU the processes share it, and while one computes another prepares. Knows no broker.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import Manager, get_context
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.artifacts import ArtifactError
from models.training import Progress as Step
from models.training import Series, computing
from monitor.simulated import SimulateOptions, to_recording
from monitor.workshop import STEPS, TrainOptions, WorkshopError, series_of, train_series
from streams.devices import DeviceProfile, load_profiles
from streams.simulation import BENCHMARK_SEEDS, DEVICE_TYPES, observe
from streams.simulation.device import machine_of

START_MS = 1_790_000_000_000
"""Where device time begins: the same fleet whenever it is made."""
FLEET_SEED = 100
"""Of the fleets that the shipped models were trained on; their brief runs take the next."""
ROWS_A_DEVICE = 2160
"""Rows of the grid that a device of a training fleet sends: three hours at one row in five seconds. A device read
once a minute needs as many windows, not as many hours."""
LOOKALIKES = (1.0, 3.0)
"""Harmless events of a training fleet, times as often as usual: half the devices live as on the wards, with the long
quiet stretches that a threshold must know as well, and half see more, so that the rare ones are learnt."""
ROUNDS = 1.25
"""Rounds of its use that a device of a training fleet runs, where it goes in rounds: begun in the middle of one, it
must come well into the next, or what lies between two of them is hardly seen."""
BRIEF = 3
"""Beside the fleet as many other devices give a third of their hours, cut from anywhere, and teach what is normal,
which takes many devices and not long ones, and every part of their day."""
EVERY = 8
"""Devices between two words about the simulation's progress."""


class ZooError(Exception):
    """Types that could not be made; `details` has a line for each."""

    def __init__(self, message: str, *details: str) -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True, slots=True)
class ZooOptions:
    """What was asked for on the command line."""

    types: str
    """Comma separated, or `all`."""
    out: Path
    devices: int = 1024
    """Of each type. Fewer are known by heart: the limits of their models come out far higher on new devices."""
    hours: float | None = None
    lookalikes: tuple[float, ...] = LOOKALIKES
    """Times as often as usual, device by device in turn."""
    fleet_seed: int = FLEET_SEED
    """Of the fleet; the brief runs take the next."""
    jobs: int | None = None
    training: TrainOptions = field(default_factory=TrainOptions)

    def plans(self) -> list["TypePlan"]:
        """What to make, type by type.

        Raises:
            ZooError: an unknown type, or a seed of the benchmark's.
        """
        wanted = DEVICE_TYPES if self.types == "all" else tuple(t.strip() for t in self.types.split(","))
        unknown = [t for t in wanted if t not in DEVICE_TYPES]
        if unknown:
            raise ZooError(f"no simulated type {', '.join(unknown)}; there are {', '.join(DEVICE_TYPES)}")
        if self.fleet_seed + 1 >= BENCHMARK_SEEDS.start:
            raise ZooError(
                f"fleet seed {self.fleet_seed}: seeds from {BENCHMARK_SEEDS.start} on are the benchmark's, "
                "which must not know the fleets that models were trained on"
            )
        jobs = self.workers(len(wanted))
        threads = max(1, (os.cpu_count() or 1) // jobs)
        return [self._plan(t, replace(self.training, threads=threads)) for t in dict.fromkeys(wanted)]

    def workers(self, types: int) -> int:
        """Processes for so many types."""
        return min(types, self.jobs or os.cpu_count() or 1)

    def _plan(self, device_type: str, training: TrainOptions) -> "TypePlan":
        hours = fleet_hours(load_profiles()[device_type]) if self.hours is None else self.hours
        fleet = SimulateOptions(device_type, self.devices, hours, self.fleet_seed, (), 0.0, self.lookalikes)
        brief = replace(fleet, seed=self.fleet_seed + 1)
        return TypePlan(fleet, brief, self.out / device_type, training)


@dataclass(frozen=True, slots=True)
class TypePlan:
    """One type: its fleet and the runs that brief ones are cut from, where its artifact goes, how it is trained."""

    fleet: SimulateOptions
    brief: SimulateOptions
    out: Path
    training: TrainOptions


def fleet_hours(profile: DeviceProfile) -> float:
    """Hours that a device of a training fleet runs: enough rows, half of what its benchmark runs without a fault, for
    every usual interruption to come by, and more than a round of its use."""
    machine = machine_of(profile.type)
    rows_h: float = ROWS_A_DEVICE * profile.grid_ms / 3_600_000
    return max(rows_h, machine.healthy_hours / 2, ROUNDS * machine.cycle_hours)


Tell = Callable[[Step], None]


def make_zoo(options: ZooOptions, console: Console | None = None) -> dict[str, Any]:
    """Make every type and show a table of where the seconds went.

    Returns:
        JSON-able: per type what `make_type` answers, and the seconds of the whole.

    Raises:
        ZooError: unknown types, or some that failed after the others were made.
    """
    plans, console = options.plans(), console or Console(stderr=True)
    begun = time.perf_counter()
    with Progress(
        TextColumn("{task.description:24}"), BarColumn(), TextColumn("{task.fields[doing]}"), TimeElapsedColumn(),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        made, failed = _make_all(plans, options.workers(len(plans)), _Shown(progress, plans))
    total_s = time.perf_counter() - begun
    console.print(_table(made, total_s))
    if failed:
        raise ZooError(f"{len(failed)} of {len(plans)} types could not be made", *failed)
    return {"seconds": round(total_s, 1), "types": made}


class _Shown:
    """A line a type."""

    def __init__(self, progress: Progress, plans: Sequence[TypePlan]) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {
            plan.fleet.device_type: progress.add_task(plan.fleet.device_type, total=1, doing="waits")
            for plan in plans
        }

    def __call__(self, device_type: str, step: Step) -> None:
        doing = STEPS.get(step.step, step.step)
        self._progress.update(
            self._tasks[device_type], completed=step.done, total=step.total, doing=f"{doing} {step.loss:.4f}"
        )


def _make_all(
    plans: Sequence[TypePlan], workers: int, show: Callable[[str, Step], None]
) -> tuple[dict[str, Any], list[str]]:
    """What every type came to, and a line for each that failed; one that fails does not stop the others."""
    made: dict[str, Any] = {}
    failed: list[str] = []
    with (
        Manager() as manager,
        # Spawned: a GPU's context does not survive a fork.
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        told: Queue[tuple[str, Step]] = manager.Queue()
        running: dict[Future[dict[str, Any]], str] = {
            pool.submit(make_type, plan, told): plan.fleet.device_type for plan in plans
        }
        while running:
            done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for device_type, step in _drained(told):
                show(device_type, step)
            for future in done:
                _collect(running.pop(future), future, made, failed)
    return {t: made[t] for t in (p.fleet.device_type for p in plans) if t in made}, failed


def _collect(
    device_type: str, future: Future[dict[str, Any]], made: dict[str, Any], failed: list[str]
) -> None:  # fmt: skip
    try:
        made[device_type] = future.result()
    except BrokenProcessPool:
        failed.append(f"{device_type}: its process was killed; fewer --jobs need less memory")
    except (ArtifactError, WorkshopError, ValueError, OSError) as error:
        failed.append(f"{device_type}: {error}")


def _drained(told: "Queue[tuple[str, Step]]") -> Iterator[tuple[str, Step]]:
    while True:
        try:
            yield told.get_nowait()
        except Empty:
            return


def make_type(plan: TypePlan, told: "Queue[tuple[str, Step]] | None" = None) -> dict[str, Any]:
    """Simulate one type's fleet, train on it and write the artifact; `told` hears the progress.

    Returns:
        JSON-able: digest, metrics, what the fleet was, and the seconds of each part.
    """
    begun, device_type = time.perf_counter(), plan.fleet.device_type

    def tell(step: Step) -> None:
        if told is not None:
            told.put((device_type, step))

    profile = load_profiles()[device_type]
    with computing(plan.training.device, plan.training.precision, plan.training.threads) as compute:
        series = simulated_series(plan.fleet, profile, tell)
        brief = simulated_series(plan.brief, profile, tell, 1 / BRIEF)
        simulated_s = time.perf_counter() - begun
        fleet = {
            "simulator_seed": plan.fleet.seed, "devices": plan.fleet.devices, "hours": plan.fleet.hours,
            "lookalikes": list(plan.fleet.lookalikes),
            "brief": {
                "simulator_seed": plan.brief.seed, "devices": plan.brief.devices, "hours": plan.brief.hours / BRIEF,
                "cut_from_hours": plan.brief.hours,
            },
        }  # fmt: skip
        manifest = train_series(
            series, profile, plan.out, plan.training, compute, tell, {"fleet": fleet}, brief
        )
    seconds = {"simulation": round(simulated_s, 2), **manifest.training["seconds"]}
    seconds["total"] = round(time.perf_counter() - begun, 2)
    computed = {name: manifest.training[name] for name in ("device", "precision", "batch")}
    return {
        "digest": manifest.weights_digest, **computed, "fleet": fleet, "seconds": seconds, "metrics": manifest.metrics,
    }  # fmt: skip


def simulated_series(
    fleet: SimulateOptions, profile: DeviceProfile, tell: Tell, part: float = 1.0
) -> list[Series]:  # fmt: skip
    """The fleet's rows on the profile's grid, as they would have arrived; of each device a `part` in one piece."""
    series: list[Series] = []
    for run in fleet.runs(START_MS):
        whole = series_of(to_recording(run, observe(run, fleet.seed)), profile)
        series.append(_cut(whole, part, np.random.default_rng([fleet.seed, len(series)])))
        if len(series) % EVERY == 0 or len(series) == fleet.devices:
            tell(Step("simulation", len(series), fleet.devices, 0.0))
    return series


def _cut(series: Series, part: float, rng: np.random.Generator) -> Series:
    """A copy of so large a part of the rows, from anywhere."""
    rows = round(part * len(series.values))
    first = int(rng.integers(len(series.values) - rows + 1))
    piece = slice(first, first + rows)
    return Series(series.device, series.values[piece].copy(), series.mask[piece].copy())


def _table(made: dict[str, Any], total_s: float) -> Table:
    parts = ("simulation", "normal", "evidence", "threshold", "total")
    table = Table(title=f"{len(made)} types in {total_s:.0f} s")
    table.add_column("type")
    for heading in ("hours", *(f"{part} s" for part in parts), "injected top-1", "trained on"):
        table.add_column(heading, justify="right")
    for device_type, one in made.items():
        table.add_row(
            device_type,
            f"{one['fleet']['hours']:g}",
            *(f"{one['seconds'][part]:.1f}" for part in parts),
            f"{one['metrics']['injected_top1']:.3f}",
            f"{one['device']} {one['precision']} ×{one['batch']}",
        )
    return table
