"""The straight half of the expectation: what is seldom set is expected where the line of the usual goes."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.autoencoder import ModelConfig, patch_levels
from models.detector import Detector
from models.preparation import ChannelSpec, Prepared
from models.straight import FEW, begin_straight

ROWS = 16
SPEC = [ChannelSpec("set", "setting"), ChannelSpec("mode", "state", 0, 1), ChannelSpec("p"), ChannelSpec("q")]
MODEL = ModelConfig(patches=4, context_hidden=8)


def windows(setting: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, ROWS, 4): p follows the setting, and q stands 3 higher in mode 1; with noise of .02."""
    mode = rng.integers(2, size=len(setting)).astype(float)
    levels = np.stack([setting, mode, 2 * setting + 1, 5 + 3 * mode], 1)
    values = np.repeat(levels[:, None], ROWS, 1)
    values[..., 2:] += rng.normal(0, 0.02, values[..., 2:].shape)
    return values.astype(np.float32)


def prepared(detector: Detector, values: NDArray[np.float32]) -> Prepared:
    out: Prepared = detector.preparation(torch.from_numpy(values), torch.from_numpy(np.isfinite(values)))
    return out


def begun(values: NDArray[np.float32]) -> Detector:
    """A detector that has only begun: its scaler fitted, its lines drawn."""
    torch.manual_seed(0)
    detector = Detector(SPEC, ROWS, MODEL)
    detector.preparation.fit(values, np.isfinite(values))
    p = prepared(detector, values)
    begin_straight(
        detector.expectation, p.context, detector.preparation.plain_features, patch_levels(p.z, p.mask, 4)
    )
    return detector


@torch.no_grad()
def expected(detector: Detector, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 2) the levels of p and q expected in the newest patch, in their units."""
    level, _, _, _ = detector.expectation(prepared(detector, values).context)
    units: NDArray[np.float32] = detector.preparation.unscale(level[-1]).numpy().T
    return units


def test_a_value_that_was_never_set_is_expected_where_the_line_of_the_usual_ones_goes() -> None:
    rng = np.random.default_rng(0)
    detector = begun(windows(rng.choice([13.8, 13.9, 14.0, 14.1, 14.2], 600), rng))
    unusual = windows(np.full(20, 13.6), rng)
    np.testing.assert_allclose(expected(detector, unusual), unusual[:, -4:, 2:].mean(1), atol=0.05)


def test_odd_windows_do_not_bend_the_lines() -> None:
    rng = np.random.default_rng(0)
    values = windows(rng.uniform(10, 20, 600), rng)
    values[::12, :, 2] += 40
    usual = windows(rng.uniform(10, 20, 50), rng)
    np.testing.assert_allclose(expected(begun(values), usual), usual[:, -4:, 2:].mean(1), atol=0.1)


def test_a_channel_that_hardly_any_window_tells_has_no_line() -> None:
    rng = np.random.default_rng(0)
    values = windows(rng.uniform(10, 20, 600), rng)
    values[FEW - 1 :, :, 3] = np.nan
    detector = begun(values)
    with torch.no_grad():
        level, spread, _, _ = detector.expectation(prepared(detector, values).context)
    assert float(level[:, 1].abs().max()) < 1e-6
    assert float(spread[:, 1].abs().max()) < 1e-6


def test_the_spread_begins_at_what_the_lines_leave() -> None:
    rng = np.random.default_rng(0)
    values = windows(rng.uniform(10, 20, 600), rng)
    detector = begun(values)
    with torch.no_grad():
        _, spread, _, _ = detector.expectation(prepared(detector, values).context)
    left = detector.preparation.scale * torch.exp(spread[0, :, 0])
    np.testing.assert_allclose(left.numpy(), 0.01, rtol=0.3)  # a patch is the mean of four readings
