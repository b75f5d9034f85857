"""Parquet and CSV files → `Recording`; whatever is wrong with a file is said in one line, with how to mend it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from streams.recordings.recording import Recording, RecordingError, Segment, beside

SUFFIXES = (".parquet", ".csv")
_RATE_IN_NAME = re.compile(r"(?:^|[-_])(\d+(?:\.\d+)?)hz$", re.IGNORECASE)
_NO_CHANNEL = re.compile(r"(t|timestamp|split|label.*|mode|fault|changepoint|quality.*)", re.IGNORECASE)


def find_recordings(paths: Iterable[Path]) -> list[Path]:
    """The recordings of files and folders, sorted within a folder.

    Raises:
        RecordingError: a path that isn't there, or a folder without a recording.
    """
    found = []
    for path in paths:
        files = (
            sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
        )
        if not files or not files[0].exists():
            raise RecordingError(
                path, "no recording is there", f"name a {' or '.join(SUFFIXES)} file, or a folder"
            )
        found += files
    return found


def read_recording(
    path: Path, *, rate_hz: float | None = None, channels: Sequence[str] | None = None
) -> Recording:
    """Read a Parquet or CSV file and what stands beside it.

    Args:
        path: the file.
        rate_hz: rows a second. Without it: metadata key `rate_hz`, or the file name, `SERIES-133hz.parquet`.
            A file with time stamps needs none.
        channels: columns to read. Without it: metadata key `channels`, or all columns of floats (CSV: of numbers).

    Raises:
        RecordingError: a file that isn't of this form.
    """
    table = _read_table(path)
    metadata = _metadata(table)
    names = _channels(path, table, channels, metadata)
    test = _test_rows(path, table)
    rate = rate_hz or _number(path, metadata.pop("rate_hz", None)) or _rate_in_name(path)
    t_ms, rate = _times(path, table, test, rate)
    return Recording(
        series=path.stem,
        channels=names,
        t_ms=t_ms,
        values=_values(path, table, names),
        test=test,
        label=_labels(path, table),
        rate_hz=rate,
        segments=_segments(path, names, int(np.count_nonzero(test))),
        mode=_words(table, "mode"),
        fault=_words(table, "fault"),
        truth=_truth(path),
        metadata=metadata,
    )


def _read_table(path: Path) -> Any:
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        elif path.suffix == ".csv":
            table = pyarrow.csv.read_csv(path)
        else:
            raise RecordingError(
                path, f"a {path.suffix or 'nameless'} file", f"only {' and '.join(SUFFIXES)} are read"
            )
    except FileNotFoundError:
        raise RecordingError(path, "isn't there", "check the path") from None
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise RecordingError(path, f"is no {path.suffix[1:]} table: {first}", "write it anew") from None
    names = table.schema.names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise RecordingError(path, f"has column {', '.join(doubled)} twice", "rename one")
    if not table.num_rows:
        raise RecordingError(path, "has no rows", "record something")
    return table


def _metadata(table: Any) -> dict[str, str]:
    """What the file says of itself, without the notes that Parquet writers leave for their own kind."""
    found = {key.decode(errors="replace"): value for key, value in (table.schema.metadata or {}).items()}
    return {
        key: value.decode(errors="replace")
        for key, value in found.items()
        if key not in ("pandas", "ARROW:schema")
    }


def _values(path: Path, table: Any, names: Sequence[str]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 can't hold is infinite then, and refused below
        values = np.stack([_floats(path, table, name) for name in names], axis=1).astype(np.float32)
    endless = np.flatnonzero(np.isinf(values).any(axis=1))
    if endless.size:
        problem = f"an infinite value in row {endless[0]}"
        raise RecordingError(path, problem, "leave the cell empty where there is no reading")
    return values


def _channels(
    path: Path, table: Any, wanted: Sequence[str] | None, metadata: dict[str, str]
) -> tuple[str, ...]:
    listed = metadata.pop("channels", None)
    if wanted is not None:
        names = list(wanted)
    elif listed is not None:
        try:
            names = list(json.loads(listed))
        except (ValueError, TypeError):
            raise RecordingError(
                path, "metadata key `channels` is no JSON list", "mend or remove it"
            ) from None
    else:
        number = pa.types.is_floating if path.suffix == ".parquet" else _is_number
        names = [one.name for one in table.schema if number(one.type) and not _NO_CHANNEL.fullmatch(one.name)]
    missing = [name for name in names if name not in table.schema.names]
    if missing:
        raise RecordingError(
            path, f"has no column {', '.join(missing)}", f"it has {', '.join(table.schema.names)}"
        )
    if not names:
        raise RecordingError(
            path, "has no channel", "a channel is a column of float32, beside t, split and label"
        )
    return tuple(names)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _floats(path: Path, table: Any, name: str) -> NDArray[np.float64]:
    column = table.column(name)
    if not _is_number(column.type):
        raise RecordingError(
            path, f"column {name} is {column.type}, not numbers", "check its cells and the separator"
        )
    values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return values


def _test_rows(path: Path, table: Any) -> NDArray[np.bool_]:
    """A file without splits is for testing: nothing is learnt from what nobody has set apart for it."""
    if "split" not in table.schema.names:
        return np.ones(table.num_rows, np.bool_)
    split = table.column("split").cast(pa.string()).fill_null("")
    unknown = sorted(set(split.unique().to_pylist()) - {"train", "test"})
    if unknown:
        problem = f"column split holds {', '.join(map(repr, unknown))}"
        raise RecordingError(path, problem, "only train and test are known")
    test: NDArray[np.bool_] = pyarrow.compute.equal(split, "test").to_numpy()
    return test


def _labels(path: Path, table: Any) -> NDArray[np.bool_]:
    if "label" not in table.schema.names:
        return np.zeros(table.num_rows, np.bool_)
    column = table.column("label")
    label = (
        column.cast(pa.int8()).to_numpy()
        if pa.types.is_boolean(column.type)
        else _floats(path, table, "label")
    )
    if not np.isin(label, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(label, (0, 1)))[0])
        raise RecordingError(path, f"label in row {row} is {label[row]}", "labels are 0 and 1")
    labels: NDArray[np.bool_] = label == 1
    return labels


def _words(table: Any, name: str) -> tuple[str, ...] | None:
    if name not in table.schema.names:
        return None
    return tuple("" if one is None else str(one) for one in table.column(name).to_pylist())


def _number(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise RecordingError(path, f"metadata key `rate_hz` is {text!r}", "it must be a number") from None


def _rate_in_name(path: Path) -> float | None:
    found = _RATE_IN_NAME.search(path.stem)
    return float(found[1]) if found else None


def _times(
    path: Path, table: Any, test: NDArray[np.bool_], rate: float | None
) -> tuple[NDArray[np.float64], float | None]:
    """Time of every row in ms, and the rate where there is one."""
    if rate is not None and not rate > 0:
        raise RecordingError(path, f"a rate of {rate} Hz", "it must be above 0")
    if "timestamp" in table.schema.names:
        t_ms = _timestamps(path, table.column("timestamp"))
    elif rate is not None:
        t_ms = _row_numbers(path, table, test) * 1000.0 / rate
    else:
        raise RecordingError(
            path,
            "has neither a column timestamp nor a rate",
            "give the rate in Hz, or put it into the name: SERIES-133hz.parquet",
        )
    back = np.flatnonzero(~(np.diff(t_ms) >= 0))
    if back.size:
        raise RecordingError(
            path, f"time doesn't go on in row {back[0] + 1}", "sort the rows, train before test"
        )
    return t_ms, rate


def _row_numbers(path: Path, table: Any, test: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Row numbers count on from one split to the next: the file holds one run of the device."""
    if "t" not in table.schema.names:
        return np.arange(table.num_rows, dtype=np.float64)
    number = _floats(path, table, "t").copy()
    second = test != test[0]
    end = np.max(number[~second]) + 1
    if second.any() and np.min(number[second]) < end:
        number[second] += end
    numbers: NDArray[np.float64] = number - number[0]
    return numbers


