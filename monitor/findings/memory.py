"""What a scorer remembers of each device from window to window. Knows not what the numbers mean.

For scorers of `models.scoring.RememberingScorer` only. A memory belongs to the model that made it: to another one its
numbers mean nothing, so every device begins anew with a new model.

Maintenance is a break in how a device has been going: what it read before and meanwhile, a fault above all, is no past
of what it reads from then on. What is usual of it stays, so that a fault that was not mended is found again; only
maintenance that says so begins that anew as well.

Pure and vectorised over the devices of one type in one partition.
Letters: D devices, B windows, T rows, M numbers a device.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.findings.blob import Meta, SnapshotError, pack, unpack
from monitor.findings.columns import NEVER, DeviceColumns, rounds
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile

FILLERS: Final = {"last_t": NEVER, "memory": 0}
"""Column → what it says of a device of which nothing is known yet."""
_KIND: Final = "memory"


class Recalled(NamedTuple):
    """What is remembered of the D devices of B windows, as `RememberingScorer.score_remembering` takes it."""

    memory: NDArray[np.float32]
    """(D, M) a copy; zeros of a device that is new."""
    new_rows: NDArray[np.int64]
    """(B,) how many of the newest rows no window before held; T of the first of a device that is new."""
    of: NDArray[np.intp]
    """(B,) the device of each window."""

    @classmethod
    def joined(cls, parts: "Sequence[Recalled]") -> "Recalled":
        """Of all windows together; each part has devices of its own."""
        first = np.cumsum([0, *(len(part.memory) for part in parts)])
        return cls(
            np.concatenate([part.memory for part in parts]),
            np.concatenate([part.new_rows for part in parts]),
            np.concatenate([part.of + begin for part, begin in zip(parts, first, strict=False)]),
        )


class Memories(DeviceColumns):
    """The devices of one type in one partition."""

    def __init__(self, profile: DeviceProfile, digest: str, lasting: NDArray[np.bool_]) -> None:
        """`digest`: of the model that remembers, see `ModelIdentity`; `lasting`: (M,) see `RememberingScorer`."""
        super().__init__(FILLERS)
        self.profile = profile
        self.digest = digest
        self.last_t = np.zeros(0, np.int64)
        """(D,) end of the newest window scored."""
        self.memory = np.zeros((0, len(lasting)), np.float32)
        """(D, M) what it left."""
        self._lasting = lasting
        self._window_ms = profile.window_rows * profile.grid_ms

    @property
    def width(self) -> int:
        """Numbers remembered of a device: M."""
        return self.memory.shape[1]

    @property
    def bytes_per_device(self) -> int:
        """Bytes of array that one device takes."""
        return self.memory.itemsize * self.width + self.last_t.itemsize

    # -- the road: recall → (score) → remember ---------------------------------------------------------

    def recall(self, batch: WindowBatch) -> Recalled:
        """Before these windows are scored; those of a device oldest first, none of them scored yet."""
        devices, of = _distinct(batch.devices)
        rows = self.rows(devices)
        last_t, known_t = self.last_t[rows], np.zeros_like(batch.end_t)
        for turn in rounds(of):
            device, end_t = of[turn], batch.end_t[turn]
            known_t[turn] = np.maximum(last_t[device], end_t - self._window_ms)
            last_t[device] = np.maximum(last_t[device], end_t)
        return Recalled(self.memory[rows], np.maximum(batch.end_t - known_t, 0) // self.profile.grid_ms, of)

    def remember(self, batch: WindowBatch, memory: NDArray[np.float32]) -> None:
        """Take the (D, M) memory that scoring these windows left, devices as `recall` told them; windows that came too
        late to be judged leave none.

        Raises:
            ValueError: `memory` is of another shape.
        """
        devices, of = _distinct(batch.devices)
        if memory.shape != (len(devices), self.width):
            raise ValueError(
                f"the scorer of {self.profile.type} left a memory of shape {memory.shape} of {len(devices)} devices, "
                f"wanted {(len(devices), self.width)}"
            )
        rows, last_t = self.rows(devices), np.full(len(devices), NEVER)
        np.maximum.at(last_t, of, batch.end_t)
        newer = last_t > self.last_t[rows]
        rows = rows[newer]
        self.last_t[rows], self.memory[rows] = last_t[newer], memory[newer]

    # -- what people do --------------------------------------------------------------------------------

    def renew(self, device: str, *, rebaseline: bool) -> None:
        """A device was serviced: with `rebaseline` it is new to the scorer, else what is usual of it stays."""
        row = self.row.get(device)
        if row is None:
            return
        if rebaseline:
            self.last_t[row], self.memory[row] = NEVER, 0
        else:
            self.memory[row, ~self._lasting] = 0

    # -- save and restore ------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """A copy of all that is remembered."""
        meta: dict[str, Meta] = {"type": self.profile.type, "digest": self.digest, "width": self.width}
        known = len(self)
        return pack(_KIND, meta, self.devices, {"last_t": self.last_t[:known], "memory": self.memory[:known]})

    @classmethod
    def restore(
        cls, profile: DeviceProfile, digest: str, lasting: NDArray[np.bool_], data: bytes
    ) -> "Memories":
        """Go on where `snapshot` was taken, or begin anew where another model did.

        Raises:
            SnapshotError: damaged, or of another device type.
        """
        saved = unpack(_KIND, data)
        if saved.meta.get("type") != profile.type:
            raise SnapshotError(f"memories of {saved.meta.get('type')!r}, wanted {profile.type!r}")
        memories, known = cls(profile, digest, lasting), len(saved.ids)
        if (saved.meta.get("digest"), saved.meta.get("width")) != (digest, memories.width):
            return memories
        memories.admit(saved.ids)
        for name in FILLERS:
            column, array = getattr(memories, name), saved.arrays.get(name)
            if array is None or (array.shape, array.dtype) != ((known, *column.shape[1:]), column.dtype):
                raise SnapshotError(
                    f"memories of {profile.type!r} do not fit: {name} is missing or misshapen"
                )
            column[:known] = array
        return memories


def _distinct(devices: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The devices of B windows, each once as they first occur, and (B,) which of them each window is of."""
    place = {device: i for i, device in enumerate(dict.fromkeys(devices))}
    return list(place), np.array([place[device] for device in devices], np.intp)
