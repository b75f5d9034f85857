"""`attendant evaluate`: train on `split == train`, score `split == test`, measure detection and causes.

Reads recordings, gives arrays to the models and to their figures, shows the averages and writes the report. A folder
is a set; the figures of a set are means over its series and seeds.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.evaluation import Cause, cause_figures, detection_figures
from models.peers import peer_scores
from monitor.scoreboard import OURS, averages, comparisons, show
from streams.recordings import Recording, RecordingError, find_recordings, read_recording

if TYPE_CHECKING:
    from models.generic import GenericConfig

VUS_WINDOWS = {"smd": 100, "asd": 20, "skab": 20, "jumpstarter": 20, "rapidalarm_ventilator": 133}
"""Largest buffer of VUS by set, rows; as in the published comparisons of these sets."""
USUAL_VUS_WINDOW = 100
ROW_S = {"smd": 60.0, "asd": 300.0, "jumpstarter": 300.0}
"""Seconds a row of public sets whose files don't say it."""
USUAL_ROW_S = 60.0
"""For the false-alarm budget of a series whose rows nobody can place in time; its figures in time stay open."""
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

Figures = dict[str, float | None]
Row = dict[str, Any]


class EvaluateError(Exception):
    """What cannot be evaluated, in one line: the file, what is wrong, and how to mend it."""


@dataclass(frozen=True, slots=True)
class _Job:
    set_name: str
    path: Path


@dataclass(frozen=True, slots=True)
class _Scored:
    """What a method says of the test rows; without `score` only its ranking of the channels is measured."""

    method: str
    channels: NDArray[np.floating]
    score: NDArray[np.floating] | None = None
    alarming: NDArray[np.bool_] | None = None
    weight: NDArray[np.floating] | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """One series, ready to be measured."""

    job: _Job
    train: Recording
    test: Recording
    row_s: float | None
    causes: tuple[Cause, ...]
    vus_window: int

    @property
    def name(self) -> str:
        return f"{self.job.set_name}/{self.job.path.stem}"

    def row(self, seed: int, scored: _Scored) -> Row:
        """The figures of a method, as an entry of the report's `series`."""
        row: Row = {
            "set": self.job.set_name,
            "series": self.job.path.stem,
            "method": scored.method,
            "seed": seed,
        }
        if scored.score is not None and scored.alarming is not None:
            row |= detection_figures(
                scored.score, self.test.label, scored.alarming, self.row_s, self.vus_window
            )
            row |= {"rows": len(self.test), "row_s": self.row_s, "vus_window": self.vus_window}
        if scored.seconds is not None:
            row["seconds"] = round(scored.seconds, 1)
        return row | cause_figures(scored.channels, self.causes, scored.weight)


@dataclass
class _Board:
    """What has been measured so far."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, job: _Job, why: str) -> None:
        self.skipped.append({"set": job.set_name, "series": job.path.stem, "why": why})

    def report(self, *, compare: bool) -> dict[str, Any]:
        report: dict[str, Any] = {"sets": averages(self.rows), "series": self.rows, "skipped": self.skipped}
        if compare:
            report["comparisons"] = comparisons(self.rows)
        return report


@dataclass(frozen=True, slots=True)
class _Bar:
    progress: Progress
    task: TaskID

    def tell(self, what: str) -> None:
        self.progress.update(self.task, description=what)

    def done(self) -> None:
        self.progress.advance(self.task)


def evaluate_command(
    folders: Sequence[Path], *, seeds: Sequence[int] = (0,), report: Path | None = None, peers: bool = False,
    vus_window: int | None = None, console: Console | None = None, config: "GenericConfig | None" = None,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate every series of every folder, show the averages, and give (and write) the report.

    Args:
        folders: of recordings, or of such folders; the set is the folder's name.
        seeds: each series is trained once with each.
        report: file for the JSON; it is written after every series.
        peers: run every peer, with intervals for the differences; without it only the plainest.
        vus_window: largest buffer of VUS in rows, for all sets.

    Raises:
        EvaluateError: a folder or file that cannot be read, a report that cannot be written, nothing to measure.
    """
    busy, console = console or Console(stderr=True), console or Console()
    jobs = _jobs(folders)
    board = _Board()
    _write(report, board.report(compare=peers))
    with Progress(*COLUMNS, console=busy, transient=True) as progress:
        bar = _Bar(progress, progress.add_task("series", total=len(jobs)))
        for job in jobs:
            case = _read(job, vus_window)
            if isinstance(case, str):
                board.skip(job, case)
            else:
                _measure(case, seeds, peers, config, board, bar)
            bar.done()
            _write(report, board.report(compare=peers))
    outcome = board.report(compare=peers)
    show(console, outcome)
    if not board.rows:
        raise EvaluateError("no series could be evaluated; every one of them and why stands above")
    return outcome


