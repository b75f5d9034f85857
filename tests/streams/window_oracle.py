"""The rules of `streams.windows` once more, sample by sample and as plainly as can be: what the fast store must do.

Slow, one device at a time, unbounded memory of duplicates. Written from the rules, shares no code with the store.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from streams.devices import DeviceProfile

Cell = list[tuple[int, int, int, float]]  # (t, seq, arrival, reading)


@dataclass
class Device:
    newest: int | None = None
    newest_seq: int = -1
    first_t: int = 0
    first_row: int = 0
    base: int = 0
    cells: dict[tuple[int, int], Cell] = field(default_factory=lambda: defaultdict(list))
    known: set[tuple[int, int, bytes]] = field(default_factory=set)
    late: list[int] = field(default_factory=list)
    advances: int = 0


class WindowOracle:
    """`push` one sample; `windows` collects (device, end_t, values (T, C))."""

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self.devices: dict[str, Device] = defaultdict(Device)
        self.counts: Counter[str] = Counter()
        self.windows: list[tuple[str, int, np.ndarray]] = []
        self.arrivals = 0

    def push(self, name: str, t: int, seq: int, values: np.ndarray, now_ms: int) -> None:
        device = self.devices[name]
        if t > now_ms + 300_000:
            self.counts["future"] += 1
        elif t < 0:
            self.counts["late"] += 1
        elif device.newest is not None and t < device.newest - self.profile.lateness_ms:
            if self._clock_was_set_back(device, t, seq):
                self.counts["clock_reset"] += 1
                self._end(name, device)
                self.devices[name] = device = Device()
                self._accept(name, device, t, seq, values)
            else:
                self.counts["late"] += 1
        elif device.newest is not None and (t, seq, values.tobytes()) in device.known:
            self.counts["duplicate"] += 1
        else:
            self._accept(name, device, t, seq, values)

    def _accept(self, name: str, device: Device, t: int, seq: int, values: np.ndarray) -> None:
        profile, row = self.profile, t // self.profile.grid_ms
        self.counts["accepted"] += 1
        device.late = []
        device.known.add((t, seq, values.tobytes()))
        if device.newest is not None:
            late_rows = math.ceil(profile.lateness_ms / profile.grid_ms)
            if row - device.newest // profile.grid_ms > max(profile.window_rows, late_rows + 2):
                self.counts["gap"] += 1
                self._end(name, device)
                known = device.known
                self.devices[name] = device = Device(known=known, first_t=device.first_t)
                device.first_row = row
                device.newest, device.newest_seq = t, seq
                device.base = (t - profile.lateness_ms) // profile.grid_ms
        if device.newest is None:
            device.first_t, device.first_row = t, row
            device.base = (t - profile.lateness_ms) // profile.grid_ms
        if device.newest is None or t > device.newest:
            device.newest, device.newest_seq = t, seq
        self._put(device, t, seq, values)
        self._advance(name, device, (device.newest - profile.lateness_ms) // profile.grid_ms)

    def _put(self, device: Device, t: int, seq: int, values: np.ndarray) -> None:
        self.arrivals += 1
        for column, channel in enumerate(self.profile.channels):
            reading = float(values[column])
            if np.float32(channel.low) <= values[column] <= np.float32(channel.high):
                cell = device.cells[t // self.profile.grid_ms, column]
                cell.append((t, seq, self.arrivals, reading))
            elif not math.isnan(reading):
                self.counts["out_of_range"] += 1

    def _clock_was_set_back(self, device: Device, t: int, seq: int) -> bool:
        assert device.newest is not None
        before_all = t < device.first_t
        if 0 <= seq <= device.newest_seq and not before_all:
            return False
        fastest = min(channel.period_ms for channel in self.profile.channels)
        if not device.late or abs(t - device.late[-1]) > max(600_000, 4 * fastest):
            device.late, device.advances = [t], 1
        else:
            device.advances += t > max(device.late)
            device.late.append(t)
        sure = before_all or (device.newest_seq >= 0 and seq > device.newest_seq)
        return device.advances >= 8 and max(device.late) - device.late[0] >= (60_000 if sure else 600_000)

    def _end(self, name: str, device: Device) -> None:
        assert device.newest is not None
        reached = device.newest // self.profile.grid_ms
        if reached + 1 - device.first_row >= self.profile.min_rows:
            self._advance(name, device, reached + self.profile.window_rows)

    def _advance(self, name: str, device: Device, final: int) -> None:
        profile = self.profile
        while device.base < final:
            device.base += 1
            if device.base % profile.stride_rows == 0 and device.base - device.first_row >= profile.min_rows:
                self._window(name, device, device.base)

    def _window(self, name: str, device: Device, stop: int) -> None:
        profile = self.profile
        values = np.full((profile.window_rows, len(profile.channels)), np.nan, np.float32)
        for i in range(profile.window_rows):
            for column, channel in enumerate(profile.channels):
                cell = device.cells.get((stop - profile.window_rows + i, column))
                if cell:
                    values[i, column] = combine(channel.combine, cell)
        if not np.isnan(values).all():
            self.windows.append((name, stop * profile.grid_ms, values))


def combine(kind: str, cell: Cell) -> np.float32:
    readings = [reading for _, _, _, reading in sorted(cell, key=lambda entry: entry[2])]
    match kind:
        case "mean":
            return np.float32(sum(readings) / len(readings))
        case "rms":
            return np.float32(math.sqrt(sum(reading * reading for reading in readings) / len(readings)))
        case "max":
            return np.float32(max(readings))
        case _:
            return np.float32(max(cell)[3])
