"""`attendant evaluate --simulated`: every device type that has a model through its faults and its fault-free days.

Goes through the types, alone or in parallel, shows how far it is, prints tables and writes the report. Every run is
independent of all others, so that the figures are the same however many processes share the work.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from models.artifacts import ArtifactError, Manifest, read_manifest
from models.loading import load_scorer
from models.scoring import AdaptableScorer
from monitor.findings import JudgeSettings
from monitor.longrun import bar, workers, write_report
from monitor.settings import SHIPPED_MODELS
from monitor.simtrial.judging import TOGETHER, Subject, fault_rows, healthy_rows
from monitor.simtrial.pairs import OWN, own_baseline_figures
from monitor.simtrial.rates import summary
from monitor.simtrial.runs import DAY_S, FaultCase, Trial, fault_cases, fault_hours
from monitor.simtrial.tables import show
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.simulation import BENCHMARK_SEEDS, DEVICE_TYPES, lookalike_specs

Row = dict[str, Any]


class BenchmarkError(Exception):
    """What cannot be tried, in one line: what is wrong, and how to mend it."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A device type with its model."""

    profile: DeviceProfile
    folder: Path
    manifest: Manifest

    @property
    def asked_a_day(self) -> float:
        return self.manifest.threshold.rate_asked

    def subject(self) -> Subject:
        settings = JudgeSettings().fitted_for(self.manifest.threshold.rule())
        return Subject(self.profile, load_scorer(self.folder, "cpu"), settings)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Runs of one device type that are judged together: some cases, or the fault-free devices first to last."""

    candidate: _Candidate
    trial: Trial
    cases: tuple[FaultCase, ...]
    first: int = 0
    last: int = 0

    @property
    def kind(self) -> str:
        return self.candidate.profile.type

    def hours(self) -> float:
        """Device hours to simulate; one with a fault is played twice, to tell what the fault did."""
        devices = self.last - self.first
        own = self.trial.own_hours * (len(self.cases) + devices)
        return (
            2 * len(self.cases) * fault_hours(self.kind, self.trial)
            + devices * self.trial.hours(self.kind)
            + own
        )


@dataclass(frozen=True, slots=True)
class _Done:
    """Rows of a piece."""

    kind: str
    faults: list[Row]
    healthy: list[Row]


def simulated_command(
    *, types: Sequence[str] = (), trial: Trial | None = None, models: Sequence[Path] = (),
    profiles: Sequence[Path] = (), report: Path | None = None, jobs: int = 1, console: Console | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run the benchmark, show its tables, and give (and write) the report.

    Args:
        types: device types; without it all that are simulated and have a model.
        models: folders of models beside the shipped ones; a later one of a type replaces an earlier.
        profiles: folders of device profiles, likewise.
        report: file for the JSON.
        jobs: processes at work.

    Raises:
        BenchmarkError: an unknown type, a model or profile that cannot be used, nothing to try.
        ReportError: the report cannot be written.
    """
    busy, console = console or Console(stderr=True), console or Console()
    trial = trial or Trial()
    chosen, skipped = _candidates(types, models, profiles)
    pieces = [piece for candidate in chosen for piece in _pieces(candidate, trial)]
    write_report(report, {"skipped": skipped})
    done: list[_Done] = []
    with bar(busy) as progress:
        task = progress.add_task("simulating", total=sum(piece.hours() for piece in pieces))
        for piece, one in _all(pieces, jobs):
            done.append(one)
            progress.update(task, advance=piece.hours(), description=piece.kind)
    outcome = _report(chosen, trial, done, skipped)
    write_report(report, outcome)
    show(console, outcome)
    return outcome


def _candidates(
    types: Sequence[str], models: Sequence[Path], folders: Sequence[Path]
) -> tuple[list[_Candidate], list[dict[str, str]]]:
    unknown = [name for name in types if name not in DEVICE_TYPES]
    if unknown:
        raise BenchmarkError(f"{', '.join(unknown)} is not simulated; there are {', '.join(DEVICE_TYPES)}")
    try:
        profiles, found = load_profiles(folders), _models(models)
    except (ArtifactError, ProfileError) as error:
        raise BenchmarkError(str(error)) from None
    chosen, skipped = [], []
    for name in types or DEVICE_TYPES:
        if name not in found:
            why = "no model; train one and name its folder with --models"
            skipped.append({"type": name, "why": why})
        else:
            folder, manifest = found[name]
            chosen.append(_checked(_Candidate(profiles[name], folder, manifest)))
    if not chosen:
        raise BenchmarkError(f"no model of {', '.join(types or DEVICE_TYPES)}; name its folder with --models")
    return chosen, skipped


def _models(folders: Sequence[Path]) -> dict[str, tuple[Path, Manifest]]:
    """Device type → folder and manifest."""
    found = {}
    for folder in (SHIPPED_MODELS, *folders):
        files = sorted(folder.glob("**/manifest.json"))
        if not files:
            raise BenchmarkError(
                f"{folder}: no model is there; name a folder that `attendant train` has written"
            )
        for file in files:
            manifest = read_manifest(file.parent)
            found[manifest.name] = (file.parent, manifest)
    return found