def _jobs(folders: Sequence[Path]) -> list[_Job]:
    jobs = {}
    for folder in folders:
        for place in _sets(folder):
            try:
                found = find_recordings([place])
            except (RecordingError, OSError) as error:
                raise EvaluateError(str(error)) from None
            for path in found:
                jobs[path.resolve()] = _Job(path.resolve().parent.name, path)
    return list(jobs.values())


def _sets(folder: Path) -> list[Path]:
    """The folder itself; or, where it holds no recording but folders of them, those."""
    if not folder.is_dir():
        return [folder]
    here = [path for path in sorted(folder.iterdir()) if path.suffix in (".parquet", ".csv")]
    below = {path.parent for kind in ("*/*.parquet", "*/*.csv") for path in folder.glob(kind)}
    return [folder] if here or not below else sorted(below)


def _read(job: _Job, vus_window: int | None) -> _Case | str:
    """The series, or why it cannot be evaluated."""
    recording = _recording(job)
    train, test = recording.part("train"), recording.part("test")
    if not len(train):
        return "it has no rows of split train; mark fault-free ones as such"
    if not len(test):
        return "it has no rows of split test; mark those to be scored as such"
    places = {name: i for i, name in enumerate(recording.channels)}
    causes = tuple(
        Cause(s.start, s.end, tuple(places[name] for name in s.channels)) for s in test.segments if s.channels
    )
    window = vus_window if vus_window is not None else VUS_WINDOWS.get(job.set_name, USUAL_VUS_WINDOW)
    return _Case(job, train, test, _row_s(recording), causes, window)


def _recording(job: _Job) -> Recording:
    """Read with the set's own rate where it has one; a file that tells no time is read row by row."""
    row_s = ROW_S.get(job.set_name)
    try:
        return read_recording(job.path, rate_hz=None if row_s is None else 1 / row_s)
    except RecordingError as first:
        try:
            timeless = read_recording(job.path, rate_hz=1 / USUAL_ROW_S)
        except RecordingError:
            raise EvaluateError(str(first)) from None
        return replace(timeless, rate_hz=None, t_ms=np.zeros(len(timeless)))


def _row_s(recording: Recording) -> float | None:
    if recording.rate_hz is not None:
        return 1 / recording.rate_hz
    steps = np.diff(recording.t_ms)
    usual = float(np.median(steps)) / 1000 if len(steps) else 0.0
    return usual if usual > 0 else None


def _measure(
    case: _Case, seeds: Sequence[int], peers: bool, config: "GenericConfig | None", board: _Board, bar: _Bar
) -> None:
    from models.generic import TooShortError

    try:
        ours = [case.row(seed, one) for seed in seeds for one in _ours(case, seed, config, bar)]
    except TooShortError as error:
        board.skip(case.job, str(error))
        return
    bar.tell(f"{case.name}: peers")
    board.rows += ours
    board.rows += [case.row(seeds[0], one) for one in _peers(case, seeds[0], every=peers)]


def _ours(case: _Case, seed: int, config: "GenericConfig | None", bar: _Bar) -> Iterator[_Scored]:
    """The detector with the share as shipped, and the two parts of the share as rankings of their own."""
    from models.generic import fit_generic

    begun = time.monotonic()
    model = fit_generic(
        case.train.channels, case.train.values, case.row_s or USUAL_ROW_S, seed, config,
        lambda step: bar.tell(f"{case.name}, seed {seed}: {step.step} {step.done}/{step.total}"),
    )  # fmt: skip
    told = model.score(case.test.values)
    yield _Scored(OURS, told.share, told.anomaly, told.alarming, told.weight, time.monotonic() - begun)
    if case.causes:
        yield _Scored(f"{OURS}_attention", told.attention, weight=told.weight)
        yield _Scored(f"{OURS}_residual", told.residual, weight=told.anomaly)


def _peers(case: _Case, seed: int, *, every: bool) -> Iterator[_Scored]:
    for peer in peer_scores(case.train.values, case.test.values, seed, every=every):
        yield _Scored(peer.method, peer.channels, peer.score, peer.alarming)


def _write(report: Path | None, content: dict[str, Any]) -> None:
    if report is None:
        return
    try:
        report.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise EvaluateError(
            f"{report}: cannot be written: {error.strerror}; name a file in a folder that is there"
        ) from None
