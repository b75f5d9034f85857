"""Physics of the simulated haemodialysis machine."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, Plan, Simulation, simulate
from tests.streams.simulation.worlds import START_MS, column, held, one_event, one_fault, part

MACHINE = "haemodialysis"
CHOSEN = {"uf_rate_set": 600.0, "qb_set": 300.0, "hdf": 0.0}


def treated(*faults: FaultPlan, seed: int = 3) -> Simulation:
    return simulate(MACHINE, "A", seed, START_MS, 2400, Plan(faults, settings=CHOSEN))


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 1500, 2400).mean())


def removed_per_hour(simulation: Simulation) -> float:
    removed = part(simulation, "uf_removed", 1500, 2400)
    return float((removed[-1] - removed[0]) / (len(removed) - 1) * 60)


def test_what_is_removed_is_the_ultrafiltration_rate_over_time() -> None:
    healthy = treated()
    assert removed_per_hour(healthy) == pytest.approx(settled(healthy, "uf_rate"), rel=0.01)
    assert settled(healthy, "uf_rate") == pytest.approx(600, rel=0.02)


def test_a_leaking_balancing_chamber_takes_more_than_the_pump_says_and_moves_the_membrane_pressure() -> None:
    healthy = treated()
    leaking = treated(FaultPlan("balancing_leak", 300, 0.8, ramp_s=300, sign=1))
    assert settled(leaking, "uf_rate") == pytest.approx(settled(healthy, "uf_rate"), abs=1e-6)
    assert removed_per_hour(leaking) == pytest.approx(600 + 0.8 * 320, rel=0.03)
    assert settled(leaking, "tmp") > settled(healthy, "tmp") + 10


def test_a_worn_blood_pump_moves_less_blood_and_both_pressures_come_nearer_to_zero() -> None:
    healthy, worn = treated(), treated(FaultPlan("blood_pump_wear", 300, 0.8, ramp_s=300))
    assert settled(worn, "qb_set") == settled(healthy, "qb_set")
    assert settled(worn, "qb") < 0.8 * settled(healthy, "qb")
    assert settled(healthy, "p_art") + 15 < settled(worn, "p_art") < 0
    assert 0 < settled(worn, "p_ven") < settled(healthy, "p_ven") - 15


def test_a_clotting_dialyser_raises_the_pressures_before_and_across_it_and_not_behind() -> None:
    healthy, clotting = treated(), treated(FaultPlan("dialyser_clotting", 300, 0.8, ramp_s=300))
    assert settled(clotting, "tmp") > settled(healthy, "tmp") + 30
    assert settled(clotting, "p_prefilter") > settled(healthy, "p_prefilter") + 40
    assert settled(clotting, "p_ven") == pytest.approx(settled(healthy, "p_ven"), abs=1e-6)


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("blood_leak_optics_soiling", {"blood_leak"}),
        ("air_detector_soiling", {"air_detect_level"}),
        ("dialyser_clotting", {"tmp", "p_prefilter"}),
        ("proportioning_pump_wear", {"dialysate_cond", "bicarb_cond"}),
        ("temperature_sensor_drift", {"temp_ven", "heater_duty"}),
    ],
)
def test_a_fault_of_one_part_leaves_the_others_alone(fault: str, moved: set[str]) -> None:
    truth = one_fault(MACHINE, fault, severity=0.6).truth.faults[0]
    assert {name for name, effect in truth.effects.items() if effect > 1e-6} == moved


def test_a_drifting_control_sensor_reads_the_setpoint_while_the_blood_gets_colder() -> None:
    healthy = treated()
    drifted = treated(FaultPlan("temperature_sensor_drift", 300, 0.8, ramp_s=300, sign=1))
    assert settled(drifted, "dialysate_temp") == pytest.approx(settled(healthy, "dialysate_temp"), abs=0.01)
    assert settled(drifted, "temp_ven") < settled(healthy, "temp_ven") - 1.5
    assert settled(drifted, "heater_duty") < settled(healthy, "heater_duty") - 2


def test_a_weak_heater_works_harder_and_hunts() -> None:
    healthy, weak = treated(), treated(FaultPlan("heater_degradation", 300, 0.8, ramp_s=300))
    assert settled(weak, "heater_duty") > 70 > settled(healthy, "heater_duty")
    swing = [part(run, "dialysate_temp", 1500, 2400).std() for run in (healthy, weak)]
    assert swing[1] > 3 * swing[0]


def test_a_wrong_conductivity_is_answered_by_the_machine_with_bypass() -> None:
    scaled = treated(FaultPlan("conductivity_cell_scaling", 300, 1.0, ramp_s=300))
    (truth,) = scaled.truth.faults
    assert truth.channels == ("dialysate_cond",)
    assert truth.device_alarm_ms is not None
    alarm = (truth.device_alarm_ms - START_MS) // 1000
    assert held(scaled, "bypass")[alarm + 30] == 1
    assert held(scaled, "bypass")[10 : alarm - 1].max() == 0


def test_without_water_pressure_the_dialysate_flow_falls_and_the_heater_works_harder() -> None:
    healthy, dry = treated(), treated(FaultPlan("ro_inlet_fault", 300, 0.8))
    assert settled(dry, "ro_inlet_pressure") < 0.5 * settled(healthy, "ro_inlet_pressure")
    assert settled(dry, "dialysate_flow") < settled(healthy, "dialysate_flow") - 30


def test_a_needle_change_moves_both_pressures_and_leaves_the_flow_alone() -> None:
    plain = simulate(MACHINE, "U-1", 5, START_MS, 2400)
    moved = one_event(MACHINE, "needle_change", duration_s=900)
    assert np.array_equal(column(plain, "qb"), column(moved, "qb"), equal_nan=True)
    art, ven = (
        part(moved, name, 700, 1400).mean() - part(plain, name, 700, 1400).mean()
        for name in ("p_art", "p_ven")
    )
    assert art * ven < 0
    assert min(abs(art), abs(ven)) > 5


def test_hot_disinfection_is_hot_and_announced_by_the_mode() -> None:
    plan = Plan(lookalikes=(LookalikePlan("hot_disinfection", 600, 2000),))
    machine = simulate(MACHINE, "A", 3, START_MS, 3600, plan)
    assert [mode for _, mode in machine.truth.modes] == ["TX", "POSTTX", "DIS", "PRETX", "TX"]
    assert 80 < part(machine, "dialysate_temp", 1500, 2000).mean() < 90
    assert abs(part(machine, "dialysate_temp", 3000, 3600).mean() - held(machine, "temp_set")[3000]) < 0.5


def test_a_day_is_several_treatments_each_with_its_own_prescription_and_removal_from_nothing() -> None:
    day = simulate(MACHINE, "A", 3, START_MS, 86400)
    modes = [mode for _, mode in day.truth.modes]
    assert modes[:5] == ["TX", "POSTTX", "DIS", "PRETX", "TX"]
    treating = held(day, "treatment_mode") == 3
    assert len(set(held(day, "qb_set")[treating])) > 2
    removed = part(day, "uf_removed", 0, 86400)
    assert np.diff(removed).min() < -500
    assert removed.max() < 6000
