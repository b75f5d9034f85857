"""`attendant train`: recordings of healthy devices → a trained artifact. The glue between files and the model.

Rows are put on the profile's grid exactly as the service does it, so that the model learns what it will see.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.artifacts import ArtifactError, Manifest, save_artifact
from models.loading import choose_device
from models.preparation import ChannelSpec
from models.training import Progress as Step
from models.training import Series, Trained, TrainingConfig, train
from monitor.rhythms import RhythmError, cyclic_channel, train_rhythm
from streams.alignment import to_grid
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.recordings import Recording, RecordingError, find_recordings, read_recording

DEFAULT_VERSION = "1"
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


class WorkshopError(Exception):
    """Recordings, a profile or a model that training cannot use; one readable line."""


def train_command(
    paths: Sequence[Path],
    device_type: str,
    out: Path,
    *,
    profile_folders: Sequence[Path] = (),
    seed: int = 0,
    budget: float | None = None,
    steps: int | None = None,
    device: str = "auto",
    version: str = DEFAULT_VERSION,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train, write the artifact into `out`, and answer with what the manifest says.

    Raises:
        WorkshopError: with what is wrong and how to mend it.
    """
    try:
        profile = _profile(device_type, profile_folders)
        recordings = [read_recording(file) for file in find_recordings(paths)]
        console = console or Console(stderr=True)
        console.print(f"{len(recordings)} recordings of {profile.title}; training on {choose_device(device)}")
        maker = _train_cycles if cyclic_channel(profile) else _train_levels
        manifest = maker(recordings, profile, out, seed, budget, steps, device, version, console)
    except (ArtifactError, ProfileError, RecordingError, RhythmError, ValueError) as error:
        raise WorkshopError(str(error)) from None
    console.print(f"written to {out} (weights {manifest.weights_digest[:12]}…)", highlight=False)
    return {"out": str(out), "digest": manifest.weights_digest, "metrics": manifest.metrics}


def _profile(device_type: str, folders: Sequence[Path]) -> DeviceProfile:
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


def _train_levels(
    recordings: Sequence[Recording],
    profile: DeviceProfile,
    out: Path,
    seed: int,
    budget: float | None,
    steps: int | None,
    device: str,
    version: str,
    console: Console,
) -> Manifest:
    series = [series_of(recording, profile) for recording in recordings]
    config = training_config(profile, seed, budget, steps)
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        trained = train(
            profile.type,
            version,
            channel_specs(profile),
            profile.window_rows,
            profile.stride_rows,
            profile.grid_ms / 1000,
            series,
            config,
            progress=_shown(progress),
            device=choose_device(device),
        )
    return save(trained, profile, config, out)


def training_config(
    profile: DeviceProfile, seed: int, budget: float | None = None, steps: int | None = None
) -> TrainingConfig:
    """The defaults, with what the command line says."""
    defaults = TrainingConfig()
    return TrainingConfig(
        seed=seed,
        budget=defaults.budget if budget is None else budget,
        steps=steps or defaults.steps,
        evidence_steps=steps or defaults.evidence_steps,
        min_rows=profile.min_rows,
    )


def save(trained: Trained, profile: DeviceProfile, config: TrainingConfig, out: Path) -> Manifest:
    """Write the artifact of a trained scorer."""
    return save_artifact(
        out,
        trained.scorer,
        stride=profile.stride_rows,
        row_s=profile.grid_ms / 1000,
        rule=config.rule,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        training={
            "seed": config.seed,
            "steps": config.steps,
            "windows": config.windows,
            "budget": config.budget,
        },
        metrics=trained.metrics,
        data_digest=trained.data_digest,
    )


def _shown(progress: Progress) -> Callable[[Step], None]:
    tasks: dict[str, TaskID] = {}

    def show(step: Step) -> None:
        if step.step not in tasks:
            tasks[step.step] = progress.add_task(STEPS.get(step.step, step.step), total=step.total, loss="")
        progress.update(tasks[step.step], completed=step.done, total=step.total, loss=f"{step.loss:.4f}")

    return show


def _train_cycles(
    recordings: Sequence[Recording],
    profile: DeviceProfile,
    out: Path,
    seed: int,
    budget: float | None,  # noqa: ARG001 - a rhythm is calibrated on cycles, not on device-days
    steps: int | None,  # noqa: ARG001 - its length follows from the cycles
    device: str,
    version: str,
    console: Console,
) -> Manifest:
    with console.status("learning the rhythm") as status:
        return train_rhythm(
            [(recording.series, recording) for recording in recordings],
            profile,
            out,
            seed=seed,
            version=version,
            now=datetime.now(UTC),
            device=device,
            progress=status.update,
        )
