"""Physics of the simulated steam steriliser."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, simulate
from streams.simulation.noise import Array
from streams.simulation.steriliser_chamber import saturation_pressure, saturation_temperature
from streams.simulation.steriliser_cycles import Phase, Programme
from tests.streams.simulation.worlds import START_MS, column, held, part

STERILISER = "steam-steriliser"


def cycles(*faults: FaultPlan, plan: Plan | None = None, hours: float = 3.0, seed: int = 3) -> Simulation:
    return simulate(STERILISER, "A", seed, START_MS, hours * 3600, plan or Plan(faults))


def fault(name: str, severity: float = 0.7, sign: int | None = None) -> FaultPlan:
    return FaultPlan(name, 1800, severity, ramp_s=600, sign=sign)


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 7200, 10800).mean())


def moved(faulty: Simulation, healthy: Simulation, channel: str) -> float:
    return settled(faulty, channel) - settled(healthy, channel)


def within(simulation: Simulation, channel: str, phase: Phase) -> Array:
    """Readings of a channel in a phase, its first half minute left out."""
    present = held(simulation, "cycle_phase") == phase
    inside = present & np.concatenate([np.zeros(30, bool), present[:-30]])
    values = column(simulation, channel)[inside]
    return np.asarray(values[~np.isnan(values)])


def test_saturation_pressure_is_that_of_the_steam_tables_and_has_its_inverse() -> None:
    table = np.array([121.0, 134.0, 137.0])
    assert saturation_pressure(table) == pytest.approx([205.0, 304.0, 332.0], rel=0.01)
    assert saturation_temperature(saturation_pressure(table)) == pytest.approx(table, abs=1e-6)


def test_a_cycle_removes_the_air_in_pulses_holds_the_temperature_and_dries_under_vacuum() -> None:
    healthy = cycles()
    phases = held(healthy, "cycle_phase")
    order = phases[np.flatnonzero(np.diff(phases)) + 1].tolist()
    first = order.index(float(Phase.EVACUATE), order.index(float(Phase.IDLE)))
    assert order[first : first + 9] == [1, 2, 3, 1, 3, 1, 3, 1, 3]
    assert order[first + 9 : first + 14] == [Phase.HEAT, Phase.HOLD, Phase.EXHAUST, Phase.DRY, Phase.AIR]
    above = within(healthy, "chamber_temp", Phase.HOLD) - within(healthy, "temp_set", Phase.HOLD).mean()
    assert 134 <= within(healthy, "chamber_temp", Phase.HOLD).max() <= 137
    assert np.ptp(above) < 20
    assert within(healthy, "chamber_pressure", Phase.DRY).min() < 5
    assert 4 <= settled(healthy, "vacuum_depth") <= 7
    assert settled(healthy, "leak_rate") < 0.13
    assert settled(healthy, "equilibration_time") < 15
    assert abs(settled(healthy, "plateau_residual")) < 0.5


def test_an_air_leak_shows_in_the_leak_check_and_as_a_chamber_below_saturation() -> None:
    healthy, leaking = cycles(), cycles(fault("air_leak"))
    assert settled(leaking, "leak_rate") > 0.13 > settled(healthy, "leak_rate")
    assert moved(leaking, healthy, "plateau_residual") < -0.5
    assert moved(leaking, healthy, "equilibration_time") > 5
    assert moved(leaking, healthy, "gasket_pressure") < -10
    assert moved(leaking, healthy, "seal_water_temp") == pytest.approx(0.0, abs=1e-3)


def test_a_worn_pump_needs_longer_for_a_worse_vacuum_and_the_plateau_is_as_before() -> None:
    healthy, worn = cycles(), cycles(fault("vacuum_pump_wear"))
    assert moved(worn, healthy, "vacuum_depth") > 2
    assert moved(worn, healthy, "vacuum_time") > 8
    assert moved(worn, healthy, "seal_water_temp") > 2
    for channel in ("leak_rate", "plateau_residual", "equilibration_time"):
        assert moved(worn, healthy, channel) == pytest.approx(0.0, abs=0.02), channel


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_drifting_control_sensor_is_held_at_its_setting_and_record_sensor_and_pressure_tell(
    sign: int,
) -> None:
    healthy, drifted = cycles(), cycles(fault("temperature_sensor_drift", 0.7, sign))
    assert moved(drifted, healthy, "plateau_probe_gap") == pytest.approx(sign * 0.7 * 2.2, abs=0.05)
    assert moved(drifted, healthy, "plateau_residual") == pytest.approx(sign * 0.7 * 2.2, abs=0.1)
    pressure = [within(run, "chamber_pressure", Phase.HOLD)[-200:].mean() for run in (drifted, healthy)]
    assert sign * (pressure[0] - pressure[1]) < -5
    assert moved(drifted, healthy, "equilibration_time") == 0.0


def test_a_scaled_generator_works_harder_and_heats_up_slower() -> None:
    healthy, scaled = cycles(), cycles(fault("generator_scaling", 0.9))
    assert moved(scaled, healthy, "heater_duty") > 10
    assert moved(scaled, healthy, "heat_up_time") > 10
    assert moved(scaled, healthy, "steam_supply_pressure") < -4
    assert moved(scaled, healthy, "heater_current") == pytest.approx(0.0, abs=0.01)


def test_an_element_that_is_out_takes_a_third_of_the_current() -> None:
    healthy, out = cycles(), cycles(fault("heater_element_out", 1.0))
    assert settled(out, "heater_current") / settled(healthy, "heater_current") == pytest.approx(
        0.66, abs=0.02
    )
    assert moved(out, healthy, "heater_duty") > 5
    assert moved(out, healthy, "feedwater_conductivity") == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(("sign", "slowest"), [(-1, 8.0), (1, 2.0)])
def test_gas_in_the_steam_lies_below_and_superheat_above_saturation(sign: int, slowest: float) -> None:
    healthy, poor = cycles(), cycles(fault("steam_quality", 0.7, sign))
    assert moved(poor, healthy, "plateau_residual") == pytest.approx(sign * 1.4, abs=0.1)
    assert moved(poor, healthy, "equilibration_time") > slowest
    assert moved(poor, healthy, "leak_rate") == moved(poor, healthy, "plateau_probe_gap") == 0.0


def test_behind_a_blocked_strainer_the_drain_stays_cold_and_late() -> None:
    healthy, blocked = cycles(), cycles(fault("drain_blocked"))
    assert moved(blocked, healthy, "plateau_drain_gap") > 3
    assert moved(blocked, healthy, "equilibration_time") > 6
    assert moved(blocked, healthy, "leak_rate") == 0.0


def test_a_machine_that_cannot_reach_its_vacuum_breaks_the_cycle_off() -> None:
    worn = cycles(FaultPlan("vacuum_pump_wear", 1800, 1.0, ramp_s=300), hours=6.0)
    (truth,) = worn.truth.faults
    assert truth.device_alarm_ms is not None
    alarm = (truth.device_alarm_ms - START_MS) // 1000
    phases = held(worn, "cycle_phase")
    assert phases[alarm] == Phase.EVACUATE
    assert set(phases[alarm + 2 : alarm + 60]) == {float(Phase.EXHAUST)}
    assert phases[alarm + 115] == Phase.IDLE


@pytest.mark.parametrize(
    ("event", "programme"), [("bowie_dick", Programme.BOWIE_DICK), ("leak_test", Programme.LEAK_TEST)]
)
def test_a_test_programme_begins_when_it_is_planned_and_finds_a_sound_machine(
    event: str, programme: Programme
) -> None:
    run = cycles(plan=Plan(lookalikes=(LookalikePlan(event, 3600, 1100),)))
    assert held(run, "cycle_phase")[3595] == Phase.IDLE
    assert held(run, "cycle_phase")[3605] == Phase.EVACUATE
    assert held(run, "program")[3605] == programme
    assert part(run, "leak_rate", 4700, 5400).max() < 0.13
    assert part(run, "equilibration_time", 4700, 5400).max() < 15


def test_a_liquids_cycle_lets_the_steam_out_slowly_and_pulls_no_vacuum() -> None:
    run = cycles(plan=Plan(lookalikes=(LookalikePlan("liquids_cycle", 3600, 2900),)))
    cycle = held(run, "program")[3600:6400]
    assert set(cycle) == {float(Programme.LIQUIDS)}
    assert part(run, "chamber_pressure", 3700, 6400).min() > 90
    exhaust = np.flatnonzero(held(run, "cycle_phase")[3600:6400] == Phase.EXHAUST)
    assert len(exhaust) == 1200
    assert held(run, "chamber_pressure")[3600 + exhaust[300]] > 120


def test_a_heavy_load_heats_up_slower_and_gets_the_time_for_it() -> None:
    plain = cycles(plan=Plan(lookalikes=(LookalikePlan("bowie_dick", 3600, 1100),)))
    heavy = cycles(plan=Plan(lookalikes=(LookalikePlan("heavy_load", 3600, 1500, 1.0),)))
    times = [held(run, "heat_up_time")[4300] for run in (plain, heavy)]
    assert times[1] > times[0] + 15
    spent = [(held(run, "cycle_phase")[3600:4300] == Phase.HEAT).sum() for run in (plain, heavy)]
    assert spent[1] == pytest.approx(1.8 * spent[0], abs=3)


def test_after_a_cold_night_the_jacket_is_cold_until_the_warm_up_has_done_its_work() -> None:
    run = cycles(plan=Plan(lookalikes=(LookalikePlan("first_cold_cycle", 3600, 5000),)))
    assert [mode for _, mode in run.truth.modes] == ["PROCESSING", "OFF", "WARM_UP", "PROCESSING"]
    assert part(run, "jacket_temp", 5600, 5700).mean() < part(run, "jacket_temp", 3000, 3600).mean() - 30
    assert part(run, "jacket_temp", 8000, 8600).mean() > part(run, "jacket_temp", 5600, 5700).mean() + 25


def test_no_cycle_is_begun_that_would_not_end_before_the_operators_break() -> None:
    plan = Plan(modes=(ModeChange(2000, "STANDBY"), ModeChange(4000, "PROCESSING")))
    run = cycles(plan=plan)
    phases = held(run, "cycle_phase")
    assert set(phases[1999:4000]) == {float(Phase.IDLE)}
    assert phases[4010] == Phase.EVACUATE


def test_a_fault_does_not_shift_the_phases_until_the_machine_reacts() -> None:
    healthy = cycles()
    for name in ("air_leak", "vacuum_pump_wear", "generator_scaling", "drain_blocked"):
        assert np.array_equal(
            held(cycles(fault(name, 0.5)), "cycle_phase"), held(healthy, "cycle_phase"), equal_nan=True
        ), name


def test_of_a_phase_that_staff_broke_off_no_figure_is_kept() -> None:
    for second in range(3600, 3640, 5):
        plan = Plan(lookalikes=(LookalikePlan("operator_abort", second, 500),))
        run = cycles(plan=plan, seed=second)
        assert part(run, "vacuum_depth", 3600, 10800).max() < 8
        assert part(run, "vacuum_time", 3600, 10800).max() < 50
        assert part(run, "heat_up_time", 3600, 10800).max() < 145
