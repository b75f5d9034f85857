"""Physics of the simulated infusion pump."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, simulate
from tests.streams.simulation.worlds import START_MS, column, one_event, one_fault, part

PUMP = "infusion-pump"


def test_volume_infused_grows_by_the_flow_delivered() -> None:
    pump = simulate(PUMP, "A", 3, START_MS, 3600, Plan(settings={"flow_set": 90.0}))
    volume = part(pump, "vol_infused", 0, 3600)
    assert np.diff(volume).min() >= 0
    per_hour = (volume[-1] - volume[0]) / (len(volume) - 1) * 60
    assert per_hour == pytest.approx(part(pump, "flow_current", 0, 3600).mean(), rel=0.01)
    assert per_hour == pytest.approx(90.0, rel=0.05)


def test_line_pressure_rises_with_flow() -> None:
    slow, fast = (
        simulate(PUMP, "A", 3, START_MS, 600, Plan(settings={"flow_set": flow})) for flow in (10.0, 200.0)
    )
    assert (
        part(fast, "line_pressure_down", 60, 600).mean()
        > part(slow, "line_pressure_down", 60, 600).mean() + 5
    )


def test_a_closed_line_takes_longer_to_alarm_at_low_flow_and_the_bolus_is_released_after_it() -> None:
    lead = {}
    for flow in (5.0, 100.0):
        plan = Plan((FaultPlan("downstream_occlusion", 300, 1.0, ramp_s=5),), settings={"flow_set": flow})
        pump = simulate(PUMP, "A", 3, START_MS, 3600, plan)
        (truth,) = pump.truth.faults
        assert truth.device_alarm_ms is not None
        lead[flow] = (truth.device_alarm_ms - truth.onset_ms) / 1000
        assert "ALARM" in [mode for _, mode in pump.truth.modes]
        cleared = (truth.end_ms - START_MS) // 1000
        assert part(pump, "line_pressure_down", cleared + 60, cleared + 200).max() < 60
    assert lead[5.0] > 8 * lead[100.0]


def test_an_occlusion_loads_the_motor_too() -> None:
    truth = one_fault(PUMP, "downstream_occlusion").truth.faults[0]
    assert truth.channels[0] == "line_pressure_down"
    assert "motor_current" in truth.channels


def test_a_loose_door_clamp_moves_flow_pressures_and_motor_together() -> None:
    truth = one_fault(PUMP, "door_clamp").truth.faults[0]
    assert {"flow_current", "vol_infused", "motor_current", "line_pressure_up"} <= set(truth.channels)


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("pressure_sensor_drift", {"line_pressure_down"}),
        ("air_sensor_soiling", {"air_bubble_volume"}),
        ("battery_fade", {"battery_capacity", "battery_time"}),
    ],
)
def test_a_fault_of_one_part_leaves_the_others_alone(fault: str, moved: set[str]) -> None:
    truth = one_fault(PUMP, fault, severity=0.6).truth.faults[0]
    assert {name for name, effect in truth.effects.items() if effect > 0} == moved


def test_a_drifting_pressure_sensor_shows_in_standby_as_well() -> None:
    drift = FaultPlan("pressure_sensor_drift", 60, 1.0, ramp_s=60, sign=-1)
    plan = Plan((drift,), modes=(ModeChange(0, "STANDBY"),))
    pump = simulate(PUMP, "A", 3, START_MS, 600, plan)
    assert part(pump, "line_pressure_down", 200, 600).mean() < -35


def test_a_faded_battery_empties_faster() -> None:
    falls = []
    for faults in ((), (FaultPlan("battery_fade", 0, 1.0, ramp_s=1),)):
        plan = Plan(faults, (LookalikePlan("on_battery", 60, 3400),))
        charge = part(simulate(PUMP, "A", 3, START_MS, 3600, plan), "battery_charge", 0, 3400)
        falls.append(charge[0] - charge[-1])
    assert falls[0] == pytest.approx(13, abs=3)
    assert falls[1] > 1.7 * falls[0]


def test_an_empty_bag_is_followed_by_keep_vein_open_a_pause_and_a_full_bag() -> None:
    pump = one_event(PUMP, "near_end", duration_s=600)
    assert [mode for _, mode in pump.truth.modes] == ["RUNNING", "KVO", "PAUSED", "RUNNING"]
    assert pump.truth.modes[1][0] == pytest.approx(START_MS + 1_200_000, abs=3000)
    remaining = column(pump, "vtbi_remaining")
    assert np.nanmin(remaining) < 3
    assert part(pump, "vtbi_remaining", 2000, 2400).max() > 200


def test_two_days_take_many_bags() -> None:
    pump = simulate(
        PUMP, "A", 3, START_MS, 2 * 86400, Plan(settings={"flow_set": 120.0, "bag_volume": 500.0})
    )
    assert [mode for _, mode in pump.truth.modes].count("KVO") in range(9, 13)
