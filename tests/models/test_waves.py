"""Waves become rows of their cycles, causally, and faults are put into healthy ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import spoilt_wave
from models.evaluation.carriers import FAULTS, FAULTY_CYCLES, HEALTHY_CYCLES
from models.waves import FEATURES, Cut, cut_for, derived, derived_channels

ROW_S = 0.02


def wave(seconds: float, period_s: float) -> NDArray[np.float32]:
    """A breath on two channels, its pace a little unsteady."""
    rng = np.random.default_rng(0)
    n = round(seconds / ROW_S)
    phase = np.cumsum(ROW_S / period_s * (1 + 0.05 * np.sin(np.arange(n) / 900)))
    x = np.stack([np.clip(np.sin(2 * np.pi * phase), 0, None), np.exp(np.sin(2 * np.pi * phase))], 1)
    return (x + rng.normal(0, 0.02, x.shape)).astype(np.float32)


@pytest.mark.parametrize("period_s", [0.8, 2.0, 4.0])
def test_the_cycle_is_that_of_the_training_rows(period_s: float) -> None:
    cut = cut_for(wave(200.0, period_s), ROW_S, 100)
    assert cut.cycle * ROW_S == pytest.approx(period_s, rel=0.1)
    assert cut.hop == cut.cycle // 4


def test_a_short_recording_is_cut_finer_and_one_without_a_rhythm_by_the_second() -> None:
    short = wave(20.0, 4.0)
    cut = cut_for(short, ROW_S, 240)
    assert len(derived(short, cut).values) >= 240
    noise = np.random.default_rng(1).normal(size=(5000, 1)).astype(np.float32)
    assert cut_for(noise, ROW_S, 100).cycle == 50
    still = np.zeros((5000, 1), np.float32)
    assert cut_for(still, ROW_S, 100).cycle == 50


def test_a_derived_row_tells_of_the_cycle_before_it_and_of_nothing_after() -> None:
    x = wave(40.0, 2.0)
    cut = Cut(100, 25)
    whole, part = derived(x, cut), derived(x[:1000], cut)
    np.testing.assert_array_equal(whole.values[: len(part.values)], part.values)
    assert len(derived_channels(("a", "b"))) == whole.values.shape[1] == 2 * FEATURES
    k = 20
    cycle = x[whole.ends[k] - 99 : whole.ends[k] + 1, 1].astype(float)
    told = [cycle.mean(), cycle.std(), cycle.min(), cycle.max(), np.abs(np.diff(cycle)).mean()]
    assert whole.values[k, FEATURES:] == pytest.approx(told, rel=1e-5)


def test_a_channel_without_readings_stays_missing() -> None:
    x = wave(20.0, 2.0)
    x[:, 0] = np.nan
    x[::3, 1] = np.nan
    rows = derived(x, Cut(100, 25)).values
    assert np.isnan(rows[:, :FEATURES]).all()
    assert np.isfinite(rows[:, FEATURES:]).all()


def test_scores_come_back_to_the_rows_that_could_know_them() -> None:
    told = derived(wave(4.0, 2.0), Cut(100, 50))
    assert told.ends.tolist() == [49, 99, 149, 199]
    back = told.held(np.array([1.0, 2.0, 3.0, 4.0]), before=-1.0)
    assert back[[0, 48, 49, 98, 99, 199]].tolist() == [-1, -1, 1, 1, 2, 4]
    shares = np.zeros((4, 2 * FEATURES))
    shares[:, 0] = 0.25
    shares[:, FEATURES:] = 0.15
    assert told.by_channel(shares)[-1].tolist() == pytest.approx([0.25, 0.75])


def test_every_kind_of_fault_is_put_into_each_channel_in_turn_and_the_rest_is_untouched() -> None:
    cycle = 40
    x = wave((FAULTY_CYCLES + HEALTHY_CYCLES) * 11 * cycle * ROW_S, 0.8)
    before = x.copy()
    spoilt = spoilt_wave(x, cycle, np.random.default_rng(0))
    np.testing.assert_array_equal(x, before)
    assert len(spoilt.causes) >= 2 * len(FAULTS)
    assert {cause.channels for cause in spoilt.causes} == {(0,), (1,)}
    for cause in spoilt.causes:
        (channel,) = cause.channels
        rows = slice(cause.start, cause.end)
        assert spoilt.label[rows].all()
        assert np.abs(spoilt.values[rows, channel] - x[rows, channel]).max() > 0.1
        np.testing.assert_array_equal(spoilt.values[rows, 1 - channel], x[rows, 1 - channel])
    np.testing.assert_array_equal(spoilt.values[~spoilt.label], x[~spoilt.label])
    assert spoilt_wave(x[: 20 * cycle], cycle, np.random.default_rng(0)).causes == ()
