"""`attendant train`: recordings of healthy devices → a trained artifact. The glue between files and the model.

Rows are put on the profile's grid exactly as the service does it, so that the model learns what it will see.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.artifacts import ArtifactError, Manifest, save_artifact
from models.preparation import ChannelSpec
from models.series import TooShortError
from models.series.artifacts import save_series
from models.series.learning import fit_series
from models.training import Compute, Series, Trained, TrainingConfig, computing, train
from models.training import Progress as Step
from monitor.rhythms import RhythmError, cyclic_channel, train_rhythm
from streams.alignment import to_grid
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.recordings import Recording, RecordingError, find_recordings, read_recording

DEFAULT_VERSION = "1"
FEW_DEVICES = 32
"""Fewer teach a fleet's model little of how devices differ (`models/LOG.md`): 8 pumps made 114 false alarms a month."""
COLUMNS = (
    TextColumn("{task.description:28}"),
    BarColumn(),
    TextColumn("{task.fields[loss]}"),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)
STEPS = {
    "normal": "learning healthy devices",
    "usual": "learning usual deviations",
    "evidence": "attention on injected faults",
    "threshold": "fitting the threshold",
}


class ModelKind(StrEnum):
    """What a model of levels is learnt as."""

    AUTO = "auto"
    """As a fleet where the profile has settings or states, else as a series."""
    FLEET = "fleet"
    """What settings and states explain, from many devices: the class of the shipped models."""
    SERIES = "series"
    """How the readings of a device go together, from one recording on; the class that bare recordings are evaluated
    with. What a setting changes is unusual to it until a recording has shown it."""


class WorkshopError(Exception):
    """Recordings, a profile or a model that training cannot use; one readable line."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How to train, as on the command line; None leaves it to the defaults."""

    seed: int = 0
    budget: float | None = None
    """False alarms a device-day."""
    steps: int | None = None
    batch: int | None = None
    """Windows a step over all processes; the default suits the kind of device."""
    windows: int | None = None
    """Windows drawn for each half of the training."""
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    version: str = DEFAULT_VERSION
    kind: ModelKind = ModelKind.AUTO

    def config(self, profile: DeviceProfile, compute: Compute) -> TrainingConfig:
        """The defaults, with what was asked for."""
        defaults = TrainingConfig()
        return TrainingConfig(
            seed=self.seed,
            budget=defaults.budget if self.budget is None else self.budget,
            steps=self.steps or defaults.steps,
            expectation_steps=min(self.steps or defaults.expectation_steps, defaults.expectation_steps),
            evidence_steps=self.steps or defaults.evidence_steps,
            batch=self.batch or compute.batch,
            windows=self.windows or defaults.windows,
            evidence_windows=self.windows or defaults.evidence_windows,
            min_rows=profile.min_rows,
        )


def train_command(
    paths: Sequence[Path],
    device_type: str,
    out: Path,
    options: TrainOptions | None = None,
    *,
    profile_folders: Sequence[Path] = (),
    console: Console | None = None,
) -> dict[str, Any]:
    """Train, write the artifact into `out`, and answer with what the manifest says.

    Started by `torchrun`, its processes train one model together; the first one writes, tells and answers, the others
    answer with nothing.

    Raises:
        WorkshopError: with what is wrong and how to mend it.
    """
    options = options or TrainOptions()
    try:
        profile = find_profile(device_type, profile_folders)
        with computing(options.device, options.precision, options.threads) as compute:
            console = console or Console(stderr=True, quiet=not compute.leads)
            recordings = [read_recording(file) for file in find_recordings(paths)]
            console.print(f"{len(recordings)} recordings of {profile.title}; training on {_where(compute)}")
            task = _Task(recordings, profile, out, options, compute, console)
            manifest = _maker(profile, options.kind)(task)
    except (ArtifactError, ProfileError, RecordingError, RhythmError, TooShortError, ValueError) as error:
        raise WorkshopError(str(error)) from None
    if not compute.leads:
        return {}
    console.print(f"written to {out} (weights {manifest.weights_digest[:12]}…)", highlight=False)
    return {"out": str(out), "digest": manifest.weights_digest, "metrics": manifest.metrics}


@dataclass(frozen=True, slots=True)
class _Task:
    """A training as it was asked for."""

    recordings: Sequence[Recording]
    profile: DeviceProfile
    out: Path
    options: TrainOptions
    compute: Compute
    console: Console

    def series(self) -> list[Series]:
        """The healthy rows of the recordings on the grid."""
        return [series_of(recording, self.profile) for recording in self.recordings]

    def progress(self) -> Progress:
        """The bars to show it by."""
        return Progress(*COLUMNS, console=self.console, transient=True)


def _maker(profile: DeviceProfile, kind: ModelKind) -> Callable[[_Task], Manifest]:
    """What trains such a type."""
    if cyclic_channel(profile):
        return _train_cycles
    explained = any(channel.role in {"setting", "state"} for channel in profile.channels)
    if kind is ModelKind.SERIES or (kind is ModelKind.AUTO and not explained):
        return _train_as_series
    return _train_levels


def _where(compute: Compute) -> str:
    several = f", {compute.world} processes" if compute.world > 1 else ""
    return f"{compute.device} in {compute.precision}{several}"


