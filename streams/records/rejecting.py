"""Why a message is not taken, and what becomes of it. Knows nothing about how messages are decoded."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from streams.transport import Message

CONTENT_TYPE: Final = "content-type"
"""Name of the message header that chooses the decoder."""
MAX_REJECTED_BYTES = 768 * 1024
"""Longest value passed on: with its headers it stays below a topic's default limit of 1 MiB a message."""
MAX_REJECTED_KEY_BYTES = 1024


class RejectReason(StrEnum):
    """Why a message was not taken; also the label values of `attendant_rejected_total`."""

    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_MSGPACK = "not_msgpack"
    UNKNOWN_VERSION = "unknown_version"
    SCHEMA = "schema"
    """A field is missing, unknown or of the wrong type."""
    DUPLICATE_KEY = "duplicate_key"
    UNKNOWN_DEVICE_TYPE = "unknown_device_type"
    UNKNOWN_CHANNEL = "unknown_channel"
    NO_DEVICE = "no_device"
    BAD_DEVICE = "bad_device"
    """The device id has characters that an id may not have, or too many."""
    KEY_MISMATCH = "key_mismatch"
    """The message's key is not its device id, so that its order is not the device's order."""
    BAD_TIME = "bad_time"
    BAD_VALUE = "bad_value"
    """A value is no number or does not fit into float32."""
    FRAME_SIZE = "frame_size"
    """The bytes of a frame are not whole samples, are none, or are too many."""


class RecordError(Exception):
    """A record that cannot be decoded or encoded. `detail` is one printable ASCII line."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Rejection(NamedTuple):
    """A message that was not taken. `detail` is one printable ASCII line of at most 200 characters."""

    message: Message
    reason: RejectReason
    detail: str


def line(text: object) -> str:
    """`text` as one printable ASCII line of at most 200 characters, whatever a sender put into it."""
    return ascii(str(text)[:200])[1:-1][:200]


def excerpt(raw: bytes) -> str:
    """The first bytes of a field as one printable line."""
    return line(raw[:64].decode("utf-8", "replace") + ("..." if len(raw) > 64 else ""))


def rejected_headers(rejection: Rejection) -> list[tuple[str, bytes]]:
    """What a reader of `telemetry.rejected` must know beside the bytes: why, from where, and their hash."""
    message = rejection.message
    headers = [
        ("rejected-reason", rejection.reason.encode()),
        ("rejected-detail", rejection.detail.encode()),
        ("source-topic", message.topic.encode()),
        ("source-partition", str(message.partition).encode()),
        ("source-offset", str(message.offset).encode()),
        ("source-sha256", hashlib.sha256(message.value).hexdigest().encode()),
    ]
    content_types = [value for name, value in message.headers if name == CONTENT_TYPE]
    if content_types:
        headers.append((CONTENT_TYPE, content_types[-1][:200]))
    return headers


def rejected_message(rejection: Rejection) -> tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]:
    """(key, value, headers) for `telemetry.rejected`: the original bytes, so that they can be looked into.

    A message at the broker's limit would not fit any more with headers added, and one that the broker refuses
    would stop the rest: its value is cut, and `source-bytes` says how long it was. The hash is of the whole.
    """
    message = rejection.message
    headers = rejected_headers(rejection)
    if len(message.value) > MAX_REJECTED_BYTES:
        headers.append(("source-bytes", str(len(message.value)).encode()))
    key = message.key if message.key is not None and len(message.key) <= MAX_REJECTED_KEY_BYTES else None
    return key, message.value[:MAX_REJECTED_BYTES], headers
