"""One simulated device: `simulate` plays its plan, samples it as the device reports, and keeps the truth."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.devices import DeviceProfile, load_profiles
from streams.simulation.anaesthesia import AnaesthesiaMachine
from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset
from streams.simulation.ct import CtScanner
from streams.simulation.defibrillator import Defibrillator
from streams.simulation.dialysis import Haemodialysis
from streams.simulation.incubator import InfantIncubator
from streams.simulation.machine import Event, Injected, Machine, Play, Run
from streams.simulation.mri import MriScanner
from streams.simulation.noise import Array, Noise
from streams.simulation.patient_monitor import PatientMonitor
from streams.simulation.plan import FaultPlan, LookalikePlan, Plan
from streams.simulation.pump import InfusionPump
from streams.simulation.steriliser import SteamSteriliser
from streams.simulation.truth import FaultTruth, LookalikeTruth, Truth, effects, mode_changes, ranked
from streams.simulation.ventilator import IcuVentilator

SECOND_MS = 1000
STEP_ONSET_S = 20.0
"""A fault that comes at once is there in full after no longer than this."""
MACHINES: Mapping[str, Machine[Any]] = {
    machine.device_type: machine
    for machine in (
        InfusionPump(),
        IcuVentilator(),
        AnaesthesiaMachine(),
        Haemodialysis(),
        PatientMonitor(),
        MriScanner(),
        CtScanner(),
        SteamSteriliser(),
        InfantIncubator(),
        Defibrillator(),
    )
}
DEVICE_TYPES = tuple(MACHINES)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one device reported. N samples, one a step of its machine, C channels of the profile."""

    profile: DeviceProfile
    device: str
    t: NDArray[np.int64]
    """(N,) true time of each sample, ms since the epoch."""
    values: NDArray[np.float32]
    """(N, C); NaN where the device did not report the channel then."""
    seq: NDArray[np.int64]
    mode: NDArray[np.int16]
    """(N,) values of the type's mode enumeration."""
    label: NDArray[np.int8]
    """(N,) 1 while a fault is present."""
    truth: Truth

    def __len__(self) -> int:
        return len(self.t)

    def fault_names(self) -> list[str]:
        """(N,) name of the fault present, empty where none is: a column for a recording."""
        names = np.full(len(self.t), "", dtype=object)
        for fault in self.truth.faults:
            names[(self.t >= fault.onset_ms) & (self.t < fault.end_ms)] = fault.name
        return list(names)


def fault_specs(device_type: str) -> Mapping[str, FaultSpec]:
    """Every fault of a simulated device type, by name."""
    return machine_of(device_type).faults


def lookalike_specs(device_type: str) -> Mapping[str, LookalikeSpec]:
    """Every look-alike of a simulated device type, by name."""
    return machine_of(device_type).lookalikes


def machine_of(device_type: str) -> Machine[Any]:
    """The physics of a device type.

    Raises:
        ValueError: a type that is not simulated.
    """
    if device_type not in MACHINES:
        raise ValueError(f"{device_type} is not simulated; there are {', '.join(MACHINES)}")
    return MACHINES[device_type]


