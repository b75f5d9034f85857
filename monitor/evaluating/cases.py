"""Files → cases: what is trained on, and the exams that are scored. Reads recordings; knows no model.

Most series have one exam, their test rows. A fast wave (`models.waves`) is watched in derived rows, and one whose rows
nobody has labelled is an exam twice: as it is, where every alert is false, and with faults put into it, as a set of its
own (`SET+faults`). A wave that is all training rows is cut in time: learnt from its first part, examined on the rest.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation import Cause, spoilt_wave
from models.waves import FASTEST_LEVEL_S, Cut, Derived, cut_for, derived, derived_channels
from streams.recordings import Recording, RecordingError, find_recordings, read_recording

VUS_WINDOWS = {"smd": 100, "asd": 20, "skab": 20, "jumpstarter": 20, "rapidalarm_ventilator": 133}
"""Largest buffer of VUS by set, rows; as in the published comparisons of these sets."""
USUAL_VUS_WINDOW = 100
ROW_S = {"smd": 60.0, "asd": 300.0, "jumpstarter": 300.0, "ventmap_pb840": 0.02, "ventmode_pb840": 0.02}
"""Seconds a row of public sets whose files don't say it."""
USUAL_ROW_S = 60.0
"""For the false-alarm budget of a series whose rows nobody can place in time; its figures in time stay open."""
OF_THE_PATIENT = ("ventmap_pb840",)
"""Sets whose labels are of the patient and not of the device: good for faults to be put in."""
LEARNT_PART = 0.6
"""Of a wave without test rows."""
FEWEST = 240
"""Derived rows that a wave is cut into at least, where its length allows: a model needs 200."""


class EvaluateError(Exception):
    """What cannot be evaluated, in one line: the file, what is wrong, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file of a set."""

    set_name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Exam:
    """Rows that every method scores. n rows of the series, m ≤ n rows of the methods, C channels."""

    set_name: str
    values: NDArray[np.float32]
    """(m, …) what the methods are given."""
    label: NDArray[np.bool_]
    """(n,)"""
    causes: tuple[Cause, ...]
    recording: Recording
    wave: Derived | None = None
    """How scores of derived rows come back to the series' rows."""

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """(m,) → (n,); rows before the first derived one are as calm as the calmest. What has n rows stays as it is."""
        return x if self.wave is None or len(x) == len(self.label) else self.wave.held(x, x.min())

    def channels(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """(m, …) shares or residuals of the method's columns → (n, C)."""
        return x if self.wave is None else self.wave.by_channel(x)


@dataclass(frozen=True, slots=True)
class Case:
    """One series, ready to be measured."""

    series: str
    names: list[str]
    """Of the methods' columns."""
    train: NDArray[np.float32]
    """(rows, columns)"""
    recording: Recording
    """The training rows as they were recorded."""
    exams: tuple[Exam, ...]
    row_s: float | None
    """Seconds a row of the series."""
    step_s: float
    """Seconds a row of the methods."""
    vus_window: int
    cut: Cut | None = None


def find_jobs(folders: Sequence[Path]) -> list[Job]:
    """The recordings of every folder, or of the folders in it.

    Raises:
        EvaluateError: a folder that isn't there or holds no recording.
    """
    jobs = {}
    for folder in folders:
        for place in _sets(folder):
            try:
                found = find_recordings([place])
            except (RecordingError, OSError) as error:
                raise EvaluateError(str(error)) from None
            for path in found:
                jobs[path.resolve()] = Job(path.resolve().parent.name, path)
    return list(jobs.values())


def _sets(folder: Path) -> list[Path]:
    """The folder itself; or, where it holds no recording but folders of them, those."""
    if not folder.is_dir():
        return [folder]
    here = [path for path in sorted(folder.iterdir()) if path.suffix in (".parquet", ".csv")]
    below = {path.parent for kind in ("*/*.parquet", "*/*.csv") for path in folder.glob(kind)}
    return [folder] if here or not below else sorted(below)


def read_case(job: Job, vus_window: int | None) -> Case | str:
    """The series, or why it cannot be evaluated.

    Raises:
        EvaluateError: a file that is no recording.
    """
    recording = _recording(job)
    row_s = _row_s(recording)
    wave = row_s is not None and row_s <= FASTEST_LEVEL_S
    train, test = _parts(recording, wave)
    if not len(train):
        return "it has no rows of split train; mark fault-free ones as such"
    if not len(test):
        return "it has no rows of split test; mark those to be scored as such"
    window = vus_window if vus_window is not None else VUS_WINDOWS.get(job.set_name, USUAL_VUS_WINDOW)
    cut = cut_for(train.values, row_s, FEWEST) if wave and row_s is not None else None
    names = list(train.channels) if cut is None else derived_channels(train.channels)
    exams = tuple(_exam(name, one, causes, cut) for name, one, causes in _exams(job, test, cut))
    values = train.values if cut is None else derived(train.values, cut).values
    step_s = (row_s or USUAL_ROW_S) * (1 if cut is None else cut.hop)
    return Case(job.path.stem, names, values, train, exams, row_s, step_s, window, cut)


def _parts(recording: Recording, wave: bool) -> tuple[Recording, Recording]:
    if wave and not recording.test.any():
        test = np.arange(len(recording)) >= LEARNT_PART * len(recording)
        recording = replace(recording, test=test)
    return recording.part("train"), recording.part("test")


def _exams(job: Job, test: Recording, cut: Cut | None) -> Iterator[tuple[str, Recording, tuple[Cause, ...]]]:
    places = {name: i for i, name in enumerate(test.channels)}
    known = [s for s in test.segments if s.channels]
    yield (
        job.set_name,
        test,
        tuple(Cause(s.start, s.end, tuple(places[c] for c in s.channels)) for s in known),
    )
    if cut is not None and (not test.label.any() or job.set_name in OF_THE_PATIENT):
        rng = np.random.default_rng(zlib.crc32(job.path.stem.encode()))
        spoilt = spoilt_wave(test.values, cut.cycle, rng)
        if spoilt.causes:
            recording = replace(test, values=spoilt.values, label=spoilt.label, segments=())
            yield f"{job.set_name}+faults", recording, spoilt.causes


def _exam(set_name: str, test: Recording, causes: tuple[Cause, ...], cut: Cut | None) -> Exam:
    if cut is None:
        return Exam(set_name, test.values, test.label, causes, test)
    wave = derived(test.values, cut)
    return Exam(set_name, wave.values, test.label, causes, test, wave)


def _recording(job: Job) -> Recording:
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
