"""Physics of the simulated anaesthesia machine."""

import numpy as np
import pytest

from streams.devices import FaultSignature, load_profiles
from streams.simulation import FaultPlan, LookalikePlan, ModeChange, Plan, Simulation, fault_specs, simulate
from streams.simulation.anaesthesia_circle import FreshGas, mix, rebreathed
from streams.simulation.truth import FaultTruth
from tests.streams.simulation.movements import agrees, quiet
from tests.streams.simulation.worlds import START_MS, column, held, one_event, one_fault, part

MACHINE = "anaesthesia-machine"
SIGNATURES = load_profiles()[MACHINE].faults
CHOSEN = {"fresh_gas": 2.0, "nitrous": 0.0, "agent": 1.0, "dial": 2.0}


def ventilated(*faults: FaultPlan, fresh_gas: float = 2.0, duration_s: int = 2400) -> Simulation:
    plan = Plan(faults, settings=CHOSEN | {"fresh_gas": fresh_gas})
    return simulate(MACHINE, "A", 3, START_MS, duration_s, plan)


def settled(simulation: Simulation, channel: str) -> float:
    return float(part(simulation, channel, 1500, 2400).mean())


def test_every_simulated_fault_has_a_signature() -> None:
    assert [signature.name for signature in SIGNATURES] == list(fault_specs(MACHINE))


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_a_fault_moves_its_channels_as_its_signature_says_and_leaves_the_steady_ones(
    signature: FaultSignature,
) -> None:
    healthy, faulty = simulate(MACHINE, "U-1", 5, START_MS, 3000), one_fault(MACHINE, signature.name)
    for channel, movement in signature.moves.items():
        assert agrees(movement, faulty, healthy, channel), channel
    for channel in signature.steady:
        assert quiet(faulty, healthy, channel), channel


def test_the_circle_fills_the_slower_the_less_fresh_gas_flows() -> None:
    goal = np.where(np.arange(3600) < 1, 0.0, 2.0)
    halfway = [int(np.argmax(mix(goal, np.full(3600, flow)) > 1.0)) for flow in (1.0, 2.0, 4.0)]
    assert halfway == pytest.approx([187, 94, 47], abs=2)


def test_patients_breathe_what_the_vaporiser_gives_and_a_little_less_comes_back() -> None:
    healthy = ventilated()
    assert 1.6 < settled(healthy, "in_agent") < 2.0
    assert settled(healthy, "in_agent") - settled(healthy, "et_agent") == pytest.approx(0.17, abs=0.06)
    assert 3.5 < settled(healthy, "fio2") - settled(healthy, "et_o2") < 6.5
    assert settled(healthy, "in_co2") < 1


def test_the_less_fresh_gas_the_less_oxygen_is_left_of_it() -> None:
    assert settled(ventilated(fresh_gas=1.0), "fio2") < settled(ventilated(fresh_gas=3.0), "fio2") - 5


def test_an_exhausted_absorber_shows_the_more_the_less_fresh_gas_flows() -> None:
    ones = np.ones(10)
    gas = [FreshGas(o2=flow * ones, air=0 * ones, n2o=0 * ones, flush=0 * ones) for flow in (1.0, 3.0)]
    low, high = (rebreathed(38.0 * ones, fresh, 0.5 * ones)[0] for fresh in gas)
    assert low > 1.5 * high > 0
    exhausted = FaultPlan("co2_absorber_exhaustion", 300, 0.6, ramp_s=300)
    assert settled(ventilated(exhausted), "in_co2") > settled(ventilated(), "in_co2") + 3
    assert settled(ventilated(exhausted), "et_co2") > settled(ventilated(), "et_co2") + 2.5


def test_an_alarm_of_inspired_carbon_dioxide_is_answered_with_more_fresh_gas() -> None:
    exhausted = FaultPlan("co2_absorber_exhaustion", 300, 1.0, ramp_s=300)
    run = ventilated(exhausted, duration_s=3600)
    alarm = _alarm_s(run.truth.faults[0])
    flow = held(run, "fresh_gas_flow")
    assert flow[alarm] < flow[alarm + 710]
    assert part(run, "in_co2", alarm + 900, 3600).mean() < part(run, "in_co2", alarm, alarm + 380).max()


def _alarm_s(truth: FaultTruth) -> int:
    assert truth.device_alarm_ms is not None
    return (truth.device_alarm_ms - START_MS) // 1000


def test_a_vaporiser_gives_more_or_less_than_its_dial_says_and_at_the_end_nothing() -> None:
    healthy = ventilated()
    for sign, ratio in ((1, 1 + 0.5 * 0.6), (-1, 1 - 0.5 * 0.6 - 0.45 * 0.6**6)):
        drifted = ventilated(FaultPlan("vaporiser_output_fault", 300, 0.6, ramp_s=300, sign=sign))
        for channel in ("in_agent", "et_agent"):
            assert settled(drifted, channel) / settled(healthy, channel) == pytest.approx(ratio, abs=0.03)
        assert settled(drifted, "vaporiser_dial") == settled(healthy, "vaporiser_dial")
    empty = ventilated(FaultPlan("vaporiser_output_fault", 300, 1.0, ramp_s=300, sign=-1))
    assert settled(empty, "in_agent") < 0.15 * settled(healthy, "in_agent")