def simulate(
    device_type: str,
    serial: str,
    seed: int,
    start_ms: int,
    duration_s: float,
    plan: Plan | None = None,
    *,
    profile: DeviceProfile | None = None,
    unit_scale: float = 1.0,
) -> Simulation:
    """Simulate one device, a sample a step of its machine (a second, for most).

    The same arguments give the same bytes, whatever was simulated before. Unit-to-unit bias follows the
    serial number alone, `unit_scale` times as much as usual; patient and noise follow also the seed.

    Raises:
        ValueError: an unknown device type, fault, look-alike or mode, or no time at all.
    """
    machine, plan = machine_of(device_type), plan or Plan()
    profile = profile or load_profiles()[device_type]
    n, step_ms = int(duration_s // machine.step_s), SECOND_MS * machine.step_s
    if n < 1:
        raise ValueError(f"duration_s {duration_s} is less than one step of {machine.step_s} s")
    noise = Noise(seed, f"{device_type}:{serial}", step_s=machine.step_s, unit_scale=unit_scale)
    run = _run(machine, plan, noise, n)
    play = machine.play(run)
    t = start_ms + step_ms * np.arange(n, dtype=np.int64)
    faults = tuple(_fault_truth(machine, profile, run, play, k, start_ms) for k in range(len(plan.faults)))
    label = np.zeros(n, np.int8)
    for fault in faults:
        label[(t >= fault.onset_ms) & (t < fault.end_ms)] = 1
    return Simulation(
        profile=profile,
        device=serial,
        t=t,
        values=_sample(machine, profile, play, f"{device_type}:{serial}"),
        seq=np.arange(n, dtype=np.int64),
        mode=play.mode,
        label=label,
        truth=Truth(
            modes=mode_changes(
                play.mode, {mode.value: mode.name for mode in machine.modes}, start_ms, step_ms
            ),
            faults=faults,
            lookalikes=tuple(
                LookalikeTruth(e.name, start_ms + step_ms * e.start, start_ms + step_ms * e.stop)
                for e in run.events
            ),
        ),
    )


def _run(machine: Machine[Any], plan: Plan, noise: Noise, n: int) -> Run:
    known = sorted(plan.lookalikes, key=lambda event: event.start_s)
    events = (_event(event, noise, n, machine.step_s) for event in known)
    faults = tuple(
        Injected(fault.name, strength(fault, machine.faults, noise, n, machine.step_s), _sign(fault, noise))
        for fault in plan.faults
    )
    happening = tuple(event for event in events if event.start < event.stop)
    return Run(n, noise, plan, happening, faults, machine.step_s)


def _event(event: LookalikePlan, noise: Noise, n: int, step_s: int) -> Event:
    start = min(n, max(0, round(event.start_s / step_s)))
    stop = min(n, max(start, round((event.start_s + event.duration_s) / step_s)))
    return Event(event.name, start, stop, event.magnitude, noise)


def _sign(fault: FaultPlan, noise: Noise) -> int:
    return fault.sign or int(noise.rng(f"sign:{fault.name}").choice([-1, 1]))


def strength(
    fault: FaultPlan, specs: Mapping[str, FaultSpec], noise: Noise, n: int, step_s: int = 1
) -> Array:
    """(n,) severity times the course of the onset, 0 before and after the fault; `step_s` seconds a step.

    Raises:
        ValueError: a fault the device type does not have.
    """
    if fault.name not in specs:
        raise ValueError(f"{fault.name} is no fault of this device; it has {', '.join(specs)}")
    spec = specs[fault.name]
    ramp_s = spec.ramp_s if fault.ramp_s is None else fault.ramp_s
    kind = fault.onset or spec.onset
    if kind is Onset.STEP:
        ramp_s = min(ramp_s, STEP_ONSET_S)
    second = step_s * np.arange(n)
    course = np.clip((second - fault.onset_s + step_s) / max(ramp_s, step_s), 0.0, 1.0)
    if kind is Onset.INTERMITTENT:
        course = course * _on_and_off(noise.rng(f"intermittent:{fault.name}"), n)
    if fault.end_s is not None:
        course[second >= fault.end_s] = 0.0
    return np.asarray(fault.severity * course)


def _on_and_off(rng: np.random.Generator, n: int) -> Array:
    """(n,) 1 and 0 in turn, for 30 to 120 steps each."""
    stretches = rng.uniform(30.0, 120.0, 2 + n // 30).round().astype(int)
    present = np.arange(len(stretches)) % 2 == 0
    return np.repeat(present.astype(np.float64), stretches)[:n]


def _fault_truth(
    machine: Machine[Any], profile: DeviceProfile, run: Run, play: Play, k: int, start_ms: int
) -> FaultTruth:
    """Compare the run with the same run without fault `k`."""
    fault = run.plan.faults[k]
    healthy = machine.play(replace(run, faults=run.faults[:k] + run.faults[k + 1 :]))
    onset = min(run.n - 1, max(0, round(fault.onset_s / run.step_s)))
    end = run.n if fault.end_s is None else min(run.n, round(fault.end_s / run.step_s))
    end = min(end, play.cleared.get(fault.name, end))
    own = [step for step, name in play.alarms if onset <= step and (step, name) not in healthy.alarms]
    until = max(onset + 1, min(end, _reaction(profile, play, healthy, onset)))
    found = effects(profile, play.channels, healthy.channels, machine.spread, (onset, until), run.step_s)
    step_ms = SECOND_MS * run.step_s
    return FaultTruth(
        name=fault.name,
        severity=fault.severity,
        onset_ms=start_ms + step_ms * onset,
        end_ms=start_ms + step_ms * max(end, onset + 1),
        device_alarm_ms=start_ms + step_ms * own[0] if own else None,
        channels=ranked(found),
        effects=found,
    )


def _reaction(profile: DeviceProfile, play: Play, healthy: Play, onset: int) -> int:
    """Step at which device or staff react to the fault by a state or setting; what follows is no longer it."""
    explained = [channel.name for channel in profile.channels if channel.role in ("setting", "state")]
    apart = np.any(
        [play.channels[name][onset:] != healthy.channels[name][onset:] for name in explained], axis=0
    )
    return onset + int(np.argmax(apart)) if apart.any() else len(play.mode)


def _sample(machine: Machine[Any], profile: DeviceProfile, play: Play, key: str) -> NDArray[np.float32]:
    """(N, C) what the device reports: at each channel's period, settings and states also when they change."""
    n = len(play.mode)
    values = np.full((n, len(profile.channels)), np.nan, np.float32)
    steps = np.arange(n)
    on = play.mode != 0
    for column, channel in enumerate(profile.channels):
        exact, unit = play.channels[channel.name], machine.resolution[channel.name]
        rounded = np.round(exact / unit) * unit
        period = max(1, channel.period_ms // (SECOND_MS * machine.step_s))
        due = (steps + zlib.crc32(f"{key}:{channel.name}".encode())) % period == 0
        if channel.name in play.ticks:
            due = play.ticks[channel.name]
        if channel.role in ("setting", "state"):
            due = due | (np.diff(rounded, prepend=rounded[0]) != 0)
        due = due & on
        values[due, column] = rounded[due]
    return values
