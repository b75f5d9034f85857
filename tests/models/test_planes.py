"""What a score tells of each channel: readings in units, direction, and since when it has been off."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.detector import Ground
from models.planes import off_rows
from models.preparation import Prepared
from models.training import windows_of
from tests.models.conftest import TinyFleet
from tests.models.fleet import CHANNELS, ROWS, STRIDE, device

NOTHING = torch.zeros(0)
PREPARED = Prepared(*[NOTHING] * 6)


def ground(level: Tensor, told: Tensor, lively: Tensor, lively_told: Tensor) -> Ground:
    """With these (P, M, B) deviations and nothing else."""
    return Ground(
        PREPARED, NOTHING, NOTHING, level, told, NOTHING, NOTHING, lively, lively_told, NOTHING, NOTHING
    )


def off_for(levels: str) -> int:
    """Rows off of one channel in eight patches of eight rows: `x` off, `.` calm, `_` without a reading."""
    level = torch.tensor([9.0 if sign == "x" else 0.0 for sign in levels])[:, None, None]
    told = torch.tensor([0.0 if sign == "_" else 1.0 for sign in levels])[:, None, None]
    return int(off_rows(ground(level, told, torch.zeros_like(level), torch.zeros_like(told)), 64))


@pytest.mark.parametrize(
    ("levels", "rows"),
    [
        ("........", 0),
        (".......x", 8),
        (".....xxx", 24),
        ("....x.xx", 32),  # a single calm patch ends no run
        ("..x..xxx", 24),  # two do
        ("xx....x.", 16),
        ("xxxxxx..", 0),
        ("....x._x", 32),  # neither does one beside a patch without a reading
        ("x._..xxx", 24),
        ("xxxxxxxx", 64),
        ("________", 0),
    ],
)
def test_a_channel_is_off_since_the_oldest_patch_of_its_newest_unbroken_run(levels: str, rows: int) -> None:
    assert off_for(levels) == rows


def test_a_channel_that_shakes_is_off_and_what_is_small_beside_the_largest_deviation_is_not() -> None:
    quiet, told = torch.zeros(8, 1, 1), torch.ones(8, 1, 1)
    shaking = quiet.clone()
    shaking[6:] = -5.0
    assert int(off_rows(ground(quiet, told, shaking, told), 64)) == 16
    assert int(off_rows(ground(quiet, told, shaking, torch.zeros_like(told)), 64)) == 0
    growing = torch.full((8, 1, 1), 3.0)
    growing[4:] = 20.0
    assert int(off_rows(ground(growing, told, quiet, told), 64)) == 32


def test_readings_are_told_in_units_and_only_where_there_are_any(tiny: TinyFleet) -> None:
    due = windows_of(device(901, 600), ROWS, STRIDE)
    values, mask = due[0].copy(), due[1].copy()
    pressure, volume, rate = (
        [c.name for c in CHANNELS].index(name) for name in ("pressure", "volume", "rate_set")
    )
    mask[1, :, pressure] = False
    mask[2, :, volume] = False
    score = tiny.trained.scorer.score(values, mask)
    told = np.isfinite(score.observed)
    assert told[:, pressure].tolist() == [b != 1 for b in range(len(values))]
    assert told[:, volume].tolist() == [b != 2 for b in range(len(values))]
    assert not told[:, rate].any()
    assert np.isnan(score.spread[:, volume]).all()
    some = np.where(mask[..., pressure] | ~told[:, None, pressure], values[..., pressure], np.nan)
    inside = (np.nanmin(some, 1) <= score.observed[:, pressure]) & (
        score.observed[:, pressure] <= np.nanmax(some, 1)
    )
    assert (inside == told[:, pressure]).all()
    last = [values[b][mask[b, :, volume], volume][-1:] for b in range(len(values)) if b != 2]
    np.testing.assert_allclose(score.observed[told[:, volume], volume], np.concatenate(last), rtol=1e-6)


def test_the_direction_is_that_of_the_deviation(tiny: TinyFleet) -> None:
    series, at = device(902, 600), [c.name for c in CHANNELS].index("pressure")
    series.values[:, at] -= np.float32(60)
    score = tiny.trained.scorer.score(*windows_of(series, ROWS, STRIDE))
    assert score.deviation is not None
    wanted = np.where(np.abs(np.nan_to_num(score.deviation)) >= 1, np.sign(np.nan_to_num(score.deviation)), 0)
    np.testing.assert_array_equal(score.direction, wanted)
    assert (score.direction[:, at] == -1).mean() > 0.9
