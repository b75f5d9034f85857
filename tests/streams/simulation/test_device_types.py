"""Laws that every simulated device type keeps."""

import numpy as np
import pytest

from streams.devices import load_profiles
from streams.simulation import (
    DEVICE_TYPES,
    FaultPlan,
    LookalikePlan,
    ModeChange,
    Onset,
    Plan,
    fault_specs,
    lookalike_specs,
    observe,
    simulate,
)
from streams.simulation.device import machine_of
from streams.simulation.noise import Noise
from streams.simulation.spread import measure_spread
from tests.streams.simulation.worlds import START_MS, one_event, one_fault, part

FAULTS = [(kind, fault) for kind in DEVICE_TYPES for fault in fault_specs(kind)]
EVENTS = [(kind, event) for kind in DEVICE_TYPES for event in lookalike_specs(kind)]


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_same_arguments_give_the_same_bytes_whatever_was_simulated_before(kind: str) -> None:
    fault, step_s = next(iter(fault_specs(kind))), machine_of(kind).step_s
    event = LookalikePlan("wifi_replay", 100 * step_s, 60 * step_s)
    plan = Plan((FaultPlan(fault, 300 * step_s, 0.9, ramp_s=120 * step_s),), (event,))
    first = simulate(kind, "A", 11, START_MS, 900 * step_s, plan)
    simulate(kind, "B", 3, START_MS, 300 * step_s)
    again = simulate(kind, "A", 11, START_MS, 900 * step_s, plan)
    assert first.values.tobytes() == again.values.tobytes()
    assert first.truth == again.truth


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_seed_and_serial_number_both_matter(kind: str) -> None:
    duration_s = 300 * machine_of(kind).step_s
    values = [
        simulate(kind, serial, seed, START_MS, duration_s).values
        for serial, seed in (("A", 1), ("A", 2), ("B", 1))
    ]
    assert not np.array_equal(values[0], values[1], equal_nan=True)
    assert not np.array_equal(values[0], values[2], equal_nan=True)


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_units_can_be_made_to_differ_further_than_usual_without_another_patient_or_noise(kind: str) -> None:
    usual, far = Noise(3, f"{kind}:A"), Noise(3, f"{kind}:A", unit_scale=2.0)
    assert far.unit("x") == 2 * usual.unit("x") != 0
    assert far.patient("x") == usual.patient("x")
    assert far.white("x", 3).tolist() == usual.white("x", 3).tolist()
    duration_s = 900 * machine_of(kind).step_s
    runs = [simulate(kind, "A", 3, START_MS, duration_s, unit_scale=scale) for scale in (1.0, 2.0)]
    plain = simulate(kind, "A", 3, START_MS, duration_s)
    assert [run.values.tobytes() == plain.values.tobytes() for run in runs] == [True, False]


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_machine_and_profile_name_the_same_channels_and_leave_none_out(kind: str) -> None:
    profile, machine = load_profiles()[kind], machine_of(kind)
    watched = {c.name for c in profile.channels if c.role in ("measured", "counter")}
    assert set(machine.resolution) == set(profile.names)
    assert set(machine.spread) == watched
    for spec in machine.faults.values():
        assert set(spec.channels) <= watched
    for event in machine.lookalikes.values():
        assert set(event.resembles) <= set(machine.faults)


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_readings_stay_within_the_plausible_range_even_with_every_fault_and_event(kind: str) -> None:
    profile, step_s = load_profiles()[kind], machine_of(kind).step_s
    for number, fault in enumerate(fault_specs(kind)):
        events = tuple(
            LookalikePlan(name, (200.0 + 500.0 * k) * step_s, 300.0 * step_s, 1.0)
            for k, name in enumerate(lookalike_specs(kind))
        )
        plan = Plan((FaultPlan(fault, 600 * step_s, 1.0, ramp_s=300 * step_s),), events)
        values = simulate(kind, f"R-{number}", number, START_MS, 7200 * step_s, plan).values
        for column, channel in enumerate(profile.channels):
            readings = values[:, column][~np.isnan(values[:, column])]
            assert readings.min() >= channel.low, channel.name
            assert readings.max() <= channel.high, channel.name


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_channels_come_at_their_own_rate_on_the_resolution_of_the_device(kind: str) -> None:
    machine = machine_of(kind)
    duration_ms = 1_800_000 * machine.step_s
    simulation = simulate(kind, "A", 4, START_MS, duration_ms / 1000)
    for column, channel in enumerate(simulation.profile.channels):
        values = simulation.values[:, column]
        readings = values[~np.isnan(values)].astype(np.float64)
        assert len(readings) * channel.period_ms == pytest.approx(
            duration_ms, rel=0.35, abs=channel.period_ms
        )
        steps = readings / machine.resolution[channel.name]
        assert np.abs(steps - np.round(steps)).max() < 1e-2 + 1e-6 * np.abs(steps).max(), channel.name


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_every_fault_clearly_moves_its_channels_and_is_in_the_truth(kind: str, fault: str) -> None:
    simulation, step_ms = one_fault(kind, fault), 1000 * machine_of(kind).step_s
    (truth,) = simulation.truth.faults
    assert (truth.name, truth.onset_ms) == (fault, START_MS + 600 * step_ms)
    assert truth.effects[truth.channels[0]] > 3.0
    assert truth.channels[0] in fault_specs(kind)[fault].channels
    assert list(truth.channels) == sorted(truth.channels, key=lambda name: -truth.effects[name])
    assert simulation.label.sum() == (truth.end_ms - truth.onset_ms) / step_ms
    assert simulation.label[:600].sum() == 0


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_nothing_of_a_fault_is_seen_before_its_onset(kind: str, fault: str) -> None:
    healthy = simulate(kind, "U-1", 5, START_MS, 3000 * machine_of(kind).step_s)
    assert np.array_equal(one_fault(kind, fault).values[:600], healthy.values[:600], equal_nan=True)


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_the_comparison_without_the_fault_has_the_same_normal_events(kind: str) -> None:
    step_s = machine_of(kind).step_s
    for fault in fault_specs(kind):
        for k, event in enumerate(lookalike_specs(kind)):
            events = (LookalikePlan(event, 120.0 * step_s, 200.0 * step_s, 0.3 + 0.05 * k),)
            plan = Plan((FaultPlan(fault, 600.0 * step_s, 0.0, ramp_s=60.0 * step_s),), events)
            effects = simulate(kind, "U-1", 5, START_MS, 900 * step_s, plan).truth.faults[0].effects
            assert set(effects.values()) == {0.0}, (fault, event)


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_a_fault_is_stronger_at_higher_severity_and_absent_at_none(kind: str, fault: str) -> None:
    first = fault_specs(kind)[fault].channels[0]
    sizes = [one_fault(kind, fault, severity=s).truth.faults[0].effects[first] for s in (0.0, 0.3, 0.6)]
    assert sizes[0] == 0.0
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_an_intermittent_fault_comes_and_goes(kind: str) -> None:
    fault, step_s = next(iter(fault_specs(kind))), machine_of(kind).step_s
    plan = Plan((FaultPlan(fault, 300 * step_s, 0.9, ramp_s=1, onset=Onset.INTERMITTENT, sign=1),))
    faulty, healthy = (simulate(kind, "A", 2, START_MS, 1500 * step_s, p) for p in (plan, Plan()))
    channel = faulty.truth.faults[0].channels[0]
    apart = np.abs(part(faulty, channel, 300, 900)[:40] - part(healthy, channel, 300, 900)[:40])
    assert apart.max() > 0
    ending = Plan((FaultPlan(fault, 300 * step_s, 0.9, ramp_s=1, end_s=600 * step_s),))
    simulation = simulate(kind, "A", 2, START_MS, 1500 * step_s, ending)
    assert simulation.truth.faults[0].end_ms <= START_MS + 600_000 * step_s


