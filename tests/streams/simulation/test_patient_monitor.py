"""Physics of the simulated patient monitor."""

import numpy as np
import pytest

from streams.devices import FaultSignature, load_profiles
from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, fault_specs, simulate
from streams.simulation.patient_monitor import LEAD_OFF
from tests.streams.simulation.movements import agrees, longest_hold, quiet
from tests.streams.simulation.worlds import START_MS, column, held, one_event, one_fault, part

MONITOR = "patient-monitor"
SIGNATURES = load_profiles()[MONITOR].faults


def watched(*faults: FaultPlan, lookalikes: tuple[LookalikePlan, ...] = ()) -> Simulation:
    return simulate(
        MONITOR, "A", 3, START_MS, 2400, Plan(faults, lookalikes, settings={"nibp_interval": 2.5})
    )


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 1500, 2400).mean())


def test_every_simulated_fault_has_a_signature() -> None:
    assert [signature.name for signature in SIGNATURES] == list(fault_specs(MONITOR))


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_a_fault_moves_its_channels_as_its_signature_says_and_leaves_the_steady_ones(
    signature: FaultSignature,
) -> None:
    healthy, faulty = simulate(MONITOR, "U-1", 5, START_MS, 3000), one_fault(MONITOR, signature.name)
    for channel, movement in signature.moves.items():
        assert agrees(movement, faulty, healthy, channel), channel
    for channel in signature.steady:
        assert quiet(faulty, healthy, channel), channel


def test_arterial_line_and_cuff_read_the_same_pressure() -> None:
    healthy = watched()
    assert settled(healthy, "ibp_mean") == pytest.approx(settled(healthy, "nibp_mean"), abs=6)
    swing = settled(healthy, "ibp_sys") - settled(healthy, "ibp_dia")
    assert settled(healthy, "ibp_mean") == pytest.approx(settled(healthy, "ibp_dia") + swing / 3, abs=1)


def test_cuff_figures_stand_from_the_end_of_one_measurement_to_that_of_the_next() -> None:
    healthy = watched()
    figures = column(healthy, "nibp_leak_rate")
    reported = np.flatnonzero(~np.isnan(figures))
    assert np.diff(reported).tolist() == [60] * (len(reported) - 1)
    ended = np.flatnonzero(np.diff(held(healthy, "nibp_state")) == -1)
    new = reported[1:][np.diff(figures[reported]) != 0]
    assert len(new) >= 10
    assert all(np.any((ended <= second) & (ended > second - 61)) for second in new)


def test_without_a_patient_only_the_monitor_itself_is_reported() -> None:
    device = simulate(MONITOR, "A", 3, START_MS, 1800, Plan(modes=(ModeChange(900, "STANDBY"),)))
    for channel in ("hr", "spo2", "ibp_mean", "nibp_mean", "ecg_lead_impedance", "temp_core"):
        assert np.isnan(column(device, channel)[910:]).all(), channel
    for channel in ("battery_charge", "battery_voltage", "module_link_errors", "wifi_strength"):
        assert np.isfinite(column(device, channel)[910:]).any(), channel


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("nibp_pneumatic_leak", {"nibp_inflate_time", "nibp_leak_rate"}),
        ("ecg_cable_fracture", {"ecg_lead_impedance", "ecg_noise", "hr", "resp_rate"}),
        ("ibp_zero_drift", {"ibp_sys", "ibp_dia", "ibp_mean"}),
        ("battery_charger_failure", {"battery_charge", "battery_voltage"}),
    ],
)
def test_a_fault_of_one_part_leaves_the_others_alone(fault: str, moved: set[str]) -> None:
    truth = one_fault(MONITOR, fault).truth.faults[0]
    assert {name for name, effect in truth.effects.items() if effect > 1e-6} == moved


def test_an_aged_sensor_takes_more_light_and_its_readings_get_noisy_while_the_heart_rate_stays() -> None:
    healthy = watched()
    aged = watched(FaultPlan("spo2_sensor_ageing", 300, 0.8, ramp_s=300))
    assert settled(aged, "spo2_led_current") > 1.8 * settled(healthy, "spo2_led_current")
    assert settled(aged, "perfusion_index") < 0.7 * settled(healthy, "perfusion_index")
    apart = [part(run, "pulse_rate", 1500, 2400).std() for run in (healthy, aged)]
    assert apart[1] > 1.5 * apart[0]
    assert settled(aged, "hr") == pytest.approx(settled(healthy, "hr"), abs=1e-6)


def test_a_sensor_at_the_end_of_its_life_saturates_the_light_and_drops_out() -> None:
    dead = watched(FaultPlan("spo2_sensor_ageing", 300, 1.0, ramp_s=300))
    assert part(dead, "spo2_led_current", 1500, 2400).max() <= 50.5
    missing = np.isnan(column(dead, "spo2")[1500:]).mean()
    assert 0.01 < missing < 0.5
    assert np.isnan(column(watched(), "spo2")[1500:]).mean() == 0


def test_a_leaking_cuff_fills_slowly_and_at_the_end_gives_no_pressure() -> None:
    healthy = watched()
    leaking = watched(FaultPlan("nibp_pneumatic_leak", 300, 0.7, ramp_s=300))
    torn = watched(FaultPlan("nibp_pneumatic_leak", 300, 1.0, ramp_s=300))
    assert settled(leaking, "nibp_inflate_time") > 1.5 * settled(healthy, "nibp_inflate_time")
    assert len(part(leaking, "nibp_mean", 1500, 2400)) == len(part(healthy, "nibp_mean", 1500, 2400))
    assert len(part(torn, "nibp_mean", 1500, 2400)) == 0
    assert len(part(torn, "nibp_leak_rate", 1500, 2400)) > 0


