"""`attendant evaluate --simulated`: every device type that has a model through its faults and its fault-free days.

Goes through the types, alone or in parallel, shows how far it is, prints tables and writes the report. Every run is
independent of all others, so that the figures are the same however many processes share the work.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console

from models.artifacts import ArtifactError, Manifest, read_manifest
from models.baselines import PlainScorer
from models.loading import load_scorer
from models.scoring import AdaptableScorer, Scorer
from monitor.findings import JudgeSettings
from monitor.longrun import bar, workers, write_report
from monitor.settings import SHIPPED_MODELS
from monitor.simtrial.judging import (
    TOGETHER,
    Subject,
    fault_rows,
    healthy_rows,
    seen_faults,
    seen_healthy,
)
from monitor.simtrial.peers import PeerFit, told_of
from monitor.simtrial.reporting import Row, TypeRows, method_report, peers_report
from monitor.simtrial.runs import FaultCase, Trial, fault_cases, fault_hours
from monitor.simtrial.tables import OURS, show
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.simulation import BENCHMARK_SEEDS, DEVICE_TYPES

_Peers = Mapping[str, Mapping[str, PlainScorer]]
"""Device type → peer → its scorer."""


class BenchmarkError(Exception):
    """What cannot be tried, in one line: what is wrong, and how to mend it."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A device type with its model."""

    profile: DeviceProfile
    folder: Path
    manifest: Manifest

    @property
    def kind(self) -> str:
        return self.profile.type

    @property
    def asked_a_day(self) -> float:
        return self.manifest.threshold.rate_asked

    def subject(self) -> Subject:
        return self.judged_alike(load_scorer(self.folder, "cpu"))

    def judged_alike(self, scorer: Scorer) -> Subject:
        """A scorer of this type under the alarm rule of its model."""
        return Subject(self.profile, scorer, JudgeSettings().fitted_for(self.manifest.threshold.rule()))

    def peers(self, names: tuple[str, ...]) -> PeerFit:
        """For the same rule and budget."""
        return PeerFit(self.profile, names, self.manifest.threshold.rule(), self.asked_a_day)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Runs of one device type that are judged together: some cases, or the fault-free devices first to last."""

    candidate: _Candidate
    trial: Trial
    cases: tuple[FaultCase, ...]
    first: int = 0
    last: int = 0
    peers: Mapping[str, PlainScorer] = field(default_factory=dict)
    """They judge the same runs."""

    @property
    def kind(self) -> str:
        return self.candidate.kind

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
    """Rows of a piece by method."""

    kind: str
    faults: Mapping[str, list[Row]]
    healthy: Mapping[str, list[Row]]


def simulated_command(
    *, types: Sequence[str] = (), trial: Trial | None = None, models: Sequence[Path] = (),
    profiles: Sequence[Path] = (), report: Path | None = None, jobs: int = 1, console: Console | None = None,
    peers: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Run the benchmark, show its tables, and give (and write) the report.

    Args:
        types: device types; without it all that are simulated and have a model.
        models: folders of models beside the shipped ones; a later one of a type replaces an earlier.
        profiles: folders of device profiles, likewise.
        report: file for the JSON.
        jobs: processes at work.
        peers: of `models.baselines.PLAIN`; they are fitted first, and judge the same runs.

    Raises:
        BenchmarkError: an unknown type, a model or profile that cannot be used, nothing to try, or peers where devices
            are watched.
        ReportError: the report cannot be written.
    """
    busy, console = console or Console(stderr=True), console or Console()
    trial = trial or Trial()
    if peers and trial.own_hours:
        raise BenchmarkError("peers learn nothing of a single device: leave out --own-baseline, or --peers")
    chosen, skipped = _candidates(types, models, profiles)
    write_report(report, {"skipped": skipped})
    fits = [candidate.peers(peers) for candidate in chosen] if peers else []
    pieces = [piece for candidate in chosen for piece in _pieces(candidate, trial)]
    with bar(busy) as progress:
        total = sum(fit.hours() for fit in fits) + sum(piece.hours() for piece in pieces)
        task = progress.add_task("simulating", total=total)

        def shown(work: _Work) -> None:
            progress.update(task, advance=work.hours(), description=work.kind)

        fitted = {fit.kind: scorers for fit, scorers in _all(_fit, fits, jobs, shown)}
        pieces = [replace(piece, peers=fitted.get(piece.kind, {})) for piece in pieces]
        done = [one for _, one in _all(_work, pieces, jobs, shown)]
    outcome = _report(chosen, trial, done, skipped, fitted)
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


class _Work(Protocol):
    """Something to be done on a device type."""

    @property
    def kind(self) -> str: ...

    def hours(self) -> float: ...


W = TypeVar("W", bound=_Work)
R = TypeVar("R")


def _all(
    do: Callable[[W], R], works: Sequence[W], jobs: int, shown: Callable[[_Work], None]
) -> Iterator[tuple[W, R]]:
    if jobs <= 1 or not works:
        for work in works:
            result = do(work)
            shown(work)
            yield work, result
        return
    with workers(min(jobs, len(works))) as pool:
        running = {pool.submit(do, work): work for work in sorted(works, key=lambda w: -w.hours())}
        for done in as_completed(running):
            result = done.result()
            shown(running[done])
            yield running[done], result


def _fit(fit: PeerFit) -> dict[str, PlainScorer]:
    return fit.fit()


def _work(piece: _Piece) -> _Done:
    candidate, trial = piece.candidate, piece.trial
    ours = candidate.subject()
    if trial.own_hours and not isinstance(ours.scorer, AdaptableScorer):
        raise BenchmarkError(
            f"{candidate.folder}: this model cannot be told of a device's own bias; leave out --own-baseline"
        )
    peers = {name: candidate.judged_alike(scorer) for name, scorer in piece.peers.items()}
    subjects = {OURS: ours, **peers}
    faults: dict[str, list[Row]] = {name: [] for name in subjects}
    healthy: dict[str, list[Row]] = {name: [] for name in subjects}
    if piece.cases:
        seen = seen_faults(candidate.profile, trial, piece.cases)
        faults = {name: fault_rows(one, trial, piece.cases, seen) for name, one in subjects.items()}
    if piece.last:
        seen = seen_healthy(candidate.profile, trial, piece.first, piece.last)
        healthy = {name: healthy_rows(one, trial, seen) for name, one in subjects.items()}
    return _Done(piece.kind, faults, healthy)


def _report(
    chosen: Sequence[_Candidate], trial: Trial, done: Sequence[_Done], skipped: list[dict[str, str]],
    peers: _Peers,
) -> dict[str, Any]:  # fmt: skip
    """`peers` is there where peers were asked for; everything else is as without them."""
    ours = method_report([_rows(one, OURS, done, _told(one)) for one in chosen], trial)
    report = {**ours, "skipped": skipped}
    names = dict.fromkeys(name for of in peers.values() for name in of)
    if names:
        beside = {
            name: [_rows(one, name, done, told_of(peers[one.kind][name])) for one in chosen] for name in names
        }
        report["peers"] = peers_report(ours, beside, trial)
    return report


def _rows(candidate: _Candidate, method: str, done: Sequence[_Done], told: Mapping[str, Any]) -> TypeRows:
    own = [one for one in done if one.kind == candidate.kind]
    faults, healthy = (
        [row for one in own for row in getattr(one, part)[method]] for part in ("faults", "healthy")
    )
    return TypeRows(candidate.kind, faults, healthy, candidate.asked_a_day, told)


def _told(candidate: _Candidate) -> dict[str, str]:
    return {"model_digest": candidate.manifest.weights_digest}
