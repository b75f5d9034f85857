"""Labelled recordings: Parquet and CSV files ↔ arrays, and a recording as the messages of a device.

A recording is a file a series: a column a channel, `t` (row number inside its split) or `timestamp`, `split`
(`train`, `test`), `label` (0, 1), and where they are known `mode` and `fault`. Beside `SERIES.parquet` may stand
`SERIES.rootcause.json` (the channels at fault, by rows of the test split) and `SERIES.truth.json` (all that a
simulator knows). Knows nothing about brokers, windows and models.
"""

from streams.recordings.playing import recording_messages
from streams.recordings.reading import find_recordings, read_recording
from streams.recordings.recording import Episode, Recording, RecordingError, Segment
from streams.recordings.writing import write_recording

__all__ = [
    "Episode",
    "Recording",
    "RecordingError",
    "Segment",
    "find_recordings",
    "read_recording",
    "recording_messages",
    "write_recording",
]
