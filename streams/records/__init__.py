"""Bytes to samples: decodes both content types of the telemetry topic, and encodes them.

A message becomes rows of a `SampleBlock` or a `Rejection` with a reason from a closed list, exactly one of the
two, whatever its bytes. Knows no broker client and no window. A reading outside its channel's plausible range is
no matter of this package: that is a good message about a broken sensor.
"""

from streams.records.decoding import Decoded, Decoder
from streams.records.rejecting import (
    CONTENT_TYPE,
    RecordError,
    Rejection,
    RejectReason,
    rejected_headers,
    rejected_message,
)
from streams.records.wire import (
    FRAME,
    JSON,
    MAX_FRAME_READINGS,
    MAX_MESSAGE_BYTES,
    MAX_T_MS,
    encode_frame,
    encode_json,
)

__all__ = [
    "CONTENT_TYPE",
    "FRAME",
    "JSON",
    "MAX_FRAME_READINGS",
    "MAX_MESSAGE_BYTES",
    "MAX_T_MS",
    "Decoded",
    "Decoder",
    "RecordError",
    "RejectReason",
    "Rejection",
    "encode_frame",
    "encode_json",
    "rejected_headers",
    "rejected_message",
]
