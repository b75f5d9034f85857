"""Snapshots as bytes: named arrays and a list of ids, no pickle. Knows nothing of what they mean."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1

Array = NDArray[np.generic]
Meta = int | str | float | list[str]


class SnapshotError(Exception):
    """A snapshot that cannot be restored; `reason` is one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _Blob(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    kind: str
    meta: dict[str, Meta]
    ids: list[str]
    arrays: dict[str, _Array]


class Snapshot(msgspec.Struct, frozen=True):
    """What `unpack` gives back; arrays are writable and the caller's own."""

    meta: dict[str, Meta]
    ids: list[str]
    arrays: dict[str, Array]


def pack(
    kind: str,
    meta: Mapping[str, Meta],
    ids: Sequence[str],
    arrays: Mapping[str, Array],
) -> bytes:
    """Same content, same bytes: numbers are stored little-endian, row-major."""
    columns = {}
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        columns[name] = _Array(little.dtype.str, array.shape, little.tobytes())
    return msgspec.msgpack.encode(_Blob(VERSION, kind, dict(meta), list(ids), columns))


def unpack(kind: str, data: bytes) -> Snapshot:
    """Read what `pack` wrote.

    Raises:
        SnapshotError: not a snapshot of this kind and version, or its bytes do not fit its shapes.
    """
    try:
        blob = msgspec.msgpack.decode(data, type=_Blob)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"not a snapshot: {error}") from None
    if blob.version != VERSION or blob.kind != kind:
        raise SnapshotError(
            f"snapshot of {blob.kind!r} version {blob.version}, wanted {kind!r} version {VERSION}"
        )
    arrays = {}
    for name, column in blob.arrays.items():
        try:
            flat = np.frombuffer(column.data, dtype=np.dtype(column.dtype)).reshape(column.shape)
        except (TypeError, ValueError) as error:
            raise SnapshotError(f"array {name!r}: {error}") from None
        arrays[name] = flat.astype(flat.dtype.newbyteorder("="))
    return Snapshot(blob.meta, blob.ids, arrays)
