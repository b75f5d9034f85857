"""Machines that are simulated in steps longer than a second: plans stay in seconds, arrays have a value a step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.devices import Channel, DeviceProfile
from streams.simulation import (
    FaultPlan,
    FaultSpec,
    LookalikePlan,
    LookalikeSpec,
    ModeChange,
    Onset,
    Plan,
    Simulation,
    device,
    fault_plan,
    observe,
    random_plan,
    simulate,
)
from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, bursts, lag, pulse
from tests.streams.simulation.worlds import START_MS, column, part

STEP_S = 60
STEP_MS = 1000 * STEP_S
HOUR = 3600.0


class CellarMode(IntEnum):
    OFF = 0
    OPEN = 1
    COOLING = 2


@dataclass(slots=True)
class CellarWorld:
    n: int
    noise: Noise
    mode: NDArray[np.int16]
    warmth: Array
    cleared: dict[str, int] = field(default_factory=dict)


FAULTS = {"thaw": FaultSpec("thaw", "Thaw", ("temp",), Onset.RAMP, 7200.0, None, (1800.0, 3600.0))}
LOOKALIKES = {"delivery": LookalikeSpec("delivery", "Delivery", ("thaw",), (600.0, 1800.0), 4.0)}


class Cellar(Machine[CellarWorld]):
    """A cold store that alarms above 8 °C, until somebody closes the door."""

    device_type = "cellar"
    step_s = STEP_S
    modes = CellarMode
    treatment = CellarMode.COOLING
    pauses = ((("OPEN", 600.0, 1800.0),),)
    pauses_per_day = 2.0
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {"mode": 1, "temp": 0.01, "slow": 0.01}
    spread: ClassVar[Mapping[str, float]] = {"temp": 0.5, "slow": 0.5}

    def begin(self, run: Run) -> CellarWorld:
        return CellarWorld(run.n, run.noise, mode_timeline(run, CellarMode, self.treatment), np.zeros(run.n))

    def happen(self, world: CellarWorld, event: Event) -> None:
        world.warmth += pulse(world.n, event.start, event.stop, 300.0, step_s=STEP_S)

    def inject(self, world: CellarWorld, fault: Injected) -> None:
        world.warmth += 10.0 * fault.strength

    def solve(self, world: CellarWorld) -> dict[str, Array]:
        temp = 4.0 + lag(world.warmth, 600.0, step_s=STEP_S)
        return {"mode": world.mode.astype(np.float64), "temp": temp, "slow": temp}

    def alarms(self, world: CellarWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        del world
        return {"warm": channels["temp"] > 8.0}


PROFILE = DeviceProfile(
    type="cellar",
    title="Cellar",
    grid_ms=STEP_MS,
    window_rows=16,
    stride_rows=1,
    min_rows=8,
    lateness_ms=120_000,
    silent_after_ms=600_000,
    channels=(
        Channel(name="mode", title="Mode", unit="1", period_ms=STEP_MS, role="state", low=0, high=2),
        Channel(name="temp", title="Temperature", unit="Cel", period_ms=STEP_MS, low=-50, high=50),
        Channel(name="slow", title="The same, seldom", unit="Cel", period_ms=10 * STEP_MS, low=-50, high=50),
    ),
)


@pytest.fixture(autouse=True)
def cellar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "MACHINES", {"cellar": Cellar()})


def stored(duration_s: float = 10 * HOUR, plan: Plan | None = None) -> Simulation:
    return simulate("cellar", "A", 3, START_MS, duration_s, plan, profile=PROFILE)


def test_a_sample_a_step_and_readings_at_the_period_of_each_channel() -> None:
    run = stored()
    assert len(run) == 600
    assert set(np.diff(run.t)) == {STEP_MS}
    assert np.isfinite(column(run, "temp")).all()
    assert set(np.diff(np.flatnonzero(np.isfinite(column(run, "slow"))))) == {10}


def test_modes_events_and_faults_begin_at_the_step_of_their_second() -> None:
    plan = Plan(
        (FaultPlan("thaw", 6 * HOUR, 0.5, ramp_s=HOUR, end_s=8 * HOUR),),
        (LookalikePlan("delivery", 2 * HOUR, HOUR),),
        (ModeChange(4 * HOUR, "OPEN"), ModeChange(5 * HOUR, "COOLING")),
    )
    run, hour_ms = stored(plan=plan), 3_600_000
    (fault,), (event,) = run.truth.faults, run.truth.lookalikes
    assert (event.start_ms, event.end_ms) == (START_MS + 2 * hour_ms, START_MS + 3 * hour_ms)
    assert (fault.onset_ms, fault.end_ms) == (START_MS + 6 * hour_ms, START_MS + 8 * hour_ms)
    assert [t - START_MS for t, _ in run.truth.modes] == [0, 4 * hour_ms, 5 * hour_ms]
    assert set(np.flatnonzero(run.label)) == set(range(360, 480))


def test_ramps_and_lags_last_as_long_as_their_seconds_say() -> None:
    temp = column(stored(plan=Plan((FaultPlan("thaw", HOUR, 0.4, ramp_s=HOUR),))), "temp")
    assert temp[59] == 4.0
    assert temp[119] == pytest.approx(8.0 - 4.0 * 600 / HOUR, abs=0.1)  # a lag of ten minutes behind the ramp
    assert temp[-1] == pytest.approx(8.0, abs=0.01)
    assert lag(np.r_[0.0, np.ones(10)], 600.0, step_s=60)[10] == pytest.approx(1 - np.exp(-1.0))
    assert pulse(40, 10, 30, 300.0, step_s=60)[9:16].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1])


def test_the_devices_alarm_is_told_in_time_and_not_repeated_at_every_step() -> None:
    run = stored(plan=Plan((FaultPlan("thaw", HOUR, 1.0, ramp_s=60.0),)))
    alarm_ms = run.truth.faults[0].device_alarm_ms
    assert alarm_ms is not None
    assert 0 < alarm_ms - START_MS - 3_600_000 < 900_000
    assert alarm_ms % STEP_MS == START_MS % STEP_MS
    injected = Injected("thaw", np.ones(600), 1)
    alarms = Cellar().play(Run(600, Noise(3, "A", step_s=STEP_S), Plan(), (), (injected,), STEP_S)).alarms
    assert [b - a for (a, _), (b, _) in pairwise(alarms)] == [10] * 11


def test_effects_are_measured_in_cells_of_the_grid_whatever_the_step() -> None:
    coarse = PROFILE.model_copy(update={"grid_ms": 5 * STEP_MS})
    plan = Plan((FaultPlan("thaw", HOUR, 0.4, ramp_s=60.0),))
    fine, rough = (
        simulate("cellar", "A", 3, START_MS, 10 * HOUR, plan, profile=p).truth.faults[0].effects
        for p in (PROFILE, coarse)
    )
    assert fine["temp"] == pytest.approx(4.0 / 0.5, rel=0.01)
    assert rough["temp"] == pytest.approx(fine["temp"], rel=0.01)


def test_noise_keeps_its_correlation_time_in_seconds() -> None:
    walk = Noise(1, "A", step_s=STEP_S).wander("w", 200_000, 2.0, 600.0)
    assert walk.std() == pytest.approx(2.0, rel=0.05)
    assert np.corrcoef(walk[10:], walk[:-10])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.05)
    hits = bursts(np.random.default_rng(1), 100_000, 600.0, 1.0, step_s=STEP_S)
    assert (hits > 1e-3).mean() == pytest.approx(0.1, rel=0.1)


def test_plans_leave_some_steps_between_events() -> None:
    for seed in range(20):
        plan = random_plan("cellar", np.random.default_rng(seed), 24 * HOUR, rate=10.0)
        for first, second in pairwise(plan.lookalikes):
            assert second.start_s - first.start_s - first.duration_s >= 5 * STEP_S
    pauses = [random_plan("cellar", np.random.default_rng(s), 240 * HOUR).modes for s in range(20)]
    assert np.mean([len(modes) / 2 for modes in pauses]) == pytest.approx(20, rel=0.15)
    plan = fault_plan("cellar", "thaw", np.random.default_rng(1), 10 * HOUR, rate=20.0)
    assert all(e.start_s + e.duration_s + 5 * STEP_S < plan.faults[0].onset_s for e in plan.lookalikes)


def test_samples_of_a_slow_device_arrive_as_they_were_taken() -> None:
    run = stored()
    seen = observe(run, 1)
    assert (seen.arrive_ms >= run.t[seen.seq]).all()
    assert np.median(np.diff(np.sort(seen.t_ms))) == pytest.approx(STEP_MS, rel=0.01)


def test_less_than_a_step_is_no_run() -> None:
    with pytest.raises(ValueError, match=r"duration_s 59\.0 is less than one step of 60 s"):
        stored(59.0)


def test_a_fault_that_comes_and_goes_does_so_in_steps() -> None:
    plan = Plan((FaultPlan("thaw", 0.0, 0.4, ramp_s=60.0, onset=Onset.INTERMITTENT),))
    temp = part(stored(40 * HOUR, plan), "temp", 0, 2400)
    there = np.flatnonzero(np.diff((temp > 6.0).astype(int)))
    assert np.diff(there).min() >= 20
    assert 10 < len(there) < 120
    steady = replace(plan.faults[0], onset=Onset.RAMP)
    assert (part(stored(40 * HOUR, Plan((steady,))), "temp", 100, 2400) > 6.0).all()
