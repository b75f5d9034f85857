"""The two content types as they stand on the wire: their fields and limits, and how to write them."""

import re
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct
from numpy.typing import ArrayLike

from streams.records.rejecting import CONTENT_TYPE, RecordError, RejectReason, excerpt, line

JSON: Final = "application/json"
FRAME: Final = "application/vnd.attendant.frame+msgpack"

MAX_MESSAGE_BYTES = 1 << 20
"""Kafka's own default limit of a message; a larger one is refused unread."""
MAX_FRAME_READINGS = 1 << 17
"""Rows x channels of the profile that one frame may open up to: half a mebibyte of float32."""
MAX_T_MS = 253_402_300_799_999
"""Last millisecond of the year 9999, where ISO 8601 with four digits ends."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_DEVICE = re.compile(r"[A-Za-z0-9(][A-Za-z0-9._:@+=()~-]{0,127}", re.ASCII)
_DEVICE_RULE = "1 to 128 ASCII letters, digits and ._:@+=()~- (a letter, a digit or a bracket first)"

Version = Literal[1]
Time = Annotated[int, Meta(ge=0, le=MAX_T_MS)]
FractionalTime = Annotated[float, Meta(ge=0, le=MAX_T_MS)]
Period = Annotated[float, Meta(gt=0, le=MAX_T_MS)]
SequenceNumber = Annotated[int, Meta(ge=0, le=1 << 62)]
Reading = Annotated[float, Meta(ge=-_FLOAT32_MAX, le=_FLOAT32_MAX)] | None


class Frame(Struct, forbid_unknown_fields=True, gc=False):
    """The fields of a frame."""

    v: Version
    device: str
    type: str
    t0: FractionalTime
    dt: Period
    channels: Raw
    values: bytes
    seq: SequenceNumber = -1


def check_device(device: str) -> None:
    """A device id goes into keys, links, file names and tables, so it has none of their special characters.

    Raises:
        RecordError: an id that is none.
    """
    if not device:
        raise RecordError(RejectReason.NO_DEVICE, "the message names no device")
    if not _DEVICE.fullmatch(device):
        raise RecordError(RejectReason.BAD_DEVICE, f"{line(device[:64])} is not {_DEVICE_RULE}"[:200])


def content_type(headers: Sequence[tuple[str, bytes]]) -> str:
    """JSON or FRAME, by the last `content-type` header; parameters such as `charset` say nothing here.

    Raises:
        RecordError: none or another content type.
    """
    found: bytes | None = None
    for name, value in headers:
        if name == CONTENT_TYPE:
            found = value
    if found == b"application/json":
        return JSON
    if not found:
        raise RecordError(RejectReason.UNKNOWN_CONTENT_TYPE, "no content-type header")
    essence = found.split(b";", 1)[0].strip().lower()
    if essence == b"application/json":
        return JSON
    if essence == FRAME.encode():
        return FRAME
    raise RecordError(RejectReason.UNKNOWN_CONTENT_TYPE, excerpt(found))


def encode_json(
    device: str,
    type: str,  # noqa: A002 - the field's name on the wire
    t: int,
    seq: int,
    values: Mapping[str, float | None],
) -> bytes:
    """One sample as JSON. NaN and None become `null`; a negative `seq` is left out.

    Raises:
        RecordError: an infinite value.
    """
    readings = values.values()
    if inf in readings or -inf in readings:  # would become null, and a broken reading would be none at all
        raise RecordError(RejectReason.BAD_VALUE, "an infinite value")
    head: dict[str, object] = {"v": 1, "device": device, "type": type, "t": t}
    if seq >= 0:
        head["seq"] = seq
    head["values"] = values
    return msgspec.json.encode(head)


def encode_frame(
    device: str,
    type: str,  # noqa: A002 - the field's name on the wire
    t0: float,
    dt: float,
    channels: Sequence[str],
    values: ArrayLike,
    seq: int = -1,
) -> bytes:
    """Many samples as a msgpack frame.

    Args:
        t0: time of the first sample, ms since the epoch.
        dt: ms between samples, may be fractional (133 Hz).
        values: (samples, channels); NaN = missing.
        seq: sequence number of the first sample; a negative one is left out.

    Raises:
        RecordError: values that don't fit the channels or are infinite, or a time that is none.
    """
    rows = np.ascontiguousarray(values, dtype="<f4")
    if rows.ndim != 2 or rows.shape[1] != len(channels) or not len(rows):
        raise RecordError(RejectReason.FRAME_SIZE, f"values {rows.shape} for {len(channels)} channels")
    if np.isinf(rows).any():
        raise RecordError(RejectReason.BAD_VALUE, "an infinite value")
    if not (isfinite(t0) and isfinite(dt) and t0 >= 0 and dt > 0):
        raise RecordError(RejectReason.BAD_TIME, f"t0 {t0}, dt {dt}")
    head: dict[str, object] = {"v": 1, "device": device, "type": type, "t0": t0, "dt": dt}
    if seq >= 0:
        head["seq"] = seq
    return msgspec.msgpack.encode({**head, "channels": list(channels), "values": rows.tobytes()})
