"""Random plans: normal days for training, single faults for benchmarks, a whole fleet for the demo."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset
from streams.simulation.device import machine_of
from streams.simulation.machine import Machine
from streams.simulation.plan import FaultPlan, LookalikePlan, ModeChange, Plan

DAY_S = 86400.0
QUIET_S, QUIET_STEPS = 120.0, 5
"""Between two planned events of one device, whichever is longer."""
SETTLED_S, SETTLED_STEPS = 900.0, 15
"""After a change of mode nothing is planned for so long, whichever is longer."""
FIRST_ONSET_S, LAST_ONSET_S = 600.0, 1080.0
"""A fleet's faults begin no earlier than this after its start and no later than this before its end."""
EARLIEST_EVENT_S = 300.0
DEMO_TYPES = ("infusion-pump", "icu-ventilator", "haemodialysis")
"""Types whose faults develop within the minutes of a demo."""


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """One device of a fleet."""

    device_type: str
    serial: str
    plan: Plan


def random_plan(
    device_type: str,
    rng: np.random.Generator,
    duration_s: float,
    *,
    rate: float = 1.0,
    mode_rate: float = 1.0,
    least_per_day: float = 0.0,
    faults: tuple[FaultPlan, ...] = (),
) -> Plan:
    """A fault-free time with look-alikes, `rate` times as often as usual, and with the operator's pauses.

    For training, `least_per_day` lifts the rare kinds of look-alike to so many a day.
    `mode_rate` 0 leaves the device in treatment but for the modes that look-alikes bring; `faults` are added.
    """
    machine = machine_of(device_type)
    specs = machine.lookalikes.values()
    wanted: list[LookalikePlan] = []
    for spec in specs:
        per_day = max(spec.per_day * rate, least_per_day)
        count = int(rng.poisson(per_day * duration_s / DAY_S))
        wanted += [_lookalike(spec, rng, 0.0, duration_s) for _ in range(count)]
    modes = _pauses(device_type, rng, duration_s, mode_rate)
    quiet_s, settled_s = _quiet_s(machine), max(SETTLED_S, SETTLED_STEPS * machine.step_s)
    busy = [(change.at_s - quiet_s, change.at_s + settled_s) for change in modes]
    return Plan(faults, _apart(wanted, busy, quiet_s), modes)


def _quiet_s(machine: Machine[Any]) -> float:
    return max(QUIET_S, QUIET_STEPS * machine.step_s)


def fault_plan(
    device_type: str,
    fault: str,
    rng: np.random.Generator,
    duration_s: float,
    *,
    severity: float | None = None,
    onset_s: float | None = None,
    ramp_s: float | None = None,
    onset: Onset | None = None,
    sign: int | None = None,
    rate: float = 0.0,
) -> Plan:
    """One fault, compressed to fit the run, with look-alikes at `rate` before it; for benchmarks.

    What is None is drawn: onset between a quarter and a half of the run, severity and ramp from the
    catalogue's ranges for compressed runs.

    Raises:
        ValueError: a fault the device type does not have.
    """
    machine = machine_of(device_type)
    specs, quiet_s = machine.faults, _quiet_s(machine)
    if fault not in specs:
        raise ValueError(f"{fault} is no fault of {device_type}; it has {', '.join(specs)}")
    begin = float(rng.uniform(0.25, 0.5)) * duration_s if onset_s is None else onset_s
    planned = _compressed(specs[fault], rng, begin, duration_s, severity, ramp_s, onset, sign)
    before = random_plan(device_type, rng, duration_s, rate=rate, mode_rate=0.0)
    early = tuple(e for e in before.lookalikes if e.start_s + e.duration_s + quiet_s < begin)
    return Plan((planned,), early)


def fleet_plan(
    seed: int,
    duration_s: float,
    types: tuple[str, ...] = DEMO_TYPES,
    devices_per_type: int = 6,
    faults_per_type: int = 3,
) -> list[PlannedDevice]:
    """A fleet for the demo, deterministic in its arguments.

    Per type, `faults_per_type` devices get one of the faults meant for a demo each, all different, with onsets
    spread between 10 minutes after the start and 18 minutes before the end; a fault of the room shows on a
    second device of the loop as well. Every device gets look-alikes, a faulty one only before its onset.
    Devices are in treatment but for what look-alikes bring.

    Raises:
        ValueError: more faulty devices than devices or faults, or a run too short for a fault.
    """
    if faults_per_type > devices_per_type:
        raise ValueError(f"{faults_per_type} faults a type do not fit {devices_per_type} devices a type")
    if faults_per_type and duration_s < FIRST_ONSET_S + LAST_ONSET_S:
        raise ValueError(
            f"{duration_s:.0f} s are too short for faults; it takes {FIRST_ONSET_S + LAST_ONSET_S:.0f}"
        )
    return [
        device
        for kind in types
        for device in _group(kind, seed, duration_s, devices_per_type, faults_per_type)
    ]