@pytest.mark.parametrize(("kind", "event"), EVENTS)
def test_no_lookalike_is_a_fault_and_none_makes_the_device_itself_raise_an_alarm(
    kind: str, event: str
) -> None:
    step_s, longest_s = machine_of(kind).step_s, lookalike_specs(kind)[event].duration_s[1]
    simulation = one_event(kind, event, duration_s=min(600.0 * step_s, longest_s))
    assert simulation.truth.faults == ()
    assert simulation.label.sum() == 0
    assert [e.name for e in simulation.truth.lookalikes] == [event]
    assert simulation.truth.lookalikes[0].start_ms == START_MS + 600_000 * step_s
    assert "ALARM" not in [mode for _, mode in simulation.truth.modes]


@pytest.mark.parametrize(("kind", "event"), EVENTS)
def test_every_lookalike_can_be_seen_in_the_stream(kind: str, event: str) -> None:
    step_s = machine_of(kind).step_s
    plain = observe(simulate(kind, "U-1", 5, START_MS, 2400 * step_s), 1)
    changed = observe(one_event(kind, event, duration_s=600.0 * step_s), 1)
    same_values = np.array_equal(plain.values, changed.values, equal_nan=True)
    same_times = np.array_equal(plain.arrive_ms, changed.arrive_ms)
    assert not (same_values and same_times)


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_mode_channel_and_truth_follow_the_operator(kind: str) -> None:
    machine = machine_of(kind)
    step_s, (mode, _, _) = machine.step_s, machine.pauses[0][0]
    working = machine.modes(machine.treatment).name
    changes = (ModeChange(300 * step_s, mode), ModeChange(600 * step_s, working))
    simulation = simulate(kind, "A", 1, START_MS, 900 * step_s, Plan(modes=changes))
    assert simulation.truth.modes == (
        (START_MS, working),
        (START_MS + 300_000 * step_s, mode),
        (START_MS + 600_000 * step_s, working),
    )
    channel = simulation.profile.names[0]
    assert set(part(simulation, channel, 300, 600)) == {float(machine.modes[mode])}


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_the_committed_spread_is_what_healthy_devices_show(kind: str) -> None:
    machine = machine_of(kind)
    measured = measure_spread(kind, units=25, duration_s=900 * machine.step_s, seed=1000)
    for name, spread in machine.spread.items():
        floor = machine.resolution[name]
        assert spread == pytest.approx(max(measured[name], floor), rel=0.5), name


def test_what_is_not_known_is_refused_with_the_known_names() -> None:
    with pytest.raises(ValueError, match="toaster is not simulated; there are infusion-pump"):
        simulate("toaster", "A", 1, START_MS, 60)
    with pytest.raises(ValueError, match="rust is no fault of this device; it has downstream_occlusion"):
        simulate("infusion-pump", "A", 1, START_MS, 60, Plan((FaultPlan("rust", 1, 0.5),)))
    with pytest.raises(ValueError, match="knows no event rain"):
        simulate("infusion-pump", "A", 1, START_MS, 60, Plan(lookalikes=(LookalikePlan("rain", 1, 10),)))
    with pytest.raises(ValueError, match="FLYING is no mode"):
        simulate("infusion-pump", "A", 1, START_MS, 60, Plan(modes=(ModeChange(1, "FLYING"),)))
    with pytest.raises(ValueError, match="less than one step of 1 s"):
        simulate("infusion-pump", "A", 1, START_MS, 0)
    with pytest.raises(ValueError, match=r"severity 1\.5"):
        FaultPlan("motor_wear", 1, 1.5)
