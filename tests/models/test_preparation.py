"""Windows into the network's input: missing stays missing, counters become slopes, settings explain."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.preparation import (
    ChannelSpec,
    Preparation,
    fill_both,
    newest_seen,
    squash,
)

T = 32


def prepared(
    spec: list[ChannelSpec], values: NDArray[np.float32]
) -> tuple[Preparation, torch.Tensor, torch.Tensor]:
    """Fitted on its own windows; the scaled targets and their mask."""
    mask = np.isfinite(values)
    preparation = Preparation(spec, T, 4)
    preparation.fit(values, mask)
    out = preparation(torch.from_numpy(values), torch.from_numpy(mask))
    return preparation, out.z, out.mask


def test_the_scaler_comes_back_to_units() -> None:
    values = np.random.default_rng(0).normal(40, 7, (50, T, 2)).astype(np.float32)
    preparation, z, _ = prepared([ChannelSpec("a"), ChannelSpec("b")], values)
    np.testing.assert_allclose(preparation.unscale(z).permute(2, 0, 1).numpy(), values, rtol=1e-4)


def test_a_gap_is_masked_and_carries_the_last_reading_as_input() -> None:
    values = np.random.default_rng(0).normal(0, 1, (20, T, 1)).astype(np.float32)
    values[:, 10:14] = np.nan
    _, z, mask = prepared([ChannelSpec("a")], values)
    assert (mask[10:14] == 0).all()
    assert (mask[:10] == 1).all()
    assert torch.equal(z[13], z[9])


@pytest.mark.parametrize("every", [1, 6])
def test_a_counter_is_read_by_its_slope_whatever_its_level_and_rate(every: int) -> None:
    rng = np.random.default_rng(0)
    slope = rng.uniform(1, 3, (60, 1))
    values = (rng.uniform(0, 5000, (60, 1)) + slope * np.arange(T)).astype(np.float32)[..., None]
    values[:, np.arange(T) % every != 0] = np.nan
    preparation, z, mask = prepared([ChannelSpec("volume", "counter")], values)
    last = T - 1 - (T - 1) % every
    assert (mask[last] == 1).all()
    np.testing.assert_allclose(preparation.unscale(z)[last].numpy(), slope.T, rtol=2e-3)


def test_a_reset_of_a_counter_is_no_reading() -> None:
    level = np.cumsum(np.full((40, T), 2.0), 1)
    level[7, 16:] -= level[7, 16]
    _, z, mask = prepared([ChannelSpec("volume", "counter")], level.astype(np.float32)[..., None])
    assert mask[16:20, :, 7].sum() == 0
    assert z[..., 7][mask[..., 7] > 0].abs().max() < 1.0


def test_settings_and_states_are_context_and_never_targets() -> None:
    spec = [ChannelSpec("set", "setting"), ChannelSpec("mode", "state", 0, 3), ChannelSpec("p")]
    rng = np.random.default_rng(0)
    values = np.stack(
        [rng.uniform(1, 9, (30, T)), rng.integers(0, 4, (30, T)), rng.normal(0, 1, (30, T))], -1
    )
    preparation = Preparation(spec, T, 4)
    preparation.fit(values.astype(np.float32), np.ones(values.shape, np.bool_))
    assert preparation.targets == [2]
    other = values.copy()
    other[..., 1] = (other[..., 1] + 1) % 4
    one, two = (
        preparation(torch.from_numpy(x.astype(np.float32)), torch.ones(x.shape, dtype=torch.bool)).context
        for x in (values, other)
    )
    assert one.shape == (preparation.context_width, 30)
    assert not torch.equal(one, two)


def test_a_setting_that_many_devices_share_has_one_rank_however_its_mean_is_rounded() -> None:
    prep = Preparation([ChannelSpec("p", "measured"), ChannelSpec("flow", "setting")], T, 4)
    flows = np.repeat(np.array([0.3, 0.3, 0.3, 0.3, 0.3, 0.7, 1.1, 6.0], np.float32), 50)
    values = np.ones((len(flows), T, 2), np.float32)
    values[..., 1] = flows[:, None]
    prep.fit(values, np.ones(values.shape, np.bool_))
    shared = np.float32(0.3)
    above, below = np.nextafter(shared, np.float32(9)), np.nextafter(shared, np.float32(0))
    one, higher, lower, other = (
        prep._ranks(torch.full((4, 1, 1), float(x)))[0].flatten() for x in (shared, above, below, 0.31)
    )
    torch.testing.assert_close(higher, one, atol=1e-4, rtol=0)
    torch.testing.assert_close(lower, one, atol=1e-4, rtol=0)
    assert (other > one + 1.0).all(), "five of eight devices stand below it"


def test_filling_goes_forward_then_back_and_never_invents() -> None:
    x = torch.tensor([0.0, 5.0, 0.0, 7.0, 0.0])[:, None, None]
    seen = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])[:, None, None]
    assert fill_both(x, seen).flatten().tolist() == [5, 5, 5, 7, 7]
    assert fill_both(x, torch.zeros_like(seen)).abs().sum() == 0


@pytest.mark.parametrize("rows", [7, 8, 64])
def test_gaps_are_filled_alike_in_windows_of_any_length(rows: int) -> None:
    rng = np.random.default_rng(rows)
    seen = rng.random((rows, 3, 20)) < 0.3
    x = rng.normal(0, 1, seen.shape).astype(np.float32)
    filled = fill_both(torch.from_numpy(x), torch.from_numpy(seen).float())
    newest = newest_seen(torch.from_numpy(seen).float())
    for m, b in np.ndindex(3, 20):
        read = np.flatnonzero(seen[:, m, b])
        for t in range(rows):
            source = int(read[max(int((read <= t).sum()) - 1, 0)]) if len(read) else 0
            assert newest[t, m, b] == source
            assert filled[t, m, b] == (x[source, m, b] if len(read) else 0)


def test_no_reading_is_taken_from_a_masked_cell_whatever_stands_there() -> None:
    spec = [ChannelSpec("set", "setting"), ChannelSpec("mode", "state", 0, 1), ChannelSpec("p")]
    rng = np.random.default_rng(0)
    values = rng.normal(0.5, 0.2, (20, T, 3)).round(1).astype(np.float32)
    mask = rng.random(values.shape) < 0.7
    preparation = Preparation(spec, T, 4)
    preparation.fit(values, mask)
    plain = preparation(torch.from_numpy(values), torch.from_numpy(mask))
    for junk in (np.nan, np.inf, -np.inf, 1e30):
        other = preparation(
            torch.from_numpy(np.where(mask, values, np.float32(junk))), torch.from_numpy(mask)
        )
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def test_squash_is_odd_rising_and_the_identity_near_zero() -> None:
    z = torch.linspace(-50, 50, 1001)
    assert (squash(z).diff() > 0).all()
    torch.testing.assert_close(squash(-z), -squash(z))
    torch.testing.assert_close(squash(z[z.abs() < 4]), z[z.abs() < 4])


def test_a_device_that_measures_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="measured"):
        Preparation([ChannelSpec("mode", "state", 0, 3)], T, 4)


def test_a_value_that_is_seldom_set_has_a_rank_of_its_own() -> None:
    usual, seldom = np.repeat([0.3, 13.8, 13.9, 14.0, 14.1, 14.2], 400), np.repeat([13.6, 14.5, 15.0], 3)
    setting = np.concatenate([usual, seldom]).astype(np.float32)
    values = np.stack([np.repeat(setting[:, None], T, 1)] * 2, 2)
    preparation, _, _ = prepared([ChannelSpec("set", "setting"), ChannelSpec("p")], values)
    knots = preparation.knots[0].numpy()
    assert {13.6, 14.5, 15.0} <= set(np.round(knots.astype(float), 3))
    assert (np.diff(knots) >= 0).all()


def test_the_plain_features_are_the_constant_the_settings_in_scales_and_the_states() -> None:
    spec = [ChannelSpec("set", "setting"), ChannelSpec("mode", "state", 0, 1), ChannelSpec("p")]
    preparation = Preparation(spec, T, 2)
    preparation.context_center[:], preparation.context_scale[:] = 10.0, 2.0
    values = np.tile(np.array([14.0, 1.0, 0.0], np.float32), (1, T, 1))
    context = preparation(torch.from_numpy(values), torch.ones(1, T, 3, dtype=torch.bool)).context
    assert context[preparation.plain_features, 0].tolist() == [1.0, 2.0, 2.0, 0.0, 1.0, 0.0, 1.0]
