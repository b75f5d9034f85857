"""One case → the rows of the report: the detector for every seed, its parts, and the peers, all on the same rows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import open_rows
from models.evaluation import MERGED, cause_figures, detection_figures
from models.fleet import as_series
from models.peers import PEERS, PeerMissingError, PeerScores, standardized
from models.recipe import BUDGET, TrainingConfig
from monitor.evaluating.cases import Case, EvaluateError, Exam, Job, read_case
from monitor.evaluating.rhythmic import rhythm_model
from monitor.evaluating.scoreboard import AT_BUDGET, OURS

if TYPE_CHECKING:
    from models.series import RowScores, SeriesConfig
    from models.series.scorer import SeriesScorer

Row = dict[str, Any]
Tell = Callable[[str, float], None]
"""Told what is going on and which part of the series is done, 0 to 1."""
WINDOW_ROWS = 64
LEVELS = f"{OURS}_levels"
"""The detector on rows where the rhythm model speaks as ours."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be measured."""

    seeds: tuple[int, ...]
    peers: tuple[str, ...]
    """Names of `models.peers.PEERS`."""
    vus_window: int | None = None
    config: "SeriesConfig | None" = None
    budget: float = BUDGET
    """False alarms a device-day for what the service would have told."""


@dataclass(slots=True)
class Measured:
    """What came of one file."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the reader must know of the run: a peer whose library is missing."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """What a method says of an exam's rows; without `score` only its ranking is measured, without `channels` only that.

    Arrays are over the rows of the methods; `Exam.rows` and `Exam.channels` bring them to those of the series.
    """

    method: str
    score: NDArray[np.floating] | None = None
    alarming: NDArray[np.bool_] | None = None
    channels: NDArray[np.floating] | None = None
    evidence: NDArray[np.floating] | None = None
    """What a row adds to the ranking of its segment, where that is not the ranking of the row."""
    seconds: float | None = None


def measure(job: Job, ask: Ask, tell: Tell = lambda _what, _part: None) -> Measured:
    """Every method on one file; one that cannot be read or measured is skipped with the reason."""
    from models.series import TooShortError

    measured = Measured()
    try:
        case = read_case(job, ask.vus_window)
    except EvaluateError as error:
        case = str(error)
    if isinstance(case, str):
        measured.skipped.append(_skip(job.set_name, job.path.stem, case))
        return measured
    steps = len(ask.seeds) + 1
    try:
        for k, seed in enumerate(ask.seeds):
            measured.rows += _ours(case, seed, ask, _within(tell, k / steps, 1 / steps))
    except TooShortError as error:
        measured.skipped.append(_skip(job.set_name, job.path.stem, str(error)))
        return measured
    _peers(case, ask, measured, _within(tell, len(ask.seeds) / steps, 1 / steps))
    return measured


def _skip(set_name: str, series: str, why: str) -> dict[str, str]:
    return {"set": set_name, "series": series, "why": why}


def _within(tell: Tell, start: float, width: float) -> Tell:
    return lambda what, part: tell(what, start + width * part)


def _ours(case: Case, seed: int, ask: Ask, tell: Tell) -> list[Row]:
    """The detector on every exam of the case; before it the rhythm model, where a device is watched by its cycles."""
    begun = time.monotonic()
    rhythm = rhythm_model(case, seed, lambda line: tell(f"{case.series}, seed {seed}: rhythm, {line}", 0.0))
    rows = []
    if rhythm is not None:
        for exam in case.exams:
            told = rhythm.score(exam)
            scored = _Scored(OURS, told.anomaly, told.alarming, seconds=time.monotonic() - begun)
            rows.append(_row(case, exam, seed, scored))
    return rows + _levels(case, seed, ask, tell, OURS if rhythm is None else LEVELS)


def _levels(case: Case, seed: int, ask: Ask, tell: Tell, method: str) -> list[Row]:
    begun = time.monotonic()
    scorer = _fitted(case, seed, ask, tell)
    rows, fitting = [], time.monotonic() - begun
    for exam in case.exams:
        tell(f"{exam.set_name}/{case.series}, seed {seed}: scoring {len(exam.label):,} rows", 0.9)
        begun = time.monotonic()
        told, anomaly = scorer.whole(exam.values)
        seconds = fitting + time.monotonic() - begun
        rows += [_row(case, exam, seed, one) for one in _shown(told, method, seconds, bool(exam.causes))]
        alarming = open_rows(anomaly, TrainingConfig().rule)
        rows.append(_row(case, exam, seed, _Scored(f"{method}{AT_BUDGET}", anomaly, alarming)))
    return rows


def _fitted(case: Case, seed: int, ask: Ask, tell: Tell) -> "SeriesScorer":
    """What the service would run, a window a row."""
    from models.preparation import ChannelSpec
    from models.series.learning import fit_series

    phases: dict[str, int] = {}

    def progress(step: Any) -> None:
        done = phases.setdefault(step.step, len(phases)) + step.done / max(step.total, 1)
        tell(f"{case.series}, seed {seed}: {step.step} {step.done}/{step.total}", min(0.85, 0.25 * done))

    channels, series = [ChannelSpec(name) for name in case.names], as_series(case.series, case.train)
    training = TrainingConfig(seed=seed, budget=ask.budget)
    return fit_series(
        case.series,
        "",
        channels,
        WINDOW_ROWS,
        1,
        case.step_s,
        [series],
        training,
        progress,
        ask.config,
    ).scorer


def _shown(told: "RowScores", method: str, seconds: float, ranks: bool) -> Iterator[_Scored]:
    """The share as shipped, then the model without one of its parts, then the parts of the share as rankings.

    All of them run on from row to row as the share does, so that only what they rest on differs.
    """
    from models.series import running_share

    yield _Scored(method, told.anomaly, told.alarming, told.share, told.evidence, seconds)
    for name, part in told.ablations.items():
        share = running_share(part.evidence)
        yield _Scored(f"{method}_{name}", part.anomaly, part.alarming, share, part.evidence)
    if ranks:
        # The residual by itself knows nothing of the evidence, so that its rows count by the anomaly.
        attention = told.attention * told.evidence.sum(1, keepdims=True)
        residual = told.residual * told.anomaly[:, None]
        for name, evidence in (("attention", attention), ("residual", residual)):
            yield _Scored(f"{method}_{name}", channels=running_share(evidence), evidence=evidence)


def _row(case: Case, exam: Exam, seed: int, scored: _Scored) -> Row:
    """The figures of a method, as an entry of the report's `series`."""
    row: Row = {"set": exam.set_name, "series": case.series, "method": scored.method, "seed": seed}
    if scored.score is not None and scored.alarming is not None:
        score, alarming = exam.rows(scored.score), exam.rows(scored.alarming)
        # An alarm that flickers from one part of a cycle to the next is one alarm.
        merged = MERGED if case.cut is None else max(MERGED, case.cut.cycle)
        row |= detection_figures(score, exam.label, alarming, case.row_s, case.vus_window, merged)
        row |= {"rows": len(exam.label), "row_s": case.row_s, "vus_window": case.vus_window}
        if case.cut is not None:
            row |= {"cycle_rows": case.cut.cycle, "hop_rows": case.cut.hop}
    if scored.seconds is not None:
        row["seconds"] = round(scored.seconds, 1)
    if scored.channels is not None:
        evidence = None if scored.evidence is None else exam.channels(scored.evidence)
        row |= cause_figures(exam.channels(scored.channels), exam.causes, evidence)
    return row


def _peers(case: Case, ask: Ask, measured: Measured, tell: Tell) -> None:
    names = [name for name in PEERS if name in ask.peers]
    each = 1 / (len(names) * len(case.exams))
    for e, exam in enumerate(case.exams):
        standard = standardized(case.train, exam.values)
        for k, name in enumerate(names):
            told = _within(tell, (e * len(names) + k) * each, each)
            notice = _notice(told, f"{exam.set_name}/{case.series}: peer {name}")
            try:
                peers = list(PEERS[name](standard, ask.seeds[0], notice))
            except PeerMissingError as error:
                measured.notes.append(str(error))
            else:
                measured.rows += [_row(case, exam, ask.seeds[0], _peer(one)) for one in peers]


def _notice(tell: Tell, what: str) -> Callable[[int, int], None]:
    tell(what, 0.0)
    return lambda done, total: tell(f"{what} {done}/{total}", done / total)


def _peer(peer: PeerScores) -> _Scored:
    return _Scored(peer.method, peer.score, peer.alarming, peer.channels)
