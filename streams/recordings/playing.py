"""`Recording` → the messages that its device would send."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streams.devices import DeviceProfile
from streams.recordings.recording import Recording, RecordingError
from streams.records import FRAME, JSON, encode_frame, encode_json

_FRAME_FROM_HZ = 4.0
"""Recordings at least this fast are sent in frames, slower ones sample by sample."""


def recording_messages(
    recording: Recording,
    profile: DeviceProfile,
    device: str,
    start_ms: int,
    content_type: str | None = None,
    *,
    block_ms: float = 100.0,
) -> Iterator[tuple[int, bytes]]:
    """The recording as messages of a device at the recording's own rate.

    Args:
        recording: what is played; a channel that the profile has and the recording hasn't is never sent.
        profile: the device type.
        device: the device id in the messages.
        start_ms: time of the first row, ms since the epoch.
        content_type: `streams.records.JSON` or `FRAME`; without it frames from 4 rows a second on.
        block_ms: a frame holds rows of at most so long, and at least one.

    Yields:
        (t_ms, value): when the device would send it, the time of the message's last row, and the bytes.
        Rows without any reading are not sent.

    Raises:
        RecordingError: channels that the profile hasn't.
    """
    unknown = [name for name in recording.channels if name not in profile.index]
    if unknown:
        raise RecordingError(
            recording.series,
            f"{profile.type} has no channel {', '.join(unknown)}",
            "play it with the profile of the device that was recorded, or read only the other channels",
        )
    if content_type is None:
        content_type = FRAME if (recording.rate_hz or 0.0) >= _FRAME_FROM_HZ else JSON
    t_ms = recording.t_ms - (recording.t_ms[0] if len(recording) else 0.0) + start_ms
    if content_type == FRAME:
        return _frames(recording, profile, device, t_ms, block_ms)
    return _samples(recording, profile, device, t_ms)


def _samples(
    recording: Recording, profile: DeviceProfile, device: str, t_ms: NDArray[np.float64]
) -> Iterator[tuple[int, bytes]]:
    present = ~np.isnan(recording.values)
    for row in np.flatnonzero(present.any(axis=1)).tolist():
        columns = np.flatnonzero(present[row]).tolist()
        values = {recording.channels[column]: float(recording.values[row, column]) for column in columns}
        t = round(float(t_ms[row]))
        yield t, encode_json(device, profile.type, t, row, values)


def _frames(
    recording: Recording, profile: DeviceProfile, device: str, t_ms: NDArray[np.float64], block_ms: float
) -> Iterator[tuple[int, bytes]]:
    rows = np.flatnonzero(~np.isnan(recording.values).all(axis=1))
    step = np.diff(t_ms[rows])
    start = 0
    while start < len(rows):
        stop = start + 1
        # A frame has one spacing; where rows are missing or times irregular a new one begins.
        dt = float(step[start]) if start < len(step) and 0 < step[start] <= block_ms else 1.0
        while (
            stop < len(rows)
            and abs(step[stop - 1] - dt) < 1e-3 * dt
            and t_ms[rows[stop]] - t_ms[rows[start]] < block_ms - dt / 2
        ):
            stop += 1
        some = rows[start:stop]
        yield (
            round(float(t_ms[some[-1]])),
            encode_frame(
                device,
                profile.type,
                float(t_ms[some[0]]),
                dt,
                recording.channels,
                recording.values[some],
                int(some[0]),
            ),
        )
        start = stop
