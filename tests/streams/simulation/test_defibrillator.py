"""Physics of the simulated defibrillator; a step is an hour."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, Plan, Simulation, observe, simulate
from tests.streams.simulation.worlds import START_MS, column, held, part

DEFIBRILLATOR = "defibrillator"
HOUR, DAY, WEEK = 1, 24, 168
HOUR_S = 3600.0
SAMPLES = 60 * DAY


def kept(*faults: FaultPlan, lookalikes: tuple[LookalikePlan, ...] = (), seed: int = 3) -> Simulation:
    """Sixty days in the cabinet; the last thirty are looked at."""
    plan = Plan(faults, lookalikes, settings={"battery_age": 400.0, "climate_mean": 20.0})
    return simulate(DEFIBRILLATOR, "A", seed, START_MS, SAMPLES * HOUR_S, plan)


def fault(name: str, severity: float = 0.7, sign: int | None = None) -> FaultPlan:
    return FaultPlan(name, 10 * DAY * HOUR_S, severity, ramp_s=5 * DAY * HOUR_S, sign=sign)


def event(name: str, day: int, hours: int, magnitude: float = 0.5) -> LookalikePlan:
    return LookalikePlan(name, day * DAY * HOUR_S, hours * HOUR_S, magnitude)


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 30 * DAY, SAMPLES).mean())


def moved(faulty: Simulation, healthy: Simulation, channel: str) -> float:
    return settled(faulty, channel) - settled(healthy, channel)


def test_a_healthy_device_charges_in_time_gives_its_energy_and_loses_little_battery() -> None:
    healthy = kept()
    assert 5 < settled(healthy, "cap_charge_time") < 8
    assert settled(healthy, "energy_delivered") == pytest.approx(200, rel=0.05)
    assert settled(healthy, "pad_impedance") == pytest.approx(50, rel=0.05)
    sag = 1 - settled(healthy, "battery_voltage_load") / settled(healthy, "battery_voltage")
    assert 0.04 < sag < 0.10
    charge = part(healthy, "battery_charge", 0, SAMPLES)
    assert 2.0 < charge[0] - charge[-1] < 6.0


def test_what_a_weekly_test_found_is_reported_every_day_until_the_next() -> None:
    leaks = part(kept(), "cap_leak", 0, SAMPLES)
    assert len(leaks) == pytest.approx(60, abs=3)
    assert len(set(np.flatnonzero(np.diff(leaks)) % 7)) <= 2
    assert (np.diff(leaks) != 0).sum() <= 9


def test_an_aged_battery_sags_charges_slowly_and_has_lost_capacity() -> None:
    healthy, aged = kept(), kept(fault("battery_ageing"))
    assert moved(aged, healthy, "battery_voltage_load") < -0.5
    assert moved(aged, healthy, "cap_charge_time") > 0.4
    assert moved(aged, healthy, "battery_capacity_ratio") < -10
    assert moved(aged, healthy, "cap_leak") == pytest.approx(0.0, abs=0.01)


def test_a_worn_capacitor_charges_slowly_with_a_good_battery_leaks_and_gives_less() -> None:
    healthy, worn = kept(), kept(fault("hv_capacitor_degradation"))
    assert moved(worn, healthy, "cap_charge_time") > 1
    assert moved(worn, healthy, "cap_leak") > 8
    assert moved(worn, healthy, "energy_delivered") < -10
    assert moved(worn, healthy, "battery_voltage_load") == pytest.approx(0.0, abs=0.01)


def test_a_parasitic_drain_takes_current_and_makes_the_battery_fall_steeper() -> None:
    healthy, drained = kept(), kept(fault("parasitic_drain", 1.0))
    assert moved(drained, healthy, "standby_current") == pytest.approx(0.3, abs=0.01)
    slope = [np.ptp(part(run, "battery_charge", 30 * DAY, SAMPLES)) for run in (drained, healthy)]
    assert slope[0] > 2 * slope[1]
    assert moved(drained, healthy, "cap_leak") == pytest.approx(0.0, abs=0.01)


def test_a_bad_therapy_cable_has_impedance_and_noise_and_the_charger_is_as_before() -> None:
    healthy, bad = kept(), kept(fault("therapy_cable_fault"))
    assert moved(bad, healthy, "pad_impedance") > 10
    assert moved(bad, healthy, "ecg_noise") > 8
    assert moved(bad, healthy, "energy_delivered") < -5
    assert moved(bad, healthy, "cap_charge_time") == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_cold_cabinet_weakens_the_battery_and_a_hot_one_the_capacitor(sign: int) -> None:
    healthy, off = kept(), kept(fault("cabinet_temperature", 0.6, sign))
    assert moved(off, healthy, "temperature") == pytest.approx(sign * 0.6 * 34, abs=1)
    assert sign * moved(off, healthy, "battery_voltage_load") > 0.1
    assert sign * moved(off, healthy, "cap_leak") > 0.3
    assert moved(off, healthy, "standby_current") == 0.0


def test_of_a_silent_device_only_the_time_since_the_last_contact_is_left() -> None:
    silent = kept(fault("silent_device", 1.0))
    (truth,) = silent.truth.faults
    assert truth.channels == ("last_contact",)
    assert truth.device_alarm_ms == START_MS + 1000 * 3600 * (10 * DAY + 72)
    assert len(part(silent, "battery_voltage", 11 * DAY, SAMPLES)) == 0
    assert part(silent, "last_contact", SAMPLES - 1, SAMPLES)[0] > 40 * DAY
    assert len(observe(silent, 1)) > 0.95 * SAMPLES


def test_a_failing_radio_gets_through_now_and_then_with_the_days_report() -> None:
    failing = kept(fault("silent_device", 0.5))
    hours = part(failing, "last_contact", 20 * DAY, SAMPLES)
    assert 12 < hours.max() < 40
    assert 0.03 < (hours == 0).mean() < 0.1
    heard = len(part(failing, "battery_charge", 20 * DAY, SAMPLES))
    assert 0.6 * (hours == 0).sum() < heard <= (hours == 0).sum()


def test_use_on_a_patient_costs_shocks_and_battery_and_is_announced() -> None:
    plain, used = kept(), kept(lookalikes=(event("real_use", 20, 2, 1.0),))
    assert [mode for _, mode in used.truth.modes] == ["READY", "IN_USE", "READY"]
    assert part(used, "shocks", 30 * DAY, SAMPLES).max() == 6
    assert -3 < moved(used, plain, "battery_charge") < -0.5


def test_a_new_battery_is_full_and_the_inventory_knows_it() -> None:
    swapped = kept(lookalikes=(event("battery_swap", 20, 1),))
    assert part(swapped, "battery_charge", 0, 20 * DAY).max() < 85
    assert part(swapped, "battery_charge", 22 * DAY, SAMPLES).min() > 90
    assert held(swapped, "battery_expiry_days")[22 * DAY] > 1500
    assert held(swapped, "battery_expiry_days")[19 * DAY] == pytest.approx(1600 - 419, abs=2)


def test_a_low_battery_is_replaced_and_the_fault_ends_with_it() -> None:
    aged = kept(fault("battery_ageing", 1.0))
    (truth,) = aged.truth.faults
    assert truth.device_alarm_ms is not None
    assert 0 < truth.end_ms - truth.device_alarm_ms <= 72 * 3_600_000
    after = (truth.end_ms - START_MS) // 3_600_000
    assert part(aged, "battery_voltage_load", after + DAY, SAMPLES).min() > 11


def test_an_outage_of_the_network_is_over_within_hours() -> None:
    run = kept(lookalikes=(event("comm_outage", 20, 6),))
    assert part(run, "last_contact", 20 * DAY, 21 * DAY).max() == pytest.approx(6, abs=1)
    assert np.isnan(column(run, "temperature")[20 * DAY + 1])
    assert not np.isnan(column(run, "temperature")[20 * DAY + 8 : 21 * DAY]).all()
