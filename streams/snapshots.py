"""Bytes of a saved window store: versioned, bound to the profile, checked. Knows nothing about what the arrays mean."""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.devices import DeviceProfile

SNAPSHOT_VERSION = 1


class SnapshotError(Exception):
    """A snapshot that can't be restored; the message says why and what to do."""


class Contents(msgspec.Struct, frozen=True):
    """What is saved."""

    devices: list[str]
    counts: dict[str, int]
    packed: dict[str, tuple[str, tuple[int, ...], bytes]]
    """Arrays by name, as dtype, shape and bytes."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, read-only.

        Raises:
            ValueError: bytes that don't fit dtype and shape.
        """
        return {
            name: np.frombuffer(data, np.dtype(dtype)).reshape(shape)
            for name, (dtype, shape, data) in self.packed.items()
        }


class _Envelope(msgspec.Struct, frozen=True):
    version: int
    profile: str
    size: int
    checksum: int
    body: bytes
    """zstd of the msgpack of `Contents`."""


def pack(
    profile: DeviceProfile, devices: list[str], counts: Mapping[str, int], arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """Save arrays whose first axis goes over `devices`."""
    packed = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}
    body = msgspec.msgpack.encode(Contents(devices, dict(counts), packed))
    small = pa.compress(body, codec="zstd", asbytes=True)
    return msgspec.msgpack.encode(
        _Envelope(SNAPSHOT_VERSION, digest(profile), len(body), zlib.crc32(small), small)
    )


def unpack(profile: DeviceProfile, snapshot: bytes) -> Contents:
    """What `pack` saved.

    Raises:
        SnapshotError: the bytes are none of `pack`, damaged, or of another version or profile.
    """
    try:
        envelope = msgspec.msgpack.decode(snapshot, type=_Envelope)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"this is no snapshot of windows: {error}") from None
    if envelope.version != SNAPSHOT_VERSION:
        raise SnapshotError(
            f"the snapshot has version {envelope.version}, this release reads {SNAPSHOT_VERSION}: start without it"
        )
    if envelope.profile != digest(profile):
        raise SnapshotError(
            f"the snapshot was taken with another profile than the {profile.type} of now (grid, window or channels "
            "differ): start without it, devices are learnt anew"
        )
    if zlib.crc32(envelope.body) != envelope.checksum:
        raise SnapshotError(f"the snapshot of {profile.type} is damaged: start without it")
    try:
        body = pa.decompress(envelope.body, envelope.size, codec="zstd", asbytes=True)
        return msgspec.msgpack.decode(body, type=Contents)
    except (msgspec.DecodeError, pa.ArrowException, OSError) as error:
        raise SnapshotError(f"the snapshot of {profile.type} is damaged: {error}") from None


def layout(profile: DeviceProfile) -> dict[str, object]:
    """The part of a profile on which cells and windows depend; titles and codes may change."""
    fields = {"name", "period_ms", "low", "high", "combine"}
    channels = [channel.model_dump(include=fields) for channel in profile.channels]
    grid = profile.model_dump(
        include={"type", "grid_ms", "window_rows", "stride_rows", "min_rows", "lateness_ms"}
    )
    return grid | {"channels": channels}


def digest(profile: DeviceProfile) -> str:
    """SHA-256 of the `layout`."""
    return hashlib.sha256(msgspec.json.encode(layout(profile), order="deterministic")).hexdigest()