def _timestamps(path: Path, column: Any) -> NDArray[np.float64]:
    """ISO 8601 or a Parquet timestamp, UTC where no zone is said; numbers are ms since the epoch."""
    if _is_number(column.type):
        numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
        return numbers
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    try:
        micros = (
            column.cast(pa.timestamp("us", tz=zone), safe=False)
            .cast(pa.int64())
            .cast(pa.float64())
            .to_numpy()
        )
    except pa.ArrowException as error:
        raise RecordingError(
            path, f"column timestamp: {error}", "write times as 2026-11-23T08:15:00Z"
        ) from None
    stamps: NDArray[np.float64] = micros / 1000.0
    return stamps


def _segments(path: Path, channels: tuple[str, ...], rows: int) -> tuple[Segment, ...]:
    file = beside(path, "rootcause")
    remedy = 'its form is {"segments":[{"start","end","channels"}]}, rows of the test split, end exclusive'
    found = _json(file)
    if found is None:
        return ()
    try:
        segments = tuple(
            Segment(int(one["start"]), int(one["end"]), tuple(map(str, one["channels"])))
            for one in found["segments"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            file, f"is not of the form of causes ({type(error).__name__}: {error})", remedy
        ) from None
    for one in segments:
        unknown = [name for name in one.channels if name not in channels]
        if unknown or not 0 <= one.start < one.end <= rows:
            raise RecordingError(file, f"{one} doesn't fit {rows} test rows of {', '.join(channels)}", remedy)
    return segments


def _truth(path: Path) -> Mapping[str, Any] | None:
    file = beside(path, "truth")
    found = _json(file)
    if found is not None and not isinstance(found, dict):
        raise RecordingError(file, "is no JSON object", "write the recording anew")
    return found


def _json(file: Path) -> Any:
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(file, f"can't be read: {error}", "mend or remove it") from None
