"""`Recording` → zstd Parquet, with its causes and truth beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from streams.recordings.recording import Recording, RecordingError, beside


def write_recording(recording: Recording, path: Path) -> Path:
    """Write a zstd Parquet file, and its causes and truth beside it; `path` again.

    Rows at a fixed rate are numbered (`t`), others get a `timestamp` in microseconds.

    Raises:
        RecordingError: no `.parquet` name, or a folder that can't be written to.
    """
    if path.suffix != ".parquet":
        raise RecordingError(path, "recordings are written as Parquet", "choose a name that ends in .parquet")
    columns = _time_columns(recording) | {"split": pa.array(recording.split.tolist()).dictionary_encode()}
    columns |= {
        name: pa.array(recording.values[:, i], mask=np.isnan(recording.values[:, i]))
        for i, name in enumerate(recording.channels)
    }
    columns["label"] = pa.array(recording.label.astype(np.int8))
    for name, words in (("mode", recording.mode), ("fault", recording.fault)):
        if words is not None:
            columns[name] = pa.array(words).dictionary_encode()
    metadata = {**recording.metadata, "channels": json.dumps(recording.channels)}
    if recording.rate_hz is not None:
        metadata["rate_hz"] = repr(recording.rate_hz)
    table = pa.table(columns).replace_schema_metadata(metadata)
    segments = [
        {"start": one.start, "end": one.end, "channels": list(one.channels)} for one in recording.segments
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table, path, compression="zstd")
        beside(path, "rootcause").write_text(json.dumps({"series": path.stem, "segments": segments}) + "\n")
        if recording.truth is not None:
            beside(path, "truth").write_text(json.dumps(recording.truth) + "\n")
    except OSError as error:
        raise RecordingError(path, f"can't be written: {error.strerror}", "choose another folder") from None
    return path


def _time_columns(recording: Recording) -> dict[str, Any]:
    n = len(recording)
    if recording.rate_hz is not None and n:
        even = np.arange(n) * 1000.0 / recording.rate_hz
        if np.abs(recording.t_ms - even).max() < 1e-6:
            count = np.zeros(n, np.int32)
            for rows in (recording.test, ~recording.test):
                count[rows] = np.arange(np.count_nonzero(rows))
            return {"t": pa.array(count)}
    return {
        "timestamp": pa.array(np.rint(recording.t_ms * 1000).astype(np.int64), pa.timestamp("us", tz="UTC"))
    }