def test_a_broken_lead_wire_lets_false_beats_into_the_heart_rate_and_none_into_the_pulse_rate() -> None:
    healthy, broken = watched(), watched(FaultPlan("ecg_cable_fracture", 300, 0.9, ramp_s=300))
    gaps = [part(run, "hr", 1500, 2400) for run in (healthy, broken)]
    assert gaps[1].max() > gaps[0].max() + 20
    assert part(broken, "ecg_lead_impedance", 1500, 2400).max() > LEAD_OFF
    assert np.isnan(column(broken, "hr")[1500:]).any()
    assert np.array_equal(column(broken, "pulse_rate"), column(healthy, "pulse_rate"), equal_nan=True)


def test_a_zero_drift_offsets_all_arterial_pressures_and_staff_zeroes_the_transducer_in_the_end() -> None:
    healthy = watched()
    drifted = watched(FaultPlan("ibp_zero_drift", 300, 0.5, ramp_s=300, sign=1))
    apart = [settled(drifted, name) - settled(healthy, name) for name in ("ibp_sys", "ibp_dia", "ibp_mean")]
    assert apart == pytest.approx([27.5, 27.5, 27.5], abs=0.1)
    far = simulate(
        MONITOR, "A", 3, START_MS, 3600, Plan((FaultPlan("ibp_zero_drift", 300, 1.0, ramp_s=300, sign=1),))
    )
    (truth,) = far.truth.faults
    assert truth.device_alarm_ms is not None
    assert truth.device_alarm_ms + 900_000 <= truth.end_ms <= truth.device_alarm_ms + 1_500_000
    end = (truth.end_ms - START_MS) // 1000
    assert part(far, "ibp_mean", end + 5, 3600).mean() < part(far, "ibp_mean", end - 300, end).mean() - 30


def test_a_failing_charger_does_not_hold_the_battery_and_transport_empties_it_within_half_an_hour() -> None:
    failing = watched(FaultPlan("battery_charger_failure", 300, 0.8, ramp_s=300))
    assert part(failing, "battery_charge", 2000, 2400).max() < 75
    assert settled(failing, "battery_voltage") < settled(watched(), "battery_voltage") - 0.8
    walk = (LookalikePlan("ambulating", 900, 1500),)
    drops = []
    for faults in ((), (FaultPlan("battery_charger_failure", 0, 1.0, ramp_s=1),)):
        charge = part(watched(*faults, lookalikes=walk), "battery_charge", 900, 2400)
        drops.append(charge[0] - charge[-1])
    assert 5 < drops[0] < 20
    assert drops[1] > 30


def test_a_bad_link_freezes_all_readings_of_the_module_at_once_and_none_of_the_others() -> None:
    loose = watched(FaultPlan("module_comm_failure", 300, 0.9, ramp_s=60))
    still = np.diff(column(loose, "spo2_signal_quality")[600:]) == 0
    assert longest_hold(column(loose, "perfusion_index")[600:]) > 20
    assert still.mean() > 0.2
    assert longest_hold(column(loose, "hr")[600:]) < 20
    assert settled(loose, "module_link_errors") > 10


def test_walking_is_announced_by_the_power_source_and_charging_by_its_state() -> None:
    walked = one_event(MONITOR, "ambulating")
    assert set(held(walked, "power_state")[610:1190]) == {1.0}
    assert held(walked, "power_state")[1230] == 2.0
    assert held(walked, "power_state")[2390] == 0.0


@pytest.mark.parametrize(
    ("event", "channel", "state", "value"),
    [
        ("electrocautery", "ecg_noise", "ecg_filter", 2.0),
        ("arrhythmia", "hr", "rhythm", 2.0),
        ("discharge", "hr", "mode", 2.0),
    ],
)
def test_what_resembles_a_fault_is_explained_by_a_state(
    event: str, channel: str, state: str, value: float
) -> None:
    happened, plain = one_event(MONITOR, event), simulate(MONITOR, "U-1", 5, START_MS, 2400)
    assert set(held(happened, state)[610:1190]) == {value}
    assert not np.array_equal(column(happened, channel), column(plain, channel), equal_nan=True)


def test_cold_fingers_and_a_raised_arm_move_what_faults_move_but_less() -> None:
    plain = simulate(MONITOR, "U-1", 5, START_MS, 2400)
    cold, raised = one_event(MONITOR, "cold_fingers", duration_s=1500), one_event(MONITOR, "arm_raised")
    aged = one_fault(MONITOR, "spo2_sensor_ageing", severity=0.5)
    lost = [
        part(plain, "spo2_signal_quality", 1200, 2100).mean()
        - part(run, "spo2_signal_quality", 1200, 2100).mean()
        for run in (cold, aged)
    ]
    assert 0 < lost[0] < 0.3 * lost[1]
    assert part(cold, "spo2_led_current", 1200, 2100).mean() == pytest.approx(
        part(plain, "spo2_led_current", 1200, 2100).mean(), abs=0.1
    )
    below = part(plain, "nibp_mean", 650, 1200).mean() - part(raised, "nibp_mean", 650, 1200).mean()
    assert 8 < below < 16
    assert np.array_equal(column(raised, "ibp_mean"), column(plain, "ibp_mean"), equal_nan=True)