def _checked(candidate: _Candidate) -> _Candidate:
    """Raises BenchmarkError where model and profile differ, or the model has seen the benchmark's devices."""
    profile, manifest = candidate.profile, candidate.manifest
    if tuple(channel.name for channel in manifest.channels) != profile.names:
        raise BenchmarkError(
            f"{candidate.folder}: trained for other channels than the profile of {profile.type} has"
        )
    if any(seed in BENCHMARK_SEEDS for seed in _fleet_seeds(manifest.training)):
        raise BenchmarkError(
            f"{candidate.folder}: trained with a seed of the benchmark; train it with another"
        )
    return candidate


def _fleet_seeds(training: Mapping[str, Any]) -> Iterator[int]:
    """Seeds of the simulated fleets that a manifest tells of, however deep."""
    for name, value in training.items():
        if isinstance(value, Mapping):
            yield from _fleet_seeds(value)
        elif name == "simulator_seed":
            yield int(value)


def _pieces(candidate: _Candidate, trial: Trial) -> Iterator[_Piece]:
    kind = candidate.profile.type
    cases, devices = fault_cases(kind, trial), trial.healthy_devices(kind)
    for start in range(0, len(cases), TOGETHER):
        yield _Piece(candidate, trial, tuple(cases[start : start + TOGETHER]))
    for start in range(0, devices, TOGETHER):
        yield _Piece(candidate, trial, (), start, min(devices, start + TOGETHER))


def _all(pieces: Sequence[_Piece], jobs: int) -> Iterator[tuple[_Piece, _Done]]:
    if jobs <= 1:
        for piece in pieces:
            yield piece, _work(piece)
        return
    with workers(min(jobs, len(pieces))) as pool:
        running = {pool.submit(_work, piece): piece for piece in sorted(pieces, key=lambda p: -p.hours())}
        for done in as_completed(running):
            yield running[done], done.result()


def _work(piece: _Piece) -> _Done:
    subject = piece.candidate.subject()
    if piece.trial.own_hours and not isinstance(subject.scorer, AdaptableScorer):
        raise BenchmarkError(
            f"{piece.candidate.folder}: this model cannot be told of a device's own bias; leave out --own-baseline"
        )
    faults = fault_rows(subject, piece.trial, piece.cases) if piece.cases else []
    healthy = healthy_rows(subject, piece.trial, piece.first, piece.last) if piece.last else []
    return _Done(piece.kind, faults, healthy)


def _report(
    chosen: Sequence[_Candidate], trial: Trial, done: Sequence[_Done], skipped: list[dict[str, str]]
) -> dict[str, Any]:
    by_type: dict[str, Any] = {}
    rows: list[Row] = []
    devices: list[Row] = []
    days, asked = 0.0, 0.0
    for candidate in chosen:
        kind = candidate.profile.type
        own = _in_order([row for one in done if one.kind == kind for row in one.faults])
        healthy = [row for one in done if one.kind == kind for row in one.healthy]
        false = _alarms(healthy)
        own_days = len(healthy) * trial.hours(kind) * 3600 / DAY_S
        by_type[kind] = summary(own, false, own_days, candidate.asked_a_day) | {
            "model_digest": candidate.manifest.weights_digest, "lookalikes": _lookalikes(kind, healthy),
            **_watched(trial, own, healthy, own_days, candidate.asked_a_day),
        }  # fmt: skip
        rows, devices, days = [*rows, *own], [*devices, *healthy], days + own_days
        asked += candidate.asked_a_day * own_days
    asked_a_day = asked / days if days else None
    return {
        **summary(rows, _alarms(devices), days, asked_a_day),
        **_watched(trial, rows, devices, days, asked_a_day),
        "by_type": by_type, "faults": rows, "skipped": skipped,
    }  # fmt: skip


def _alarms(healthy: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["alarms"] for row in healthy)


def _watched(
    trial: Trial, faults: Sequence[Row], healthy: Sequence[Row], days: float, asked_a_day: float | None
) -> dict[str, Any]:
    """The part of the report that tells of watched devices; none where none was watched."""
    if not trial.own_hours:
        return {}
    settings = {"hours": trial.own_hours, "bound": trial.adaptation.bound, "unit_scale": trial.unit_scale}
    return {OWN: settings | own_baseline_figures(faults, healthy, days, asked_a_day)}


def _in_order(rows: list[Row]) -> list[Row]:
    """However the work was shared out."""
    return sorted(rows, key=lambda row: (row["fault"], row["severity"], row["onset"], row["seed"]))


def _lookalikes(kind: str, healthy: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How often each kind of look-alike came, and how many false alarms began during it or just after."""
    came = Counter(name for row in healthy for name in row["lookalikes"])
    blamed = Counter(name for row in healthy for name in row["during"])
    names = [*lookalike_specs(kind), "nothing"]
    return {name: {"events": came[name], "false_alarms": blamed[name]} for name in names}
