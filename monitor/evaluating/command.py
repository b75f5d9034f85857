"""Goes through all files, one after the other or in parallel, shows how far it is, and writes the report."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, TaskID

from models.peers import PEERS, PLAINEST
from models.recipe import BUDGET
from monitor.evaluating.cases import EvaluateError, Job, find_jobs
from monitor.evaluating.measuring import Ask, Measured, measure
from monitor.evaluating.scoreboard import averages, comparisons, overall, seed_by_seed, show
from monitor.longrun import bar, workers, write_report

if TYPE_CHECKING:
    from models.series import SeriesConfig


@dataclass
class _Board:
    """What has been measured so far, in the order of the files."""

    measured: dict[int, Measured] = field(default_factory=dict)

    def report(self, *, finished: bool) -> dict[str, Any]:
        every = [self.measured[k] for k in sorted(self.measured)]
        rows = [row for one in every for row in one.rows]
        report: dict[str, Any] = {
            "sets": averages(rows), "mean_of_sets": overall(rows), "seeds": seed_by_seed(rows), "series": rows,
            "skipped": [skip for one in every for skip in one.skipped],
            "notes": list(dict.fromkeys(note for one in every for note in one.notes)),
        }  # fmt: skip
        if finished:
            report["comparisons"] = comparisons(rows)
        return report


@dataclass(frozen=True, slots=True)
class _Bar:
    """A series counts as the root of its file's size: so its time grows, roughly."""

    progress: Progress
    task: TaskID
    weights: tuple[float, ...]

    def tell(self, job: int) -> Callable[[str, float], None]:
        before = self.progress.tasks[self.task].completed

        def tell(what: str, part: float) -> None:
            self.progress.update(self.task, description=what, completed=before + part * self.weights[job])

        return tell


def evaluate_command(
    folders: Sequence[Path], *, seeds: Sequence[int] = (0,), report: Path | None = None,
    peers: Sequence[str] = PLAINEST, vus_window: int | None = None, budget: float | None = None, jobs: int = 1,
    console: Console | None = None, config: "SeriesConfig | None" = None,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate every series of every folder, show the averages, and give (and write) the report.

    Args:
        folders: of recordings, or of such folders; the set is the folder's name.
        seeds: each series is trained once with each; the peers run with the first.
        report: file for the JSON; it is written after every series.
        peers: names of `models.peers.PEERS`; the plainest run in any case.
        vus_window: largest buffer of VUS in rows, for all sets.
        budget: false alarms a device-day for the rows `attendant_at_budget`; the service's own without it.
        jobs: series at a time, a process each.

    Raises:
        EvaluateError: a folder that cannot be read, or nothing to measure.
        ReportError: the report cannot be written.
    """
    busy, console = console or Console(stderr=True), console or Console()
    files = find_jobs(folders)
    asked = tuple(name for name in PEERS if name in {*peers, *PLAINEST})
    ask = Ask(tuple(seeds), asked, vus_window, config, BUDGET if budget is None else budget)
    board = _Board()
    write_report(report, board.report(finished=False))
    with bar(busy) as progress:
        weights = tuple(_size(job) ** 0.5 for job in files)
        shown = _Bar(progress, progress.add_task("series", total=sum(weights)), weights)
        for k, measured in _all(files, ask, shown, jobs):
            board.measured[k] = measured
            write_report(report, board.report(finished=False))
    outcome = board.report(finished=True)
    write_report(report, outcome)
    show(console, outcome)
    if not outcome["series"]:
        first = outcome["skipped"][0]
        raise EvaluateError(f"no series could be evaluated; {first['set']}/{first['series']}: {first['why']}")
    return outcome


def peers_asked(asked: bool, words: Sequence[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """The folders, and the peers to run: `--peers` alone means all, `--peers pca,usad` these.

    The flag takes no value of its own, so the names arrive as the first of the folders.

    Raises:
        EvaluateError: names of which only some are known, or no folder.
    """
    if not asked:
        return list(words), PLAINEST
    folders, named = [], None
    for word in words:
        names = str(word).split(",")
        if named is None and not word.exists() and any(name in PEERS for name in names):
            unknown = [name for name in names if name not in PEERS]
            if unknown:
                raise EvaluateError(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
            named = tuple(names)
        else:
            folders.append(word)
    if not folders:
        raise EvaluateError("name a folder of labelled recordings behind the peers")
    return folders, named or tuple(PEERS)


def _all(files: Sequence[Job], ask: Ask, bar: _Bar, jobs: int) -> Iterator[tuple[int, Measured]]:
    if jobs <= 1 or len(files) == 1:
        for k, job in enumerate(files):
            tell = bar.tell(k)
            measured = measure(job, ask, tell)
            tell("series", 1.0)
            yield k, measured
        return
    with workers(min(jobs, len(files))) as pool:
        # The longest first, so that none of them is alone at the end.
        order = sorted(range(len(files)), key=lambda k: -bar.weights[k])
        running: dict[Future[Measured], int] = {pool.submit(measure, files[k], ask): k for k in order}
        for done in as_completed(running):
            k = running[done]
            measured = done.result()
            bar.tell(k)(f"{files[k].set_name}/{files[k].path.stem} done", 1.0)
            yield k, measured


def _size(job: Job) -> int:
    try:
        return max(job.path.stat().st_size, 1)
    except OSError:
        return 1