def find_profile(device_type: str, folders: Sequence[Path]) -> DeviceProfile:
    """The profile of a device type.

    Raises:
        WorkshopError: there is none; says which there are.
    """
    profiles = load_profiles(folders)
    if device_type not in profiles:
        raise WorkshopError(
            f"no profile of device type {device_type}; there are {', '.join(sorted(profiles))}. "
            "A profile of your own is a TOML file in a folder given with --profiles"
        )
    return profiles[device_type]


def channel_specs(profile: DeviceProfile) -> list[ChannelSpec]:
    """What the model has to know of the profile's channels."""
    return [ChannelSpec(c.name, c.role, c.low, c.high) for c in profile.channels]


def series_of(recording: Recording, profile: DeviceProfile) -> Series:
    """The healthy rows of a recording on the profile's grid.

    Raises:
        WorkshopError: none of the profile's channels is in it.
    """
    columns = [recording.channels.index(name) if name in recording.channels else -1 for name in profile.names]
    if max(columns) < 0:
        raise WorkshopError(
            f"{recording.series}: none of the channels of {profile.type} ({', '.join(profile.names)})"
        )
    healthy = recording.values[~recording.label]
    values = np.full((len(healthy), len(columns)), np.nan, np.float32)
    for column, source in enumerate(columns):
        if source >= 0:
            values[:, column] = healthy[:, source]
    _, cells, mask = to_grid(profile, np.round(recording.t_ms[~recording.label]).astype(np.int64), values)
    return Series(recording.series, cells, mask)


def _train_levels(task: _Task) -> Manifest:
    series = task.series()
    devices = len({one.device for one in series})
    if devices < FEW_DEVICES:
        task.console.print(
            f"learnt from {devices} devices: what is only theirs is not known, so others may raise many false alarms; "
            f"{FEW_DEVICES} are a beginning",
            style="yellow",
        )
    with task.progress() as progress:
        return train_series(series, task.profile, task.out, task.options, task.compute, shown(progress))


def _train_as_series(task: _Task) -> Manifest:
    """Seconds on one core: of the options the seed and the budget count."""
    profile = task.profile
    if task.compute.world > 1:
        raise WorkshopError(f"{profile.type} is learnt as a series by one process; train it without torchrun")
    series = task.series()
    config = task.options.config(profile, task.compute)
    stride, row_s = profile.stride_rows, profile.grid_ms / 1000
    with task.progress() as progress:
        trained = fit_series(
            profile.type, task.options.version, channel_specs(profile), profile.window_rows, stride, row_s,
            series, config, shown(progress),
        )  # fmt: skip
    return save_series(
        task.out, trained, stride=stride, row_s=row_s, rule=config.rule, created=now(),
        training={"seed": config.seed, "budget": config.budget, "devices": len(series)},
    )  # fmt: skip


def train_series(
    series: Sequence[Series],
    profile: DeviceProfile,
    out: Path,
    options: TrainOptions,
    compute: Compute,
    progress: Callable[[Step], None],
    told: Mapping[str, Any] | None = None,
    brief: Sequence[Series] = (),
) -> Manifest:
    """Train on healthy series and write the artifact, `told` with the rest of the training into its manifest.

    Args:
        brief: short series of other healthy devices, which teach what is normal and nothing else.

    Raises:
        ValueError: too little data, or (`ComputeError`) another process has failed.
        ArtifactError: the artifact cannot be written.
    """
    config = options.config(profile, compute)
    trained = train(
        profile.type,
        options.version,
        channel_specs(profile),
        profile.window_rows,
        profile.stride_rows,
        profile.grid_ms / 1000,
        series,
        config,
        progress=progress,
        compute=compute,
        brief=brief,
    )
    return compute.once(lambda: save(trained, profile, config, out, told))


def save(
    trained: Trained,
    profile: DeviceProfile,
    config: TrainingConfig,
    out: Path,
    told: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the artifact of a trained scorer."""
    return save_artifact(
        out,
        trained.scorer,
        stride=profile.stride_rows,
        row_s=profile.grid_ms / 1000,
        rule=config.rule,
        created=now(),
        training={
            "seed": config.seed,
            "expectation_steps": config.expectation_steps,
            "steps": config.steps,
            "evidence_steps": config.evidence_steps,
            "batch": config.batch,
            "windows": config.windows,
            "evidence_windows": config.evidence_windows,
            "budget": config.budget,
            **trained.computed,
            **(told or {}),
        },
        metrics=trained.metrics,
        data_digest=trained.data_digest,
    )


def now() -> str:
    """ISO 8601, UTC, as a manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def shown(progress: Progress) -> Callable[[Step], None]:
    """A bar for every part of a training."""
    tasks: dict[str, TaskID] = {}

    def show(step: Step) -> None:
        if step.step not in tasks:
            tasks[step.step] = progress.add_task(STEPS.get(step.step, step.step), total=step.total, loss="")
        progress.update(tasks[step.step], completed=step.done, total=step.total, loss=f"{step.loss:.4f}")

    return show


def _train_cycles(task: _Task) -> Manifest:
    """A rhythm is calibrated on cycles and learnt in as many steps as they need: only the seed is asked for."""
    profile, options = task.profile, task.options
    if task.compute.world > 1:
        raise WorkshopError(
            f"the rhythm of {profile.type} is learnt by one process; train it without torchrun"
        )
    with task.console.status("learning the rhythm") as status:
        return train_rhythm(
            [(recording.series, recording) for recording in task.recordings],
            profile,
            task.out,
            seed=options.seed,
            version=options.version,
            now=datetime.now(UTC),
            device=options.device,
            progress=status.update,
        )