def _group(kind: str, seed: int, duration_s: float, devices: int, faulty: int) -> list[PlannedDevice]:
    """The devices of one type: the faulty ones first."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), 0xF1EE])
    machine = machine_of(kind)
    quiet_s = _quiet_s(machine)
    prefix = "".join(word[0] for word in kind.split("-")).upper()
    serials = [f"{prefix}-{number:05d}" for number in rng.choice(90000, devices, replace=False) + 10000]
    faults = _spread_faults([spec for spec in machine.faults.values() if spec.demo], rng, duration_s, faulty)
    shared = [fault for fault in faults if machine.faults[fault.name].loop][: devices - len(faults)]
    planned: list[FaultPlan | None] = [*faults, *shared]
    planned += [None] * (devices - len(planned))
    # Every kind of look-alike comes up once before any comes up again.
    specs = list(machine.lookalikes.values())
    wanted = [spec for _ in range(1 + 2 * devices // len(specs)) for spec in rng.permutation(np.array(specs))]
    fleet = []
    for serial, fault in zip(serials, planned, strict=True):
        until = duration_s if fault is None else fault.onset_s - quiet_s
        fitting = [k for k, spec in enumerate(wanted) if EARLIEST_EVENT_S + spec.duration_s[0] < until]
        own = [wanted[k] for k in fitting[: 2 if fault is None else 1]]
        wanted = [spec for k, spec in enumerate(wanted) if k not in fitting[: len(own)]]
        events = _apart([_lookalike(spec, rng, EARLIEST_EVENT_S, until) for spec in own], [], quiet_s)
        fits = tuple(event for event in events if event.start_s + event.duration_s <= until)
        fleet.append(PlannedDevice(kind, serial, Plan(() if fault is None else (fault,), fits)))
    return fleet


def _spread_faults(
    specs: list[FaultSpec], rng: np.random.Generator, duration_s: float, count: int
) -> list[FaultPlan]:
    """`count` different faults, their onsets one in each equal part of the time that has room for them."""
    if count > len(specs):
        raise ValueError(f"{count} different faults are wanted and {len(specs)} known")
    chosen = [specs[k] for k in rng.choice(len(specs), count, replace=False)]
    edges = np.linspace(FIRST_ONSET_S, duration_s - LAST_ONSET_S, count + 1)
    onsets = [float(rng.uniform(edges[k], edges[k + 1])) for k in range(count)]
    return [_compressed(spec, rng, onset, duration_s) for spec, onset in zip(chosen, onsets, strict=True)]


def _compressed(
    spec: FaultSpec,
    rng: np.random.Generator,
    onset_s: float,
    duration_s: float,
    severity: float | None = None,
    ramp_s: float | None = None,
    onset: Onset | None = None,
    sign: int | None = None,
) -> FaultPlan:
    drawn_severity, drawn_ramp = rng.uniform(*spec.demo_severity), rng.uniform(*spec.demo_ramp_s)
    fits = max(60.0, 0.6 * (duration_s - onset_s))
    return FaultPlan(
        spec.name,
        onset_s=round(onset_s),
        severity=round(float(drawn_severity), 2) if severity is None else severity,
        ramp_s=round(min(float(drawn_ramp), fits)) if ramp_s is None else ramp_s,
        onset=onset,
        sign=sign,
    )


def _lookalike(spec: LookalikeSpec, rng: np.random.Generator, start_s: float, stop_s: float) -> LookalikePlan:
    short, long = spec.duration_s
    room = max(1.0, stop_s - start_s)
    usual = float(np.exp(rng.uniform(np.log(short), np.log(long))))
    duration = min(usual, max(short, 0.5 * room))
    begin = start_s + float(rng.uniform(0.0, max(1.0, room - duration)))
    return LookalikePlan(spec.name, round(begin), round(duration), round(float(rng.uniform(0.0, 1.0)), 2))


def _apart(
    wanted: list[LookalikePlan], busy: list[tuple[float, float]], quiet_s: float
) -> tuple[LookalikePlan, ...]:
    """Those of `wanted` that neither overlap an earlier one nor a busy time, `quiet_s` apart."""
    kept: list[LookalikePlan] = []
    for event in sorted(wanted, key=lambda event: event.start_s):
        stop = event.start_s + event.duration_s
        free = all(stop + quiet_s < a or event.start_s > b + quiet_s for a, b in busy)
        if free:
            kept.append(event)
            busy = [*busy, (event.start_s, stop)]
    return tuple(kept)


def _pauses(
    device_type: str, rng: np.random.Generator, duration_s: float, rate: float
) -> tuple[ModeChange, ...]:
    """Now and then the operator pauses, puts the device into standby, or starts it anew."""
    machine = machine_of(device_type)
    changes: list[ModeChange] = []
    per_day = machine.pauses_per_day * rate
    at = float(rng.exponential(DAY_S / per_day)) if per_day > 0 else np.inf
    while at < duration_s - 60.0:
        sequence = machine.pauses[int(rng.integers(len(machine.pauses)))]
        for mode, short, long in sequence:
            changes.append(ModeChange(round(at), mode))
            at += float(rng.uniform(short, long))
        changes.append(ModeChange(round(at), machine.modes(machine.treatment).name))
        at += 1200.0 + float(rng.exponential(DAY_S / per_day))
    return tuple(changes)
