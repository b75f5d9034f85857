"""Physics of the simulated ICU ventilator."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, simulate
from tests.streams.simulation.worlds import START_MS, column, held, one_event, one_fault, part

VENTILATOR = "icu-ventilator"


def volume_control(*faults: FaultPlan, duration_s: int = 1800) -> Simulation:
    return simulate(
        VENTILATOR, "A", 3, START_MS, duration_s, Plan(faults, settings={"pressure_control": 0.0})
    )


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 1200, 1800).mean())


def test_minute_volume_is_expired_volume_times_rate() -> None:
    healthy = volume_control()
    expected = settled(healthy, "vt_exp") * settled(healthy, "rr_total") / 1000.0
    assert settled(healthy, "mv") == pytest.approx(expected, rel=0.03)


def test_plateau_pressure_is_peep_plus_volume_over_compliance() -> None:
    healthy = volume_control()
    elastic = settled(healthy, "vt_insp") / settled(healthy, "compliance")
    assert settled(healthy, "p_plat") - settled(healthy, "peep") == pytest.approx(elastic, rel=0.03)
    assert settled(healthy, "p_peak") > settled(healthy, "p_plat")


def test_breath_numerics_come_once_a_breath_and_none_in_standby() -> None:
    plan = Plan(modes=(ModeChange(900, "STANDBY"),))
    device = simulate(VENTILATOR, "A", 3, START_MS, 1800, plan)
    breaths = np.count_nonzero(~np.isnan(column(device, "vt_exp")[:900]))
    assert breaths / 15.0 == pytest.approx(part(device, "rr_total", 60, 900).mean(), rel=0.03)
    assert np.isnan(column(device, "vt_exp")[910:]).all()
    assert np.isfinite(column(device, "blower_temp")[910:]).all()


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("o2_cell_depletion", {"fio2"}),
        ("expiratory_flow_sensor_drift", {"vt_exp", "mv", "leak"}),
        ("pressure_zero_drift", {"p_peak", "p_plat", "peep"}),
        ("o2_supply_fault", {"o2_supply_pressure", "fio2"}),
    ],
)
def test_a_fault_of_one_part_leaves_the_others_alone(fault: str, moved: set[str]) -> None:
    truth = one_fault(VENTILATOR, fault).truth.faults[0]
    assert {name for name, effect in truth.effects.items() if effect > 1e-6} == moved


def test_a_zero_drift_offsets_all_pressures_by_the_same_amount() -> None:
    healthy = volume_control()
    drifted = volume_control(FaultPlan("pressure_zero_drift", 300, 0.5, ramp_s=300, sign=1))
    apart = [settled(drifted, name) - settled(healthy, name) for name in ("peep", "p_plat", "p_peak")]
    assert apart == pytest.approx([3.0, 3.0, 3.0], abs=0.02)


def test_a_leak_moves_volumes_pressures_rate_and_blower_and_a_soiled_sensor_only_the_expired_volume() -> None:
    healthy = volume_control()
    leaky = volume_control(FaultPlan("circuit_leak", 300, 0.8))
    soiled = volume_control(FaultPlan("expiratory_flow_sensor_drift", 300, 0.8, ramp_s=300, sign=-1))
    for name, sign in (
        ("leak", 1),
        ("vt_exp", -1),
        ("peep", -1),
        ("rr_total", 1),
        ("blower_speed", 1),
        ("etco2", 1),
    ):
        assert sign * (settled(leaky, name) - settled(healthy, name)) > 0, name
    assert settled(soiled, "leak") > settled(healthy, "leak") + 10
    for name in ("peep", "rr_total", "blower_speed", "etco2", "vt_insp"):
        assert settled(soiled, name) == pytest.approx(settled(healthy, name), abs=1e-6), name


def test_a_sticking_valve_raises_all_pressures_and_makes_them_swing() -> None:
    healthy = volume_control()
    sticking = volume_control(FaultPlan("exhalation_valve_stick", 300, 0.8, ramp_s=300))
    for name in ("peep", "p_plat", "p_peak"):
        assert settled(sticking, name) > settled(healthy, name) + 2.5
    assert part(sticking, "peep", 1200, 1800).std() > 2 * part(healthy, "peep", 1200, 1800).std()


def test_a_worn_bearing_takes_current_makes_heat_and_ripples() -> None:
    healthy = volume_control()
    worn = volume_control(FaultPlan("blower_bearing_wear", 300, 0.9, ramp_s=300))
    assert settled(worn, "blower_temp") > settled(healthy, "blower_temp") + 8
    assert settled(worn, "blower_current") > settled(healthy, "blower_current") + 0.2
    ripple = [np.diff(part(run, "blower_speed", 1200, 1800)).std() for run in (healthy, worn)]
    assert ripple[1] > 3 * ripple[0]


def test_without_oxygen_pressure_the_inspired_oxygen_falls_to_air_and_the_device_alarms() -> None:
    cut = volume_control(FaultPlan("o2_supply_fault", 300, 1.0))
    assert settled(cut, "fio2") < settled(cut, "fio2_set") - 5
    assert cut.truth.faults[0].device_alarm_ms is not None
    assert cut.truth.faults[0].device_alarm_ms < START_MS + 330_000


def test_suctioning_is_announced_by_mode_and_oxygen_setting() -> None:
    device = one_event(VENTILATOR, "suctioning", duration_s=200)
    assert [mode for _, mode in device.truth.modes] == ["VENTILATING", "OXYGENATION", "VENTILATING"]
    assert held(device, "fio2_set")[650] == 100
    assert part(device, "leak", 600, 830).max() > 40


def test_pressure_control_holds_pressure_and_volume_control_holds_volume_when_the_lung_stiffens() -> None:
    for control, steady, moved in ((0.0, "vt_insp", "p_plat"), (1.0, "p_plat", "vt_insp")):
        turned = LookalikePlan("position_change", 600, 1200, 1.0)
        plan = Plan(lookalikes=(turned,), settings={"pressure_control": control})
        device = simulate(VENTILATOR, "A", 3, START_MS, 1800, plan)
        ratio = {
            n: part(device, n, 700, 1800).mean() / part(device, n, 60, 600).mean() for n in (steady, moved)
        }
        assert ratio[steady] == pytest.approx(1.0, abs=0.02)
        assert abs(ratio[moved] - 1.0) > 0.05
