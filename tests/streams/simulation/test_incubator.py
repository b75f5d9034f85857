"""Physics of the simulated infant incubator."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, simulate
from tests.streams.simulation.worlds import START_MS, column, held, one_event, part

INCUBATOR = "infant-incubator"
BY_AIR = {"skin_control": 0.0, "air_set": 34.0, "o2_set": 30.0, "humidity_set": 60.0}
BY_SKIN = {"skin_control": 1.0, "skin_set": 36.5, "o2_set": 21.0, "humidity_set": 60.0}


def cared(*faults: FaultPlan, settings: dict[str, float] = BY_AIR, seed: int = 3) -> Simulation:
    return simulate(INCUBATOR, "A", seed, START_MS, 5400, Plan(faults, settings=settings))


def fault(name: str, severity: float = 0.8, sign: int | None = None) -> FaultPlan:
    return FaultPlan(name, 600, severity, ramp_s=600, sign=sign)


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 3600, 5400).mean())


def moved(faulty: Simulation, healthy: Simulation, channel: str) -> float:
    return settled(faulty, channel) - settled(healthy, channel)


def test_in_air_control_the_air_and_in_skin_control_the_skin_is_held_at_its_setting() -> None:
    air, skin = cared(), cared(settings=BY_SKIN)
    assert settled(air, "air_temp") == pytest.approx(34.0, abs=0.1)
    assert settled(skin, "skin_temp_1") == pytest.approx(36.5, abs=0.1)
    assert 20 < settled(air, "heater_duty") < 60


def test_a_worn_fan_turns_slower_takes_more_current_and_leaves_the_heater_hot_and_the_air_stale() -> None:
    healthy, worn = cared(), cared(fault("fan_degradation"))
    assert moved(worn, healthy, "fan_speed") < -200
    assert moved(worn, healthy, "fan_current") > 40
    assert moved(worn, healthy, "heater_temp") > 4
    assert moved(worn, healthy, "co2_in_hood") > 0.02
    assert moved(worn, healthy, "noise_level") > 5
    assert moved(worn, healthy, "heater_duty") == pytest.approx(0.0, abs=1.0)


def test_half_a_heater_needs_twice_the_duty_for_the_same_warmth() -> None:
    healthy, weak = cared(), cared(fault("heater_failure"))
    assert settled(weak, "heater_duty") / settled(healthy, "heater_duty") == pytest.approx(
        1 / (1 - 0.8 * 0.62), rel=0.05
    )
    assert moved(weak, healthy, "air_temp") == pytest.approx(0.0, abs=0.05)
    assert moved(weak, healthy, "humidifier_duty") == pytest.approx(0.0, abs=0.1)


def test_a_broken_heater_warms_up_slower_after_cleaning() -> None:
    modes = (ModeChange(3600, "CLEANING"), ModeChange(4800, "CARE"))
    half_warm = []
    for faults in ((), (fault("heater_failure", 1.0),)):
        run = simulate(INCUBATOR, "A", 3, START_MS, 9000, Plan(faults, modes=modes, settings=BY_AIR))
        half_warm.append(int(np.argmax(held(run, "air_temp")[4800:] > 33.5)))
    assert half_warm[1] > 1.5 * half_warm[0] > 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_drifting_air_sensor_is_believed_and_the_safety_sensor_tells(sign: int) -> None:
    healthy, drifted = cared(), cared(fault("air_sensor_drift", 0.6, sign))
    assert settled(drifted, "air_temp") == pytest.approx(34.0, abs=0.1)
    assert moved(drifted, healthy, "air_sensor_gap") == pytest.approx(sign * 0.6 * 1.8, abs=0.1)
    assert sign * moved(drifted, healthy, "heater_duty") < -2
    assert sign * moved(drifted, healthy, "skin_temp_1") < -0.3
    assert moved(drifted, healthy, "skin_gap") == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_drifting_skin_sensor_leads_the_skin_control_astray(sign: int) -> None:
    healthy = cared(settings=BY_SKIN)
    drifted = cared(fault("skin_sensor_drift", 0.5, sign), settings=BY_SKIN)
    assert moved(drifted, healthy, "skin_gap") == pytest.approx(sign * 0.9, abs=0.2)
    assert sign * moved(drifted, healthy, "skin_temp_2") < -0.3
    assert sign * moved(drifted, healthy, "air_temp") < -0.5
    assert moved(drifted, healthy, "air_sensor_gap") == pytest.approx(0.0, abs=0.05)


def test_a_leaking_seal_costs_heat_moisture_and_oxygen_and_airs_the_hood() -> None:
    healthy, leaking = cared(), cared(fault("seal_leak", 0.6))
    assert moved(leaking, healthy, "heater_duty") > 5
    assert moved(leaking, healthy, "humidifier_duty") > 20
    assert moved(leaking, healthy, "o2_flow") > 1.0
    assert moved(leaking, healthy, "co2_in_hood") < -0.02
    assert moved(leaking, healthy, "fan_speed") == 0.0


def test_a_scaled_humidifier_is_hot_and_moistens_little_while_the_warmth_stays() -> None:
    healthy, scaled = cared(), cared(fault("humidifier_scaling", 1.0))
    assert moved(scaled, healthy, "humidity") < -5
    assert settled(scaled, "humidifier_duty") > 97
    assert moved(scaled, healthy, "water_temp") > 20
    assert moved(scaled, healthy, "heater_duty") == pytest.approx(0.0, abs=0.1)


def test_a_depleted_oxygen_cell_reads_low_and_opens_the_valve_as_far_as_it_may() -> None:
    healthy, depleted = cared(), cared(fault("o2_cell_depletion"))
    assert moved(depleted, healthy, "o2_conc") < -3
    assert settled(depleted, "o2_flow") == pytest.approx(1.25 * settled(healthy, "o2_flow"), rel=0.05)
    without = cared(fault("o2_cell_depletion"), settings=BY_SKIN)
    assert settled(without, "o2_conc") == pytest.approx(20.9 * (1 - 0.8 * 0.35), abs=0.5)
    assert settled(without, "o2_flow") < 0.05


def test_the_air_falls_while_a_port_is_open_and_is_back_within_minutes() -> None:
    plan = Plan(lookalikes=(LookalikePlan("hand_port", 1800, 90, 1.0),), settings=BY_AIR)
    run = simulate(INCUBATOR, "A", 3, START_MS, 5400, plan)
    assert set(part(run, "access", 1800, 1890)) == {1.0}
    assert part(run, "air_temp", 1800, 1920).min() < 33.7
    assert part(run, "air_temp", 2700, 3600).mean() == pytest.approx(34.0, abs=0.1)


def test_a_skin_sensor_that_came_off_is_seen_by_the_incubator_which_then_follows_the_air() -> None:
    plan = Plan(lookalikes=(LookalikePlan("skin_probe_off", 1800, 300),), settings=BY_SKIN)
    run = simulate(INCUBATOR, "A", 3, START_MS, 5400, plan)
    assert set(part(run, "probe_state", 1830, 2090)) == {2.0}
    assert set(part(run, "control_mode", 1830, 2090)) == {1.0}
    assert part(run, "skin_temp_1", 1950, 2090).mean() < settled(run, "skin_temp_1") - 1.0
    assert part(run, "skin_temp_2", 1950, 2090).mean() > settled(run, "skin_temp_1") - 0.4


def test_phototherapy_warms_the_skin_a_little_and_no_state_tells_of_it() -> None:
    plain = simulate(INCUBATOR, "U-1", 5, START_MS, 2400)
    lit = one_event(INCUBATOR, "phototherapy", duration_s=1500)
    for channel in lit.profile.channels:
        if channel.role in ("setting", "state"):
            same = np.array_equal(column(plain, channel.name), column(lit, channel.name), equal_nan=True)
            assert same, channel.name
    assert part(lit, "heater_duty", 1200, 2000).mean() < part(plain, "heater_duty", 1200, 2000).mean() - 0.5


def test_without_a_baby_no_skin_temperature_is_reported() -> None:
    plan = Plan(modes=(ModeChange(600, "PREWARM"), ModeChange(1200, "CARE")))
    run = simulate(INCUBATOR, "A", 3, START_MS, 1800, plan)
    assert len(part(run, "skin_temp_1", 600, 1200)) == 0
    assert len(part(run, "skin_temp_1", 1200, 1800)) == 120
    assert set(part(run, "probe_state", 600, 1200)) == {0.0}


def test_a_kangaroo_hour_is_announced_by_the_mode_and_the_carbon_dioxide_falls() -> None:
    plan = Plan(lookalikes=(LookalikePlan("kangaroo_care", 1800, 2400),), settings=BY_AIR)
    run = simulate(INCUBATOR, "A", 3, START_MS, 5400, plan)
    assert [mode for _, mode in run.truth.modes] == ["CARE", "KANGAROO", "CARE"]
    assert part(run, "co2_in_hood", 3000, 4000).mean() < 0.06 < part(run, "co2_in_hood", 0, 1800).mean()


def test_a_wrong_temperature_brings_a_nurse_to_the_port() -> None:
    wrong = cared(fault("skin_sensor_drift", 1.0, -1), settings=BY_SKIN)
    (truth,) = wrong.truth.faults
    assert truth.device_alarm_ms is not None
    alarm = (truth.device_alarm_ms - START_MS) // 1000
    assert held(wrong, "access")[10 : alarm + 50].max() == 0
    assert held(wrong, "access")[alarm : alarm + 400].max() == 1
