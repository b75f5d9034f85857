"""Injected faults: labelled where they can be seen, nowhere else."""

import numpy as np
import pytest

from models.injection import Injected, InjectionConfig, inject

B, T, M = 400, 64, 5
COUNTERS = np.array([False, False, False, False, True])


def injected(config: InjectionConfig, seed: int = 0) -> tuple[Injected, np.ndarray, np.ndarray]:
    """Faults on noise with a counter beside it; values and mask as they were."""
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 1, (B, T, M)).astype(np.float32)
    values[..., 4] = np.cumsum(np.full((B, T), 2.0), 1)
    mask = rng.random((B, T, M)) < 0.9
    values[~mask] = np.nan
    unit, noise = np.ones((B, M), np.float32), np.ones(M, np.float32)
    together = np.eye(M, dtype=np.float32) * 0.5 + 0.5
    return (
        inject(values, mask, unit, noise, together, COUNTERS, config, np.random.default_rng(seed)),
        values,
        mask,
    )


def test_without_faults_and_drift_nothing_changes() -> None:
    out, values, mask = injected(InjectionConfig(faulty=0, drifting=0))
    np.testing.assert_array_equal(out.values[mask], values[mask])
    assert out.label.sum() == 0
    assert (out.weight == 1).all()


def test_drift_changes_readings_but_carries_no_label() -> None:
    out, values, mask = injected(InjectionConfig(faulty=0, drifting=1))
    assert (out.values[mask] != values[mask]).any()
    assert out.label.sum() == 0


def test_every_label_stands_on_a_channel_that_really_changed() -> None:
    out, values, mask = injected(InjectionConfig(drifting=0))
    changed = np.where(mask, np.abs(out.values - values), 0).max(1)
    assert out.label.sum() > 100
    assert (changed[out.label == 1] > 0.5).all()
    plain = (out.label == 0) & (out.weight == 1) & ~COUNTERS  # a counter's level runs away from a tiny slope
    assert (changed[plain] < 5).all()


def test_larger_faults_are_labelled_more_often() -> None:
    small = injected(InjectionConfig(smallest=0.3, largest=0.5, drifting=0))[0].label.mean()
    large = injected(InjectionConfig(smallest=20, largest=30, drifting=0))[0].label.mean()
    assert small == pytest.approx(0, abs=0.01)
    assert large > 0.15


def test_the_same_seed_gives_the_same_faults_and_the_input_is_untouched() -> None:
    one, values, _ = injected(InjectionConfig(), 3)
    two, again, _ = injected(InjectionConfig(), 3)
    assert one.values.tobytes() == two.values.tobytes()
    assert values.tobytes() == again.tobytes()
