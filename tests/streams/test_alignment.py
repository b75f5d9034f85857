"""Offline cells: the same as those of the online store, and how training windows are cut from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.alignment import to_grid, windows_of
from streams.blocks import SampleBlock
from streams.devices import DeviceProfile
from streams.windows import WindowStore

START = 1_700_000_000_000
KINDS = ("mean", "last", "max", "rms")


def profile(*kinds: str, **changes: object) -> DeviceProfile:
    channels = [
        {
            "name": f"c{i}",
            "title": kind,
            "unit": "1",
            "period_ms": 100,
            "low": -50,
            "high": 50,
            "combine": kind,
        }
        for i, kind in enumerate(kinds)
    ]
    fields: dict[str, object] = {
        "type": "test-pump",
        "title": "Pump",
        "grid_ms": 1000,
        "window_rows": 8,
        "stride_rows": 1,
        "min_rows": 1,
        "lateness_ms": 2000,
        "silent_after_ms": 60_000,
        "channels": channels,
    }
    return DeviceProfile.model_validate(fields | changes)


def online(
    of: DeviceProfile, t: NDArray[np.int64], values: NDArray[np.float32]
) -> dict[int, NDArray[np.float32]]:
    """The last row of every window of a store, by the end of the row."""
    n = len(t)
    block = SampleBlock(of, ["d"], np.zeros(n, np.int32), t, np.full(n, -1), values)
    batches = WindowStore(of).push(block, int(t.max()))
    return {
        int(end): window[-1]
        for batch in batches
        for end, window in zip(batch.end_t, batch.values, strict=True)
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 30, 400, 3000]), st.booleans())
def test_offline_cells_equal_the_online_ones_bit_for_bit(seed: int, step_ms: int, shuffled: bool) -> None:
    of, rng = profile(*KINDS), np.random.default_rng(seed)
    t = START + np.cumsum(rng.integers(1, 2 * step_ms, 3000))
    if shuffled:
        t = t[np.argsort(t + rng.integers(0, 1500, len(t)), kind="stable")]
    values = rng.uniform(-55, 55, (3000, len(KINDS))).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan

    ends, cells, mask = to_grid(of, t, values)

    rows = online(of, t, values)
    assert len(rows) > 0
    for end, row in rows.items():
        assert row.tobytes() == cells[np.flatnonzero(ends == end)[0]].tobytes()
    assert (np.isnan(cells) == ~mask).all()


def test_cells_run_from_the_first_to_the_last_row_with_gaps_masked() -> None:
    of = profile("mean", "last")

    ends, cells, mask = to_grid(of, [2500.4, 2999.4, 5000.0], np.array([[1, 2], [2, np.nan], [np.nan, 60]]))

    assert ends.tolist() == [3000, 4000, 5000, 6000]
    assert np.array_equal(cells, [[1.5, 2], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2], equal_nan=True)
    assert mask.tolist() == [[True, True], [False] * 2, [False] * 2, [False] * 2]
    assert cells.dtype == np.float32


def test_no_samples_make_no_cells() -> None:
    ends, cells, mask = to_grid(profile("mean"), [], np.zeros((0, 1)))

    assert (ends.shape, cells.shape, mask.shape) == ((0,), (0, 1), (0, 1))


def test_values_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="not \\(2, 1\\)"):
        to_grid(profile("mean"), [1, 2], [[1, 2], [3, 4]])


def test_training_windows_are_cut_by_rows_and_stride() -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    mask = values != 6

    cut, known = windows_of(values, mask, rows=4, stride=3)

    assert cut[:, :, 0].tolist() == [[0, 2, 4, 6], [6, 8, 10, 12], [12, 14, 16, 18]]
    assert known.shape == (3, 4, 2)
    assert known.sum() == 3 * 8 - 2
    assert windows_of(values[:3], mask[:3], 4, 3)[0].shape == (0, 4, 2)
    with pytest.raises(ValueError, match="two-dimensional"):
        windows_of(values, mask[:, :1], 4, 3)
