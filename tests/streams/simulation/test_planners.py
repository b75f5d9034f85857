"""Random plans: normal days, single faults, the demo's fleet."""

import numpy as np
import pytest

from streams.simulation import (
    DEVICE_TYPES,
    fault_plan,
    fault_specs,
    fleet_plan,
    lookalike_specs,
    random_plan,
    simulate,
)
from streams.simulation.device import machine_of
from streams.simulation.planners import DEMO_TYPES
from tests.streams.simulation.worlds import START_MS

HOUR = 3600.0


def test_a_fleet_is_the_same_for_the_same_seed_and_different_for_another() -> None:
    assert fleet_plan(1, HOUR) == fleet_plan(1, HOUR)
    assert fleet_plan(1, HOUR) != fleet_plan(2, HOUR)


@pytest.mark.parametrize("seed", range(12))
def test_a_fleet_leaves_every_fault_history_before_and_time_after(seed: int) -> None:
    fleet = fleet_plan(seed, HOUR)
    assert len({device.serial for device in fleet}) == len(fleet) == 18
    faulty = [device for device in fleet if device.plan.faults]
    assert len(faulty) in (9, 10)
    for device in faulty:
        (fault,) = device.plan.faults
        assert 600 <= fault.onset_s <= HOUR - 1080
        assert fault.ramp_s is not None
        assert fault.onset_s + fault.ramp_s <= HOUR - 400
        assert 0.6 <= fault.severity <= 1.0
        assert all(e.start_s + e.duration_s <= fault.onset_s - 120 for e in device.plan.lookalikes)
    assert min(device.plan.faults[0].onset_s for device in faulty) < 1300
    assert sum(len(device.plan.lookalikes) for device in fleet) >= 12
    for device in fleet:
        for first, second in zip(device.plan.lookalikes, device.plan.lookalikes[1:], strict=False):
            assert first.start_s + first.duration_s < second.start_s


def test_faults_of_a_fleet_differ_but_for_the_one_that_devices_share() -> None:
    shared = 0
    for seed in range(30):
        names = [f.name for d in fleet_plan(seed, HOUR) for f in d.plan.faults]
        twice = {name for name in names if names.count(name) > 1}
        assert twice <= {"ro_inlet_fault"}
        if twice:
            shared += 1
            both = [
                d.plan.faults[0] for d in fleet_plan(seed, HOUR) if "ro_inlet_fault" in str(d.plan.faults)
            ]
            assert both[0] == both[1]
    assert shared > 0


def test_over_some_seeds_every_fault_meant_for_a_demo_and_every_lookalike_has_its_turn() -> None:
    fleets = [device for seed in range(40) for device in fleet_plan(seed, HOUR)]
    for kind in DEMO_TYPES:
        group = [device.plan for device in fleets if device.device_type == kind]
        meant = {name for name, spec in fault_specs(kind).items() if spec.demo}
        assert {f.name for plan in group for f in plan.faults} == meant
        assert {e.name for plan in group for e in plan.lookalikes} == set(lookalike_specs(kind))


def test_a_fleet_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        fleet_plan(1, 900.0)
    with pytest.raises(ValueError, match="do not fit"):
        fleet_plan(1, HOUR, devices_per_type=2)
    assert all(not device.plan.faults for device in fleet_plan(1, 900.0, faults_per_type=0))


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_a_random_day_has_no_fault_and_about_the_usual_number_of_lookalikes(kind: str) -> None:
    days = max(1.0, machine_of(kind).step_s / 60.0)  # of a device that lives in hours, some weeks
    plans = [random_plan(kind, np.random.default_rng(seed), days * 24 * HOUR) for seed in range(20)]
    usual = days * sum(spec.per_day for spec in lookalike_specs(kind).values())
    mean = np.mean([len(plan.lookalikes) for plan in plans])
    assert 0.5 * usual < mean < 1.1 * usual
    assert all(plan.faults == () for plan in plans)
    assert any(plan.modes for plan in plans)
    plan = next(plan for plan in plans if plan.modes)
    until = plan.modes[0].at_s + 600.0 * days
    simulation = simulate(kind, "A", 1, START_MS, until, plan)
    assert simulation.label.sum() == 0
    assert len({mode for _, mode in simulation.truth.modes}) > 1


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_rare_lookalikes_can_be_made_frequent_for_training(kind: str) -> None:
    duration_s = 2 * HOUR * min(machine_of(kind).step_s, 60)
    plans = [
        random_plan(kind, np.random.default_rng(seed), duration_s, least_per_day=24.0, mode_rate=0.0)
        for seed in range(30)
    ]
    assert {e.name for plan in plans for e in plan.lookalikes} == set(lookalike_specs(kind))


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_a_benchmark_plan_holds_the_asked_fault_after_some_quiet_time(kind: str) -> None:
    for name in fault_specs(kind):
        plan = fault_plan(kind, name, np.random.default_rng(3), HOUR, rate=20.0)
        (fault,) = plan.faults
        assert fault.name == name
        assert 0.25 * HOUR <= fault.onset_s <= 0.5 * HOUR
        assert all(e.start_s + e.duration_s < fault.onset_s for e in plan.lookalikes)
    with pytest.raises(ValueError, match="rust is no fault"):
        fault_plan(kind, "rust", np.random.default_rng(3), HOUR)
