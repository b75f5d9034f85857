"""The simulator's trial tells the truth about a scorer that finds everything and one that finds nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.scoring import ModelIdentity, Score
from monitor.simtrial import Trial, evaluate_simulated
from streams.devices import DeviceProfile, load_profiles

SHORT = Trial(seeds=(0,), severities=(1.0,), fault_hours=0.75, devices=2, device_hours=0.5)


class OneChannel:
    """Watches one channel of the pump against a fixed limit; `limit` infinite finds nothing."""

    def __init__(self, profile: DeviceProfile, channel: str, limit: float) -> None:
        self.identity = ModelIdentity(profile.type, "test", "0")
        self.channels, self.window_rows = profile.names, profile.window_rows
        self._at, self._limit = profile.index[channel], limit

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        seen = np.where(mask, values, 0)[..., self._at]
        anomaly = (seen[:, -8:].mean(1) > self._limit).astype(np.float32) * 2
        share = np.zeros((len(values), len(self.channels)), np.float32)
        share[:, self._at] = 1
        flat = np.zeros_like(share)
        return Score(
            anomaly, share, share, share, flat, flat, flat.astype(np.int8), flat.astype(np.bool_), flat
        )


@pytest.fixture(scope="module")
def pump() -> DeviceProfile:
    return load_profiles()["infusion-pump"]


def test_a_blind_scorer_detects_nothing_and_raises_no_false_alarm(pump: DeviceProfile) -> None:
    told = evaluate_simulated(OneChannel(pump, "air_bubble_volume", np.inf), pump, (3, 5), SHORT)
    assert told["detected"] == 0
    assert told["top1"] is None
    assert told["false_alarms"] == 0
    assert told["device_days"] == pytest.approx(2 * 0.5 / 24)


def test_a_scorer_of_one_channel_detects_its_fault_and_names_it(pump: DeviceProfile) -> None:
    told = evaluate_simulated(OneChannel(pump, "air_bubble_volume", 12.0), pump, (3, 5), SHORT)
    rows = {row["fault"]: row for row in told["faults"]}
    assert rows["air_sensor_soiling"]["detected"]
    assert rows["air_sensor_soiling"]["top1"]
    assert rows["air_sensor_soiling"]["delay_s"] > 0
    assert not rows["battery_fade"]["detected"]


def test_a_scorer_that_always_cries_is_counted_false_before_onset_and_not_as_a_detection(
    pump: DeviceProfile,
) -> None:
    told = evaluate_simulated(OneChannel(pump, "air_bubble_volume", -1.0), pump, (3, 5), SHORT)
    assert told["detected"] == 0
    assert told["false_alarms"] == len(told["faults"]) + SHORT.devices
    assert told["false_alarms_per_device_month"] > 1000
