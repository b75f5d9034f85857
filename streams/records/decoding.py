"""The decoder: messages of a poll to columns. No object of a sample outlives its turn in the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw
from msgspec.structs import astuple
from numpy.typing import NDArray

from streams.blocks import SampleBlock
from streams.devices import DeviceProfile
from streams.records.diagnosis import MALFORMED, diagnose
from streams.records.rejecting import RecordError, Rejection, RejectReason, line
from streams.records.wire import (
    JSON,
    MAX_FRAME_READINGS,
    MAX_MESSAGE_BYTES,
    MAX_T_MS,
    Frame,
    Reading,
    SequenceNumber,
    Time,
    Version,
    check_device,
    content_type,
)
from streams.transport import Message, TopicPartition

# A channel that the sample does not name, told from `null` and from any number by identity.
_ABSENT = float("nan")
# A frame's channels stand in few orders; who sends ever new ones empties the cache and pays for that himself.
_MAX_ORDERS = 256


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a poll. Every message is in a block or in `rejections`, never in both."""

    blocks: dict[tuple[TopicPartition, str], SampleBlock] = field(default_factory=dict)
    """By partition and device type; samples in the order of arrival."""
    rejections: list[Rejection] = field(default_factory=list)
    """In the order of arrival."""


class Decoder:
    """Decodes the messages of a poll for a fixed set of device profiles.

    Args:
        profiles: by device type; at least one.
        max_bytes: longer messages are rejected unread.
    """

    def __init__(self, profiles: Mapping[str, DeviceProfile], max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        if not profiles:
            raise ValueError("no device profile, so that no message could be decoded")
        self._max_bytes = max_bytes
        self._profiles = {profile.type: profile for profile in profiles.values()}
        self._kinds = {profile.type: _Kind(profile) for profile in profiles.values()}
        self._kind_of: dict[type[Any], _Kind] = {kind.sample: kind for kind in self._kinds.values()}
        union: Any = None
        for sample in self._kind_of:
            union = sample if union is None else union | sample
        self._sample = msgspec.json.Decoder(union).decode
        self._frame = msgspec.msgpack.Decoder(Frame).decode

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """Sort the messages of a poll into samples and rejections. Raises on no bytes whatever."""
        builders: dict[tuple[str, int], dict[str, _Builder]] = {}
        decoded = Decoded()
        for message in messages:
            topic, partition, _, key, value, headers = message
            here = builders.get((topic, partition))
            if here is None:
                here = builders[topic, partition] = {}
            try:
                if content_type(headers) is JSON:
                    self._take_sample(value, key, here)
                else:
                    self._take_frame(value, key, here)
            except RecordError as error:
                decoded.rejections.append(Rejection(message, error.reason, error.detail))
        for place, of_types in builders.items():
            for device_type, builder in of_types.items():
                if builder.devices:
                    decoded.blocks[TopicPartition(*place), device_type] = builder.block()
        return decoded

    def _take_sample(self, value: bytes, key: bytes | None, here: dict[str, "_Builder"]) -> None:
        if len(value) > self._max_bytes:
            raise RecordError(RejectReason.TOO_LARGE, f"{len(value)} bytes")
        try:
            sample = self._sample(value)
        except MALFORMED as error:
            raise diagnose(value, msgspec.json, self._profiles, error) from None
        row = astuple(sample.values)
        # Every string in a valid sample is a key, the device or the type, and none of them can hold a quote.
        # So the quotes tell how many keys were given, and more than expected are a key given twice.
        strings = 7 + (sample.seq >= 0) + len(row) - row.count(_ABSENT)
        if value.count(b'"') != 2 * strings:
            check_device(sample.device)
            raise RecordError(RejectReason.DUPLICATE_KEY, "a key is given twice")
        self._builder(self._kind_of[type(sample)], here).add_sample(sample, key, row)

    def _take_frame(self, value: bytes, key: bytes | None, here: dict[str, "_Builder"]) -> None:
        if len(value) > self._max_bytes:
            raise RecordError(RejectReason.TOO_LARGE, f"{len(value)} bytes")
        try:
            frame = self._frame(value)
        except MALFORMED as error:
            raise diagnose(value, msgspec.msgpack, self._profiles, error) from None
        kind = self._kinds.get(frame.type)
        if kind is None:
            raise RecordError(RejectReason.UNKNOWN_DEVICE_TYPE, line(frame.type))
        if _map_length(value) != 7 + (frame.seq >= 0):
            raise RecordError(RejectReason.DUPLICATE_KEY, "a key is given twice")
        order = kind.order(frame.channels)
        values = _frame_values(frame.values, len(order), kind.columns)
        # In float64, where milliseconds of our days have three decimals.
        t = np.rint(frame.t0 + np.arange(len(values)) * frame.dt)
        if t[-1] > MAX_T_MS:
            raise RecordError(RejectReason.BAD_TIME, "t0 and dt lead past the year 9999")
        builder = self._builder(kind, here)
        builder.add_frame(builder.slot(frame.device, key), t.astype(np.int64), frame.seq, order, values)

    @staticmethod
    def _builder(kind: "_Kind", here: dict[str, "_Builder"]) -> "_Builder":
        builder = here.get(kind.type)
        if builder is None:
            builder = here[kind.type] = _Builder(kind)
        return builder


class _Kind:
    """One device type, ready to decode: its class of JSON samples and its column orders of frames."""

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self.type = profile.type
        self.columns = len(profile.names)
        # `c0`, `c1` … because a channel may be called `class`.
        fields = {f"c{column}": name for column, name in enumerate(profile.names)}
        values = msgspec.defstruct(
            "Values",
            [(name, Reading, _ABSENT) for name in fields],
            rename=fields,
            forbid_unknown_fields=True,
            gc=False,
        )
        self.sample: type[Any] = msgspec.defstruct(
            "Sample",
            [("v", Version), ("device", str), ("t", Time), ("values", values), ("seq", SequenceNumber, -1)],
            tag_field="type",
            tag=profile.type,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._orders: dict[bytes, NDArray[np.intp]] = {}

    def order(self, channels: Raw) -> NDArray[np.intp]:
        """Column of each of a frame's channels; `channels` is the msgpack array as it came.

        Raises:
            RecordError: unknown, repeated or no channels.
        """
        raw = bytes(channels)
        order = self._orders.get(raw)
        if order is None:
            order = self._new_order(raw)
            if len(self._orders) >= _MAX_ORDERS:
                self._orders.clear()
            self._orders[raw] = order
        return order

    def _new_order(self, raw: bytes) -> NDArray[np.intp]:
        try:
            names = msgspec.msgpack.decode(raw, type=list[str])
        except MALFORMED as error:
            raise RecordError(RejectReason.SCHEMA, f"channels: {line(error)}"[:200]) from None
        if not names:
            raise RecordError(RejectReason.SCHEMA, "channels: none")
        for name in names:
            if name not in self.profile.index:
                raise RecordError(RejectReason.UNKNOWN_CHANNEL, line(name))
        if len(set(names)) < len(names):
            raise RecordError(RejectReason.DUPLICATE_KEY, "a channel is named twice")
        return np.array([self.profile.index[name] for name in names], dtype=np.intp)


class _Piece(NamedTuple):
    """Some rows of a block: the columns of `SampleBlock` by the same names."""

    device: NDArray[np.int32]
    t: NDArray[np.int64]
    seq: NDArray[np.int64]
    values: NDArray[np.float32]


class _Builder:
    """The rows of one partition and device type, as columns."""

    __slots__ = ("_device", "_flat", "_pieces", "_seq", "_slots", "_t", "devices", "kind")

    def __init__(self, kind: _Kind) -> None:
        self.kind = kind
        self.devices: list[str] = []
        self._slots: dict[bytes | None, int] = {}
        self._pieces: list[_Piece] = []
        # JSON samples since the last piece; `_flat` holds one row behind the other.
        self._device: list[int] = []
        self._t: list[int] = []
        self._seq: list[int] = []
        self._flat: list[float | None] = []

    def slot(self, device: str, key: bytes | None) -> int:
        """Index of the device. The id is checked when it is new; all rows of a known one have its key.

        Raises:
            RecordError: an id that is none, or a message key that is not the id.
        """
        slot = self._slots.get(key)
        if slot is not None and self.devices[slot] == device:
            return slot
        check_device(device)
        if key != device.encode():
            shown = "no key" if key is None else f"key {line(key[:64].decode('utf-8', 'replace'))}"
            raise RecordError(RejectReason.KEY_MISMATCH, f"{shown}, device {device}"[:200])
        self._slots[key] = slot = len(self.devices)
        self.devices.append(device)
        return slot

    def add_sample(self, sample: Any, key: bytes | None, row: tuple[float | None, ...]) -> None:
        """Take a sample of this kind; `row` is its values in the order of the profile."""
        slot = self._slots.get(key)
        if slot is None or self.devices[slot] != sample.device:
            slot = self.slot(sample.device, key)
        self._device.append(slot)
        self._t.append(sample.t)
        self._seq.append(sample.seq)
        self._flat += row

    def add_frame(
        self, slot: int, t: NDArray[np.int64], seq: int, order: NDArray[np.intp], values: NDArray[np.float32]
    ) -> None:
        self._flush()
        n = len(t)
        rows = np.full((n, self.kind.columns), np.nan, dtype=np.float32)
        rows[:, order] = values
        numbers = np.arange(seq, seq + n, dtype=np.int64) if seq >= 0 else np.full(n, -1, dtype=np.int64)
        self._pieces.append(_Piece(np.full(n, slot, dtype=np.int32), t, numbers, rows))

    def block(self) -> SampleBlock:
        self._flush()
        pieces = self._pieces
        columns = pieces[0] if len(pieces) == 1 else _Piece(*map(np.concatenate, zip(*pieces, strict=True)))
        return SampleBlock(self.kind.profile, self.devices, *columns)

    def _flush(self) -> None:
        if not self._t:
            return
        values = np.array(self._flat, dtype=np.float32).reshape(len(self._t), self.kind.columns)
        numbers = np.array(self._seq, dtype=np.int64)
        times = np.array(self._t, dtype=np.int64)
        self._pieces.append(_Piece(np.array(self._device, dtype=np.int32), times, numbers, values))
        self._device, self._t, self._seq, self._flat = [], [], [], []


def _frame_values(raw: bytes, channels: int, columns: int) -> NDArray[np.float32]:
    """(samples, channels) of a frame, a view of its bytes."""
    rows, rest = divmod(len(raw), 4 * channels)
    if rest or not rows:
        problem = f"{len(raw)} bytes are not whole samples of {channels} channels"
        raise RecordError(RejectReason.FRAME_SIZE, problem)
    if rows * columns > MAX_FRAME_READINGS:
        problem = f"{rows} samples, at most {MAX_FRAME_READINGS // columns} in a frame of this device type"
        raise RecordError(RejectReason.FRAME_SIZE, problem)
    values = np.frombuffer(raw, dtype="<f4").reshape(rows, channels)
    if np.isinf(values).any():
        raise RecordError(RejectReason.BAD_VALUE, "an infinite value")
    return values


def _map_length(packed: bytes) -> int:
    """Entries that the outermost msgpack map says it has (fixmap, map 16 or map 32)."""
    width = {0xDE: 2, 0xDF: 4}.get(packed[0], 0)
    return int.from_bytes(packed[1 : 1 + width]) if width else packed[0] & 0x0F
