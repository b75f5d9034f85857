"""Physics of the simulated MRI scanner; a step is a minute."""

import numpy as np
import pytest

from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, fault_specs, simulate
from tests.streams.simulation.worlds import START_MS, held, one_event, one_fault, part

MRI = "mri"
HOUR = 3600.0


def scanner(*faults: FaultPlan, hours: float = 12.0, plan: Plan | None = None, seed: int = 3) -> Simulation:
    return simulate(MRI, "A", seed, START_MS, hours * HOUR, plan or Plan(faults))


def fault(name: str, severity: float = 0.7) -> FaultPlan:
    return FaultPlan(name, 2 * HOUR, severity, ramp_s=2 * HOUR)


def settled(simulation: Simulation, channel: str) -> float:
    """Mean from hour 6 on."""
    return float(part(simulation, channel, 360, len(simulation)).mean())


def test_a_healthy_magnet_loses_no_helium_and_its_heater_holds_the_pressure() -> None:
    healthy = scanner(hours=48)
    pressure = part(healthy, "magnet_pressure", 0, 2880)
    assert pressure.std() < 0.1
    assert pressure.mean() == pytest.approx(5.5, abs=0.3)
    assert settled(healthy, "heater_power") > 0.4
    assert settled(healthy, "helium_rate") == pytest.approx(0.0, abs=0.1)


def test_a_worn_cold_head_uses_up_the_heater_before_any_helium_is_lost() -> None:
    healthy, worn = scanner(), scanner(fault("coldhead_wear"))
    assert settled(worn, "heater_power") < 0.3 * settled(healthy, "heater_power")
    assert settled(worn, "coldhead_temp") > settled(healthy, "coldhead_temp") + 0.3
    assert settled(worn, "shield_temp") > settled(healthy, "shield_temp") + 5
    apart = [settled(run, "compressor_supply") - settled(run, "compressor_return") for run in (healthy, worn)]
    assert apart[1] < apart[0] - 0.08
    assert settled(worn, "helium_rate") == pytest.approx(settled(healthy, "helium_rate"), abs=0.02)


def test_a_cold_head_without_any_headroom_lets_the_pressure_rise_until_the_device_alarms() -> None:
    (truth,) = scanner(fault("coldhead_wear", 1.0), hours=16).truth.faults
    assert truth.device_alarm_ms is not None
    assert "magnet_pressure" in truth.channels


def test_a_weak_compressor_takes_the_cold_away_and_runs_hot_although_its_water_is_cool() -> None:
    healthy, weak = scanner(), scanner(fault("compressor_fault"))
    assert settled(weak, "compressor_supply") < settled(healthy, "compressor_supply") - 0.25
    assert settled(weak, "compressor_return") > settled(healthy, "compressor_return") + 0.1
    assert settled(weak, "discharge_temp") > settled(healthy, "discharge_temp") + 10
    assert settled(weak, "coldhead_temp") > settled(healthy, "coldhead_temp") + 0.2
    assert settled(weak, "chiller_supply_temp") == pytest.approx(settled(healthy, "chiller_supply_temp"))


def test_blocked_water_warms_compressor_and_gradients_and_at_last_trips_the_compressor() -> None:
    healthy, weak, shut = (
        scanner(),
        scanner(fault("chiller_failure")),
        scanner(fault("chiller_failure", 1.0)),
    )
    assert settled(weak, "chiller_flow") < 0.65 * settled(healthy, "chiller_flow")
    for channel in ("chiller_supply_temp", "oil_temp", "gradient_amp_temp", "gradient_coil_temp"):
        assert settled(weak, channel) > settled(healthy, channel) + 2.5, channel
    assert held(weak, "compressor_on").min() == 1
    assert held(shut, "compressor_on").min() == 0
    assert shut.truth.faults[0].device_alarm_ms is not None


def test_a_leaking_vent_line_is_seen_in_the_slope_of_the_level_and_not_in_the_cold_head() -> None:
    healthy, leaking = scanner(), scanner(fault("helium_boil_off"))
    assert settled(leaking, "helium_rate") < settled(healthy, "helium_rate") - 0.8
    lost = [part(run, "helium_level", 360, 720) for run in (healthy, leaking)]
    assert (lost[1][-1] - lost[1][0]) < (lost[0][-1] - lost[0][0])
    assert settled(leaking, "heater_power") < 0.2
    assert settled(leaking, "coldhead_temp") == pytest.approx(settled(healthy, "coldhead_temp"), abs=0.05)


