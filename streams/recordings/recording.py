"""A labelled recording as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "test"]


class RecordingError(Exception):
    """A recording that can't be read, written or played: which file, what is wrong, and how to mend it."""

    def __init__(self, file: Path | str, problem: str, remedy: str) -> None:
        super().__init__(file, problem, remedy)
        self.file = Path(file)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows of the test split, 0-based, `end` exclusive, with the channels at fault, most affected first."""

    start: int
    end: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """A labelled stretch of a recording."""

    start: int
    """First row, of the whole recording."""
    end: int
    """Row after the last."""
    start_ms: float
    """`t_ms` of the first row."""
    end_ms: float
    """`t_ms` of the last row."""
    channels: tuple[str, ...]
    """Channels at fault, most affected first; empty where they aren't known."""
    fault: str
    """Name of the fault, empty where it isn't known."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One series of one device: n rows, C channels."""

    series: str
    channels: tuple[str, ...]
    t_ms: NDArray[np.float64]
    """(n,) ms, rising; since the epoch where the file has time stamps, else since the first row."""
    values: NDArray[np.float32]
    """(n, C); NaN where there is no reading."""
    test: NDArray[np.bool_]
    """(n,) False where the row is for training."""
    label: NDArray[np.bool_]
    """(n,) True where the device is at fault."""
    rate_hz: float | None = None
    """Rows a second; None where they stand at irregular times."""
    segments: tuple[Segment, ...] = ()
    mode: tuple[str, ...] | None = None
    """(n,) operating mode, empty where it isn't known."""
    fault: tuple[str, ...] | None = None
    """(n,) name of the fault, empty where there is none."""
    truth: Mapping[str, Any] | None = None
    """What a simulator says about the run."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Whatever else the file says of itself: `source`, `licence`, `device_type`."""

    def __len__(self) -> int:
        return len(self.t_ms)

    @property
    def split(self) -> NDArray[np.str_]:
        """(n,) `train` or `test`."""
        return np.where(self.test, "test", "train")

    def part(self, split: Split) -> "Recording":
        """The rows of one split; only the test split keeps the causes, which count its rows."""
        rows = np.flatnonzero(self.test == (split == "test"))
        return replace(
            self,
            t_ms=self.t_ms[rows],
            values=self.values[rows],
            test=self.test[rows],
            label=self.label[rows],
            segments=self.segments if split == "test" else (),
            mode=None if self.mode is None else tuple(self.mode[row] for row in rows),
            fault=None if self.fault is None else tuple(self.fault[row] for row in rows),
        )

    def episodes(self) -> list[Episode]:
        """The labelled stretches, with the channels at fault where a segment of causes overlaps."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.label, [False]]).astype(np.int8)))
        of_test = np.flatnonzero(self.test)
        causes = [(of_test[one.start], of_test[one.end - 1] + 1, one.channels) for one in self.segments]
        episodes = []
        for start, end in edges.reshape(-1, 2).tolist():
            channels = [name for a, b, names in causes if a < end and start < b for name in names]
            faults = [] if self.fault is None else [name for name in self.fault[start:end] if name]
            episodes.append(
                Episode(
                    start,
                    end,
                    float(self.t_ms[start]),
                    float(self.t_ms[end - 1]),
                    tuple(dict.fromkeys(channels)),
                    faults[0] if faults else "",
                )
            )
        return episodes


def beside(path: Path, what: str) -> Path:
    """The side file of a recording: `SERIES.rootcause.json`, `SERIES.truth.json`."""
    return path.with_name(f"{path.stem}.{what}.json")
