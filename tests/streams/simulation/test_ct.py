"""Physics of the simulated CT scanner; a step is ten seconds."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, fault_specs, simulate
from tests.streams.simulation.worlds import START_MS, column, held, one_fault, part

CT = "ct-scanner"
HOUR = 3600.0
STEPS = 360
"""Steps an hour."""


def scanner(*faults: FaultPlan, hours: float = 12.0, plan: Plan | None = None) -> Simulation:
    return simulate(CT, "A", 3, START_MS, hours * HOUR, plan or Plan(faults))


def fault(name: str, severity: float = 0.7, sign: int | None = None) -> FaultPlan:
    return FaultPlan(name, 2 * HOUR, severity, ramp_s=2 * HOUR, sign=sign)


def settled(simulation: Simulation, channel: str) -> float:
    """Mean from hour 6 on."""
    return float(part(simulation, channel, 6 * STEPS, len(simulation)).mean())


def test_figures_of_a_scan_come_at_its_end_all_together() -> None:
    healthy = scanner()
    told = np.isfinite(column(healthy, "kv_deviation"))
    assert (np.isfinite(column(healthy, "rotor_runup")) == told).all()
    assert 40 < told.sum() < 300
    power = column(healthy, "beam_power")
    assert (power[told] > 0).all()
    assert (power[np.flatnonzero(told)[:-1] + 1] == 0).all()


def test_anode_and_oil_are_heated_by_the_beam_and_cool_without_it() -> None:
    plan = Plan(modes=(ModeChange(4 * HOUR, "STANDBY"), ModeChange(10 * HOUR, "IN_USE")))
    run = scanner(plan=plan)
    assert part(run, "anode_heat", 2 * STEPS, 4 * STEPS).mean() > 4
    assert part(run, "anode_heat", 6 * STEPS, 10 * STEPS).max() <= 1
    cold = part(run, "oil_temp", 8 * STEPS, 10 * STEPS).mean()
    assert part(run, "oil_temp", 2 * STEPS, 4 * STEPS).mean() > cold + 2
    assert part(run, "kv_deviation", 4 * STEPS + 1, 10 * STEPS).size == 0


def test_gas_in_the_tube_makes_arcs_that_pull_the_voltage_down_and_make_scans_wait() -> None:
    healthy, gassy = scanner(), scanner(fault("tube_vacuum"))
    assert settled(healthy, "arc_count") < 0.5
    assert settled(gassy, "arc_count") > 4
    assert settled(gassy, "kv_deviation") < settled(healthy, "kv_deviation") - 1
    assert settled(gassy, "scan_delay") > settled(healthy, "scan_delay") + 8
    assert settled(gassy, "filament_correction") == pytest.approx(settled(healthy, "filament_correction"))


def test_a_thin_filament_needs_less_current_and_regulates_worse() -> None:
    healthy, thin = scanner(), scanner(fault("filament_wear"))
    assert settled(thin, "filament_correction") == pytest.approx(
        settled(healthy, "filament_correction") - 7.0, abs=0.5
    )
    shaking = [part(run, "ma_deviation", 6 * STEPS, 12 * STEPS).std() for run in (healthy, thin)]
    assert shaking[1] > 2 * shaking[0]


def test_a_worn_anode_bearing_is_told_from_a_worn_gantry_by_the_rotor() -> None:
    healthy, anode, gantry = scanner(), scanner(fault("anode_bearing_wear")), scanner(fault("gantry_wear"))
    for worn in (anode, gantry):
        assert settled(worn, "gantry_vibration") > settled(healthy, "gantry_vibration") + 0.15
    assert settled(anode, "rotor_runup") > 1.15 * settled(healthy, "rotor_runup")
    assert settled(anode, "oil_temp") > settled(healthy, "oil_temp") + 2
    assert settled(gantry, "rotor_runup") == pytest.approx(settled(healthy, "rotor_runup"))
    assert settled(gantry, "data_retries") > settled(healthy, "data_retries") + 5
    assert settled(gantry, "gantry_motor_temp") > settled(healthy, "gantry_motor_temp") + 5


def test_weak_oil_cooling_lets_the_same_load_make_the_oil_hotter() -> None:
    healthy, weak = scanner(), scanner(fault("oil_cooling"))
    assert np.array_equal(column(healthy, "beam_power"), column(weak, "beam_power"))
    assert settled(weak, "oil_flow") < 0.75 * settled(healthy, "oil_flow")
    assert settled(weak, "oil_pump_current") > settled(healthy, "oil_pump_current") + 0.2
    assert settled(weak, "oil_temp") > settled(healthy, "oil_temp") + 5


def test_a_hot_tube_is_not_used_until_it_has_cooled() -> None:
    surge = LookalikePlan("trauma_surge", 4 * HOUR, 6 * HOUR, 1.0)
    run = scanner(hours=12, plan=Plan((fault("oil_cooling", 1.0),), (surge,)))
    (truth,) = run.truth.faults
    assert truth.device_alarm_ms is not None
    hot = int(np.argmax(part(run, "oil_temp", 0, 12 * STEPS) > 62.0))
    assert hot > 4 * STEPS
    assert held(run, "beam_power")[hot + 5 : hot + 100].max() == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_detector_off_its_temperature_shifts_its_worst_module_either_way(sign: int) -> None:
    healthy, off = scanner(), scanner(fault("detector_temperature", sign=sign))
    assert settled(off, "detector_temp") - settled(healthy, "detector_temp") == pytest.approx(
        sign * 1.12, abs=0.05
    )
    assert settled(off, "air_ratio") < settled(healthy, "air_ratio") - 0.01


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("tube_vacuum", {"arc_count", "kv_deviation", "scan_delay"}),
        ("filament_wear", {"filament_correction", "ma_deviation"}),
        ("detector_temperature", {"detector_temp", "air_ratio"}),
    ],
)
def test_a_fault_of_one_part_leaves_the_others_alone(name: str, moved: set[str]) -> None:
    truth = one_fault(CT, name, severity=0.6).truth.faults[0]
    assert {channel for channel, effect in truth.effects.items() if effect > 0} == moved


@pytest.mark.parametrize("name", fault_specs(CT))
def test_a_medium_fault_moves_its_first_channel_by_six_spreads(name: str) -> None:
    truth = scanner(fault(name), hours=16).truth.faults[0]
    assert truth.effects[truth.channels[0]] > 6


def test_a_surge_of_casualties_heats_the_tube_as_its_load_explains_and_raises_no_alarm() -> None:
    plain = scanner()
    busy = scanner(plan=Plan(lookalikes=(LookalikePlan("trauma_surge", 4 * HOUR, 3 * HOUR, 1.0),)))
    power, oil = (
        [part(run, name, 5 * STEPS, 7 * STEPS).mean() for run in (plain, busy)]
        for name in ("beam_power", "oil_temp")
    )
    assert power[1] > 1.8 * power[0]
    assert oil[1] > oil[0] + 4
    assert part(busy, "oil_temp", 0, 12 * STEPS).max() < 60


def test_a_cold_start_ends_with_a_warm_up_of_growing_power() -> None:
    run = scanner(plan=Plan(lookalikes=(LookalikePlan("cold_start", 4 * HOUR, 2 * HOUR),)))
    assert [mode for _, mode in run.truth.modes] == ["IN_USE", "STANDBY", "WARM_UP", "IN_USE"]
    warming = held(run, "protocol") == 5
    power = column(run, "beam_power")[(held(run, "mode") == 3) & (column(run, "beam_power") > 0)]
    assert warming.any()
    assert len(power) >= 12
    assert (np.diff(power) > 0).all()


def test_a_new_tube_starts_its_life_anew_with_baselines_of_its_own() -> None:
    plan = Plan(lookalikes=(LookalikePlan("tube_replacement", 4 * HOUR, 4 * HOUR),))
    old, new = scanner(hours=16), scanner(hours=16, plan=plan)
    assert held(old, "tube_scan_time")[-1] > 20
    assert held(new, "tube_scan_time")[-1] < 5
    apart = [
        part(run, "rotor_runup", 10 * STEPS, 16 * STEPS).mean()
        - part(run, "rotor_runup", 0, 4 * STEPS).mean()
        for run in (old, new)
    ]
    assert abs(apart[0]) < 0.02 < abs(apart[1])
