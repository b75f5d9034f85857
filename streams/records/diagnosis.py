"""What is wrong with a message that the strict decoder refused. Only bad messages pay for it."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from streams.devices import DeviceProfile
from streams.records.rejecting import RecordError, RejectReason, excerpt, line
from streams.records.wire import FractionalTime, Period, Reading, Time, Version, check_device

MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on bytes; a test with arbitrary bytes holds it."""


class _Loose(Struct, gc=False):
    """Any object, each known field unread."""

    v: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET
    device: Raw | UnsetType = UNSET
    t: Raw | UnsetType = UNSET
    t0: Raw | UnsetType = UNSET
    dt: Raw | UnsetType = UNSET
    values: Raw | UnsetType = UNSET


# In this order: a message of another version is that, whatever else it has.
_FIELDS: Final[Sequence[tuple[str, Any, RejectReason]]] = (
    ("v", Version, RejectReason.UNKNOWN_VERSION),
    ("type", str, RejectReason.UNKNOWN_DEVICE_TYPE),
    ("device", str, RejectReason.BAD_DEVICE),
    ("t", Time, RejectReason.BAD_TIME),
    ("t0", FractionalTime, RejectReason.BAD_TIME),
    ("dt", Period, RejectReason.BAD_TIME),
)


def diagnose(
    value: bytes, codec: ModuleType, profiles: Mapping[str, DeviceProfile], error: Exception
) -> RecordError:
    """Name the reason.

    Args:
        codec: `msgspec.json` or `msgspec.msgpack`.
        error: what the strict decoder raised.
    """
    unreadable = RejectReason.NOT_JSON if codec is msgspec.json else RejectReason.NOT_MSGPACK
    try:
        loose = codec.decode(value, type=_Loose)
        _check_fields(loose, codec, profiles)
    except RecordError as found:
        return found
    except RecursionError:
        return RecordError(unreadable, "nested too deeply")
    except msgspec.ValidationError as invalid:
        return RecordError(RejectReason.SCHEMA, line(invalid))
    except MALFORMED as malformed:
        return RecordError(unreadable, line(malformed))
    if isinstance(error, msgspec.ValidationError):
        return RecordError(RejectReason.SCHEMA, line(error))
    return RecordError(unreadable, line(error))


def _check_fields(loose: _Loose, codec: ModuleType, profiles: Mapping[str, DeviceProfile]) -> None:
    """Raise RecordError for the first field that is present and not what it should be."""
    for name, kind, reason in _FIELDS:
        raw = getattr(loose, name)
        if raw is not UNSET and not _fits(codec, raw, kind):
            raise RecordError(reason, f"{name}: {excerpt(bytes(raw))}")
    check_device("" if isinstance(loose.device, UnsetType) else codec.decode(loose.device, type=str))
    if isinstance(loose.type, UnsetType):
        return
    profile = profiles.get(codec.decode(loose.type, type=str))
    if profile is None:
        raise RecordError(RejectReason.UNKNOWN_DEVICE_TYPE, excerpt(bytes(loose.type)))
    if codec is msgspec.json and not isinstance(loose.values, UnsetType):
        _check_values(codec.decode(loose.values, type=dict[str, Raw]), profile)


def _check_values(values: Mapping[str, Raw], profile: DeviceProfile) -> None:
    for name, raw in values.items():
        if name not in profile.index:
            raise RecordError(RejectReason.UNKNOWN_CHANNEL, line(name))
        if not _fits(msgspec.json, raw, Reading):
            raise RecordError(RejectReason.BAD_VALUE, f"{name}: {excerpt(bytes(raw))}")


def _fits(codec: ModuleType, raw: Raw, kind: Any) -> bool:
    try:
        codec.decode(raw, type=kind)
    except msgspec.ValidationError:
        return False
    return True