def test_a_lost_insulating_vacuum_warms_the_cold_and_cools_the_bore() -> None:
    healthy, ahead = scanner(), scanner(fault("pre_quench", 0.6))
    assert settled(ahead, "bore_temp") < settled(healthy, "bore_temp") - 1.5
    assert settled(ahead, "shield_temp") > settled(healthy, "shield_temp") + 3
    assert settled(ahead, "magnet_pressure") > settled(healthy, "magnet_pressure") + 2
    assert settled(ahead, "compressor_return") == pytest.approx(settled(healthy, "compressor_return"))


def test_arcing_is_counted_and_noisy_and_leaves_the_gradients_cool() -> None:
    truth = one_fault(MRI, "rf_arcing", severity=0.7).truth.faults[0]
    assert {name for name, effect in truth.effects.items() if effect > 0} == {"rf_spike_count", "snr"}
    assert min(truth.effects["rf_spike_count"], truth.effects["snr"]) > 6


@pytest.mark.parametrize("name", fault_specs(MRI))
def test_a_medium_fault_moves_its_first_channel_by_six_spreads(name: str) -> None:
    truth = scanner(fault(name), hours=16).truth.faults[0]
    assert truth.effects[truth.channels[0]] > 6


def test_long_echo_planar_scanning_heats_coils_and_water_as_its_load_explains() -> None:
    plain, busy = (
        scanner(hours=12),
        scanner(plan=Plan(lookalikes=(LookalikePlan("epi_day", 2 * HOUR, 8 * HOUR, 1.0),))),
    )
    load, warmth = (
        [part(run, c, 240, 600).mean() for run in (plain, busy)]
        for c in ("gradient_load", "gradient_coil_temp")
    )
    assert load[1] > 1.5 * load[0]
    assert warmth[1] > warmth[0] + 4
    assert warmth[1] - warmth[0] == pytest.approx(0.30 * (load[1] - load[0]), abs=1.5)


def test_a_helium_fill_raises_the_level_in_a_step_announced_by_the_mode() -> None:
    filled = one_event(MRI, "helium_fill", duration_s=4 * HOUR)
    assert [mode for _, mode in filled.truth.modes] == ["IN_USE", "SERVICE", "IN_USE"]
    level = part(filled, "helium_level", 0, 2400)
    assert level[-1] > level[0] + 6
    assert part(filled, "magnet_pressure", 900, 2400).max() < 6.5


def test_fill_after_fill_ends_where_the_vessel_is_full() -> None:
    fills = tuple(LookalikePlan("helium_fill", begin * HOUR, 2 * HOUR, 1.0) for begin in range(1, 20, 4))
    level = part(scanner(hours=24, plan=Plan(lookalikes=fills)), "helium_level", 0, 1440)
    assert level[-1] == pytest.approx(98, abs=1)
    assert level.max() < 99


def test_a_power_test_and_a_ramp_are_over_when_the_scanner_is_in_use_again() -> None:
    for event, length in (("power_test", 900.0), ("magnet_ramp", 3 * HOUR)):
        plain = simulate(MRI, "U-1", 5, START_MS, 2400 * 60)
        after = 600 + int(length) // 60 + 60
        run = one_event(MRI, event, duration_s=length)
        for channel, within in (("magnet_pressure", 0.5), ("coldhead_temp", 0.1), ("heater_power", 0.4)):
            apart = part(run, channel, after, 2400) - part(plain, channel, after, 2400)
            assert np.abs(apart).max() < within, (event, channel)


def test_nobody_is_scanned_out_of_use() -> None:
    plan = Plan(modes=(ModeChange(2 * HOUR, "STANDBY"), ModeChange(6 * HOUR, "IN_USE")))
    run = scanner(plan=plan)
    assert held(run, "gradient_load")[125:355].max() == 0
    assert np.ptp(part(run, "snr", 121, 360)) == 0
    assert part(run, "gradient_coil_temp", 300, 360).mean() < part(run, "gradient_coil_temp", 0, 120).mean()