def test_a_leak_takes_from_the_expired_volume_and_at_low_flow_the_bellows_does_not_fill() -> None:
    leak = FaultPlan("breathing_system_leak", 300, 1.0, ramp_s=300)
    lost = {}
    for flow in (1.0, 3.0):
        healthy, leaking = ventilated(fresh_gas=flow), ventilated(leak, fresh_gas=flow)
        lost[flow] = part(healthy, "vt_exp", 620, 640).mean() - part(leaking, "vt_exp", 620, 640).mean()
        assert settled(leaking, "system_leak") > settled(healthy, "system_leak") + 2000
        assert settled(leaking, "et_co2") > settled(healthy, "et_co2") + 1
    assert lost[1.0] > lost[3.0] + 5
    assert held(ventilated(leak, fresh_gas=1.0), "fresh_gas_flow")[2000] > 1.5
    assert ventilated(leak, fresh_gas=3.0).truth.faults[0].device_alarm_ms is None


def test_an_occluded_sample_line_damps_all_gases_and_loses_breaths_while_ventilation_goes_on() -> None:
    healthy, blocked = ventilated(), ventilated(FaultPlan("sample_line_occlusion", 300, 0.8, ramp_s=300))
    for low, high in (("in_co2", "et_co2"), ("et_o2", "fio2"), ("et_agent", "in_agent")):
        gaps = [settled(run, high) - settled(run, low) for run in (healthy, blocked)]
        assert 0 < gaps[1] < 0.7 * gaps[0], low
    assert settled(blocked, "sample_flow") < 0.5 * settled(healthy, "sample_flow")
    assert (part(blocked, "rr_co2", 1500, 2400) == 0).mean() > 0.3
    assert settled(blocked, "vt_exp") == pytest.approx(settled(healthy, "vt_exp"), abs=1e-6)


def test_a_drifting_oxygen_sensor_changes_level_and_gap_alike() -> None:
    healthy = ventilated()
    drifted = ventilated(FaultPlan("o2_sensor_drift", 300, 0.5, ramp_s=300, sign=1))
    for channel in ("fio2", "et_o2"):
        assert settled(drifted, channel) / settled(healthy, channel) == pytest.approx(1.16, abs=0.01)
    gaps = [settled(run, "fio2") - settled(run, "et_o2") for run in (healthy, drifted)]
    assert gaps[1] > 1.1 * gaps[0]


def test_weak_drive_gas_moves_less_air_and_its_sag_follows_the_demand_of_the_house() -> None:
    healthy = ventilated(duration_s=3600)
    sagging = ventilated(FaultPlan("drive_gas_sag", 300, 0.9, ramp_s=300), duration_s=3600)
    assert settled(sagging, "drive_gas_pressure") < 0.65 * settled(healthy, "drive_gas_pressure")
    assert settled(sagging, "vt_exp") < 0.95 * settled(healthy, "vt_exp")
    swing = [part(run, "drive_gas_pressure", 900, 3600).std() for run in (healthy, sagging)]
    assert swing[1] > 3 * swing[0]


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("vaporiser_output_fault", {"in_agent", "et_agent"}),
        ("o2_sensor_drift", {"fio2", "et_o2"}),
        ("co2_absorber_exhaustion", {"in_co2", "et_co2"}),
    ],
)
def test_a_fault_of_one_part_leaves_the_others_alone(fault: str, moved: set[str]) -> None:
    truth = one_fault(MACHINE, fault, severity=0.5).truth.faults[0]
    assert {name for name, effect in truth.effects.items() if effect > 1e-6} == moved


def test_gases_are_silent_in_standby_and_while_the_analyser_zeroes_itself() -> None:
    device = simulate(
        MACHINE,
        "A",
        3,
        START_MS,
        1800,
        Plan((), (LookalikePlan("analyser_zeroing", 300, 40),), (ModeChange(900, "STANDBY"),)),
    )
    for silent in (slice(300, 340), slice(905, 1800)):
        assert np.isnan(column(device, "et_co2")[silent]).all()
        assert np.isfinite(column(device, "drive_gas_pressure")[silent]).any()
    assert set(held(device, "analyser_state")[305:335]) == {1.0}


@pytest.mark.parametrize(
    ("event", "modes"),
    [
        ("induction", ["AUTOMATIC", "MANUAL", "AUTOMATIC"]),
        ("emergence", ["AUTOMATIC", "MANUAL", "AUTOMATIC"]),
        ("circuit_disconnect", ["AUTOMATIC", "STANDBY", "AUTOMATIC"]),
        ("bag_mode", ["AUTOMATIC", "MANUAL", "AUTOMATIC"]),
        ("daily_self_test", ["AUTOMATIC", "STANDBY", "SELF_TEST", "STANDBY", "AUTOMATIC"]),
    ],
)
def test_phases_of_a_case_are_announced_by_the_mode(event: str, modes: list[str]) -> None:
    assert [mode for _, mode in one_event(MACHINE, event).truth.modes] == modes


def test_a_change_of_agent_is_announced_and_the_new_one_washes_in() -> None:
    changed = one_event(MACHINE, "agent_change", duration_s=1500)
    agent = held(changed, "agent")
    assert agent[590] != agent[1500] == 3 - agent[590]
    assert part(changed, "in_agent", 600, 620).mean() < 0.3 * part(changed, "in_agent", 1500, 2000).mean()


def test_a_flush_thins_the_agent_and_lifts_the_oxygen_for_some_minutes() -> None:
    plain, flushed = (
        simulate(MACHINE, "A", 3, START_MS, 2400, Plan((), events, settings=CHOSEN))
        for events in ((), (LookalikePlan("o2_flush", 600, 12),))
    )
    apart = {
        n: part(flushed, n, 600, 700).mean() - part(plain, n, 600, 700).mean() for n in ("fio2", "in_agent")
    }
    assert apart["fio2"] > 6
    assert apart["in_agent"] < -0.1
    assert part(flushed, "fio2", 2000, 2400).mean() == pytest.approx(
        part(plain, "fio2", 2000, 2400).mean(), abs=0.5
    )
