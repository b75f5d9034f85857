"""The memories of a type's devices: what a scorer is told of each, what is kept, saved and forgotten."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.findings import Memories, SnapshotError
from monitor.findings.blob import pack
from tests.monitor.worlds import MODEL, PUMP, batch

STRIDE, ROWS = PUMP.stride_rows, PUMP.window_rows
LASTING = np.array([True, False])


def left(*numbers: float) -> NDArray[np.float32]:
    """What windows left, two numbers each."""
    return np.array([[number, -number] for number in numbers], np.float32)


def known(*devices: str, at: int = 0) -> Memories:
    """Device number n left n + 1."""
    memories = Memories(PUMP, MODEL.digest, LASTING)
    memories.remember(batch(devices, [at] * len(devices)), left(*range(1, len(devices) + 1)))
    return memories


def told(memories: Memories, devices: Sequence[str], ends: Sequence[int]) -> list[tuple[list[float], int]]:
    """Device by device what is remembered of it, and its new rows."""
    recalled = memories.recall(batch(devices, ends))
    return list(zip(recalled.memory.tolist(), recalled.new_rows.tolist(), strict=True))


def test_a_new_device_has_nothing_but_zeros_and_its_whole_window_is_new() -> None:
    assert told(known("A"), ["B", "A"], [1, 1]) == [([0, 0], ROWS), ([1, -1], STRIDE)]


@pytest.mark.parametrize(("strides", "rows"), [(1, 10), (3, 30), (6, 60), (500, 60)])
def test_as_many_rows_are_new_as_passed_since_the_window_before_and_never_more_than_it_has(
    strides: int, rows: int
) -> None:
    assert told(known("A"), ["A"], [strides]) == [([1, -1], rows)]


def test_a_window_that_ends_no_later_than_the_newest_has_nothing_new_and_leaves_nothing() -> None:
    memories = known("A", "B", at=5)
    for earlier in (5, 4, -500):
        assert told(memories, ["A"], [earlier]) == [([1, -1], 0)]
    memories.remember(batch(["A", "B"], [4, 6]), left(8, 9))
    assert told(memories, ["A", "B"], [6, 7]) == [([1, -1], STRIDE), ([9, -9], STRIDE)]


def test_of_several_windows_of_a_device_only_the_first_finds_the_rows_before_it() -> None:
    recalled = known("A").recall(batch(["B", "A", "B", "A", "A"], [1, 1, 2, 3, 3]))
    assert recalled.memory.tolist() == [[0, 0], [1, -1]]
    assert recalled.of.tolist() == [0, 1, 0, 1, 1]
    assert recalled.new_rows.tolist() == [ROWS, STRIDE, STRIDE, 2 * STRIDE, 0]


def test_what_the_newest_of_several_windows_left_is_kept_of_each_device() -> None:
    memories = known("A", "B", at=5)
    memories.remember(batch(["B", "A", "B"], [4, 7, 6]), left(8, 9))
    assert told(memories, ["A", "B"], [8, 7]) == [([9, -9], STRIDE), ([8, -8], STRIDE)]
    memories.remember(batch(["B", "B"], [4, 5]), left(10))
    assert told(memories, ["B"], [7]) == [([8, -8], STRIDE)]


def test_what_a_scorer_does_to_its_arrays_afterwards_changes_no_memory() -> None:
    memories, answered = known("A"), left(7)
    memories.remember(batch(["A"], [1]), answered)
    answered += 1
    memories.recall(batch(["A"], [2])).memory[:] = 3
    assert told(memories, ["A"], [2]) == [([7, -7], STRIDE)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (2,)])
def test_a_memory_of_another_shape_than_the_scorer_said_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"infusion-pump left a memory of shape .* wanted \(1, 2\)"):
        known("A").remember(batch(["A"], [1]), np.zeros(shape, np.float32))


def test_a_forgotten_device_is_new_when_it_returns_and_the_others_keep_theirs() -> None:
    memories = known("A", "B", "C")
    memories.forget(["A", "nobody"])
    assert told(memories, ["C", "A", "B"], [1, 1, 1]) == [
        ([3, -3], STRIDE),
        ([0, 0], ROWS),
        ([2, -2], STRIDE),
    ]


@pytest.mark.parametrize(("rebaseline", "after"), [(True, ([0, 0], ROWS)), (False, ([1, 0], STRIDE))])
def test_of_a_serviced_device_only_what_lasts_is_kept_and_nothing_where_its_baseline_begins_anew(
    rebaseline: bool, after: tuple[list[float], int]
) -> None:
    memories = known("A", "B")
    for device in ("A", "nobody"):
        memories.renew(device, rebaseline=rebaseline)
    assert told(memories, ["A", "B"], [1, 1]) == [after, ([2, -2], STRIDE)]


def test_a_restored_memory_is_the_same_to_the_bit() -> None:
    memories = known(*(f"P-{n}" for n in range(40)))
    again = Memories.restore(PUMP, MODEL.digest, LASTING, memories.snapshot())
    assert again.snapshot() == memories.snapshot()
    assert told(again, ["P-39", "P-40"], [1, 1]) == [([40, -40], STRIDE), ([0, 0], ROWS)]


@pytest.mark.parametrize(("digest", "width"), [("cd" * 32, 2), (MODEL.digest, 3)])
def test_the_memory_of_another_model_means_nothing_and_begins_anew(digest: str, width: int) -> None:
    again = Memories.restore(PUMP, digest, np.ones(width, np.bool_), known("A").snapshot())
    assert len(again) == 0
    assert told(again, ["A"], [1]) == [([0] * width, ROWS)]


def test_damaged_or_foreign_snapshots_are_refused() -> None:
    saved = known("A", "B").snapshot()
    with pytest.raises(SnapshotError, match="not a snapshot"):
        Memories.restore(PUMP, MODEL.digest, LASTING, saved[:-3])
    other = PUMP.model_copy(update={"type": "icu-ventilator"})
    with pytest.raises(SnapshotError, match="wanted 'icu-ventilator'"):
        Memories.restore(other, MODEL.digest, LASTING, saved)
    with pytest.raises(SnapshotError, match="wanted 'memory'"):
        Memories.restore(PUMP, MODEL.digest, LASTING, msgspec.msgpack.encode([1, "judge", {}, [], {}]))


@pytest.mark.parametrize(
    "memory", [None, np.zeros((1, 2), np.float32), np.zeros((2, 2), np.float64), np.zeros(2, np.float32)]
)
def test_a_snapshot_whose_columns_do_not_fit_its_devices_is_refused(
    memory: NDArray[np.generic] | None,
) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"last_t": np.zeros(2, np.int64)}
    arrays |= {} if memory is None else {"memory": memory}
    meta: dict[str, int | str | float | list[str]] = {"type": PUMP.type, "digest": MODEL.digest, "width": 2}
    with pytest.raises(SnapshotError, match="memory is missing or misshapen"):
        Memories.restore(PUMP, MODEL.digest, LASTING, pack("memory", meta, ["A", "B"], arrays))


def test_a_device_takes_its_numbers_and_a_moment() -> None:
    assert Memories(PUMP, MODEL.digest, np.ones(12, np.bool_)).bytes_per_device == 12 * 4 + 8
