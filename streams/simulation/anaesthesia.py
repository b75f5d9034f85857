"""Anaesthesia machine: circle system, vaporiser, gas analyser, pneumatic ventilator. Knows nothing about sampling.

Numbers are those of the public tables where they exist and engineering estimates otherwise; they describe no product.
Fresh gas in L/min, gases in %, carbon dioxide in mmHg, airway pressure in mbar, supply pressure in kPa, leaks in mL/min
at 30 mbar. The gases themselves are in `anaesthesia_circle.py`.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.anaesthesia_catalogue import FAULTS, LOOKALIKES
from streams.simulation.anaesthesia_circle import AIR_O2, FreshGas, damped, expired, inspired, rebreathed
from streams.simulation.anaesthesia_world import (
    Agent,
    AnaesthesiaMode,
    AnaesthesiaWorld,
    begin_cases,
    conduct,
    operate,
)
from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, lag

DEAD_SPACE = 150.0
PEEP = 5.0
GASES = ("in_co2", "et_co2", "in_agent", "et_agent", "fio2", "et_o2", "in_n2o", "et_n2o", "rr_co2")


class AnaesthesiaMachine(Machine[AnaesthesiaWorld]):
    """See the module."""

    device_type = "anaesthesia-machine"
    modes = AnaesthesiaMode
    treatment = AnaesthesiaMode.AUTOMATIC
    pauses = (
        (("STANDBY", 300.0, 1800.0), ("MANUAL", 120.0, 300.0)),
        (("MANUAL", 60.0, 600.0),),
        (
            ("STANDBY", 120.0, 600.0),
            ("SELF_TEST", 240.0, 480.0),
            ("STANDBY", 60.0, 300.0),
            ("MANUAL", 120.0, 300.0),
        ),
    )
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "agent": 1, "analyser_state": 1, "vaporiser_dial": 0.1, "carrier": 1, "fresh_gas_o2_set": 1,
        "fresh_gas_flow": 0.1, "fresh_gas_flow_o2": 0.1, "fresh_gas_flow_air": 0.1, "vt_set": 10, "rr_set": 1,
        "in_co2": 0.1, "et_co2": 0.1, "in_agent": 0.01, "et_agent": 0.01, "fio2": 0.1, "et_o2": 0.1, "in_n2o": 0.1,
        "et_n2o": 0.1, "rr_co2": 1, "p_peak": 0.1, "vt_exp": 1, "system_leak": 1, "air_consumption": 0.1,
        "drive_gas_pressure": 1, "sample_flow": 1,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "in_co2": 0.1,
        "et_co2": 1.8,
        "in_agent": 0.056,
        "et_agent": 0.062,
        "fio2": 0.5,
        "et_o2": 0.79,
        "in_n2o": 0.32,
        "et_n2o": 0.32,
        "rr_co2": 1.0,
        "p_peak": 1.4,
        "vt_exp": 9.8,
        "system_leak": 16.0,
        "air_consumption": 0.1,
        "drive_gas_pressure": 14.0,
        "sample_flow": 2.2,
    }

    def begin(self, run: Run) -> AnaesthesiaWorld:
        rng, noise, n, chosen = run.noise.rng("settings"), run.noise, run.n, run.plan.settings
        nitrous = bool(chosen.get("nitrous", rng.random() < 0.2))
        total = chosen.get("fresh_gas", float(rng.choice([2.0, 3.0] if nitrous else [1.5, 2.0, 3.0])))
        oxygen = round(total * (0.4 if nitrous else float(rng.choice([0.5, 0.6]))), 1)
        agent = int(chosen.get("agent", 1 + (rng.random() < 0.3)))
        usual = 2.0 if agent == Agent.SEVOFLURANE else 5.5
        compliance = 50.0 * np.exp(
            0.14 * noise.patient("compliance") + noise.wander("compliance", n, 0.015, 600.0)
        )
        return AnaesthesiaWorld(
            n=n,
            noise=noise,
            mode=mode_timeline(run, AnaesthesiaMode, AnaesthesiaMode.AUTOMATIC),
            agent=np.full(n, agent, np.int16),
            dial=np.full(n, chosen.get("dial", round(usual * float(rng.uniform(0.85, 1.3)), 1))),
            o2_set=np.full(n, oxygen),
            air_set=np.full(n, 0.0 if nitrous else total - oxygen),
            n2o_set=np.full(n, total - oxygen if nitrous else 0.0),
            vt_set=np.full(n, chosen.get("vt_set", 10.0 * float(rng.integers(40, 56)))),
            rr_set=np.full(n, chosen.get("rr_set", float(rng.integers(10, 15)))),
            compliance=compliance,
            flush=np.zeros(n),
            zeroing=np.zeros(n, np.bool_),
            open_circuit=np.zeros(n, np.bool_),
        )

    def happen(self, world: AnaesthesiaWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"an anaesthesia machine knows no event {event.name}")
        conduct(world, event)
        operate(world, event)

    def inject(self, world: AnaesthesiaWorld, fault: Injected) -> None:
        strength = fault.strength
        # At the end a vaporiser that gives too little gives nothing: it is empty.
        error = 0.5 * strength if fault.sign > 0 else -0.5 * strength - 0.45 * strength**6
        effects = {
            "co2_absorber_exhaustion": ("exhaustion", strength),
            "vaporiser_output_fault": ("output_error", error),
            "breathing_system_leak": ("leakage", 2400.0 * strength),
            "sample_line_occlusion": ("blockage", strength),
            "o2_sensor_drift": ("o2_gain", 0.32 * fault.sign * strength),
            "drive_gas_sag": ("sag", strength),
        }
        if fault.name not in effects:
            raise ValueError(f"an anaesthesia machine knows no fault {fault.name}")
        parameter, change = effects[fault.name]
        setattr(world, parameter, getattr(world, parameter) + change)

    def settle(self, world: AnaesthesiaWorld) -> None:
        begin_cases(world)

    def solve(self, world: AnaesthesiaWorld) -> dict[str, Array]:
        noise, n = world.noise, world.n
        gas = _fresh_gas(world)
        pressure = _drive_gas(world)
        breath = _ventilate(world, gas, pressure)
        flow = 200.0 + 2.0 * noise.unit("pump") + noise.wander("pump", n, 1.5, 60.0)
        consumed = gas.air + breath["vt_driven"] * breath["rate"] / 1000.0
        return {
            "mode": world.mode.astype(np.float64),
            "agent": world.agent.astype(np.float64),
            "analyser_state": world.zeroing.astype(np.float64),
            "vaporiser_dial": world.dial,
            **_mixture(world),
            "vt_set": world.vt_set,
            "rr_set": world.rr_set,
            **_analyse(world, gas, breath),
            "p_peak": breath["p_peak"],
            "vt_exp": breath["vt_exp"],
            "system_leak": _leak_reading(world),
            "air_consumption": 200.0 + np.cumsum(consumed) / 60.0,
            "drive_gas_pressure": pressure,
            "sample_flow": np.maximum(flow * (1.0 - 0.75 * world.blockage), 0.0),
        }

    def ticks(self, world: AnaesthesiaWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """Gases and breaths are reported while the machine ventilates a patient, leaks only in automatic mode."""
        del channels
        automatic = world.mode == AnaesthesiaMode.AUTOMATIC
        breathing = automatic | (world.mode == AnaesthesiaMode.MANUAL)
        every = np.arange(world.n) % 5 == 0
        seen = dict.fromkeys(GASES, breathing & ~world.zeroing & every)
        return seen | {
            "p_peak": breathing & every,
            "vt_exp": breathing & every,
            "system_leak": automatic & every,
        }

    def alarms(self, world: AnaesthesiaWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        automatic = world.mode == AnaesthesiaMode.AUTOMATIC
        connected = automatic & ~world.open_circuit
        high = np.where(world.agent == Agent.SEVOFLURANE, 5.0, 12.0)
        return {
            "inspired_co2": connected & (lag(channels["in_co2"], 15.0) > 6.0),
            "agent_high": connected & (lag(channels["in_agent"], 15.0) > high),
            "fio2_low": connected & (lag(channels["fio2"], 15.0) < 25.0),
            "volume_low": connected & (lag(channels["vt_exp"], 20.0) < 0.6 * world.vt_set),
            "fresh_gas_low": connected & (lag(_shortage(world, _fresh_gas(world)), 30.0) > 0.05),
            "sample_line_blocked": channels["sample_flow"] < 75.0,
            "drive_gas_low": channels["drive_gas_pressure"] < 200.0,
        }

    def respond(self, world: AnaesthesiaWorld, alarm: str, second: int) -> bool:
        """More fresh gas fills a leaking bellows and thins the carbon dioxide; it hides the fault and heals nothing."""
        waited = {"fresh_gas_low": (90, 240), "inspired_co2": (400, 700)}.get(alarm)
        if waited is None:
            return False
        start = second + int(world.noise.rng(f"response:{alarm}:{second}").integers(*waited))
        more = 1.0 + 1.0 / max(float(_fresh_gas(world).total[second]), 0.5)
        for flow in (world.o2_set, world.air_set, world.n2o_set):
            flow[start:] = np.round(flow[start:] * more, 1)
        return start < world.n


def _connected(world: AnaesthesiaWorld) -> NDArray[np.bool_]:
    return np.asarray((world.mode >= AnaesthesiaMode.AUTOMATIC) & ~world.open_circuit)


def _fresh_gas(world: AnaesthesiaWorld) -> FreshGas:
    on = (world.mode >= AnaesthesiaMode.AUTOMATIC).astype(np.float64)
    return FreshGas(o2=world.o2_set * on, air=world.air_set * on, n2o=world.n2o_set * on, flush=world.flush)


def _mixture(world: AnaesthesiaWorld) -> dict[str, Array]:
    """What staff sets at the mixer: carrier gas, part of oxygen, and how much flows."""
    total = world.o2_set + world.air_set + world.n2o_set
    return {
        "carrier": np.where(world.n2o_set > 0, 2.0, 1.0),
        "fresh_gas_o2_set": 100.0 * (world.o2_set + 0.01 * AIR_O2 * world.air_set) / np.maximum(total, 0.1),
        "fresh_gas_flow": total,
        "fresh_gas_flow_o2": world.o2_set,
        "fresh_gas_flow_air": world.air_set,
    }


def _lost(world: AnaesthesiaWorld) -> Array:
    """(n,) L/min that leave through leaks at the mean airway pressure of about 10 mbar."""
    return np.asarray((50.0 + world.leakage) / 1000.0 * (10.0 / 30.0))


def _shortage(world: AnaesthesiaWorld, gas: FreshGas) -> Array:
    """(n,) L/min by which fresh gas falls short of uptake, sample and leak: the bellows does not fill any more."""
    return np.asarray(np.maximum(0.35 + _lost(world) - gas.total, 0.0) * _connected(world))


def _drive_gas(world: AnaesthesiaWorld) -> Array:
    """(n,) supply pressure; it sags most when the other theatres draw most, a day's pattern in half an hour."""
    noise, n = world.noise, world.n
    usual = 430.0 + 14.0 * noise.patient("pipeline") + noise.wander("pipeline", n, 5.0, 400.0)
    phase = noise.rng("demand").uniform(0.0, 2.0 * np.pi)
    demand = 0.85 + 0.15 * np.sin(2.0 * np.pi * np.arange(n) / 1800.0 + phase)
    pressure = usual * (1.0 - 0.7 * world.sag * demand) + noise.white("pipeline", n, 1.5)
    return np.asarray(np.maximum(pressure, 0.0))


def _ventilate(world: AnaesthesiaWorld, gas: FreshGas, pressure: Array) -> dict[str, Array]:
    """Breaths of ventilator or hand; weak drive gas moves the bellows less far, leaks take from what comes back."""
    noise, n = world.noise, world.n
    automatic, connected = world.mode == AnaesthesiaMode.AUTOMATIC, _connected(world)
    hand = 1.0 + noise.wander("hand", n, 0.10, 8.0)
    reach = np.clip((pressure - 40.0) / 260.0, 0.0, 1.0)
    driven = world.vt_set * (1.0 + 0.008 * noise.unit("bellows")) * reach
    driven = driven + noise.white("vt", n, 0.008) * world.vt_set
    volume = np.where(automatic, driven, 0.95 * world.vt_set * hand) * connected
    rate = np.where(automatic, world.rr_set, np.maximum(world.rr_set * (2.0 - hand), 4.0)) * connected
    missing = 1000.0 * (_lost(world) + _shortage(world, gas)) / np.maximum(world.rr_set, 6.0)
    lung = np.maximum(volume - missing * connected, 0.0)
    resistive = 4.5 * np.exp(0.15 * noise.patient("airway") + noise.wander("airway", n, 0.03, 300.0))
    return {
        "rate": rate,
        "vt_driven": driven * automatic,
        "vt_lung": lung,
        "vt_exp": lung * (0.985 + 0.018 * noise.unit("vt_exp")) + noise.white("vt_exp", n, 3.0) * connected,
        "p_peak": (PEEP + lung / world.compliance + resistive * reach + noise.white("paw", n, 0.2))
        * connected,
    }


def _carbon_dioxide(world: AnaesthesiaWorld, breath: Mapping[str, Array]) -> Array:
    """(n,) alveolar CO2 without rebreathing: production over ventilation; staff aimed at 37 mmHg."""
    noise, n = world.noise, world.n
    alveolar = breath["rate"] * np.maximum(breath["vt_lung"] - DEAD_SPACE, 30.0)
    usual = float(world.rr_set[0]) * max(float(world.vt_set[0]) - DEAD_SPACE, 30.0)
    goal = np.clip(37.0 * usual / np.maximum(alveolar, 200.0), 15.0, 80.0)
    stored = lag(np.where(_connected(world), goal, 37.0), 240.0, 37.0)
    return np.asarray(stored * (1.0 + 0.045 * noise.patient("co2") + noise.wander("co2", n, 0.012, 200.0)))


def _agent(world: AnaesthesiaWorld, gas: FreshGas) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inspired and expired gases, the agent's those of the one in use; what is left of the other is not shown."""
    closed = _connected(world).astype(np.float64)
    output = world.dial * (1.0 + 0.015 * world.noise.unit("vaporiser")) * (1.0 + world.output_error)
    into = inspired(gas, np.where(world.agent == world.agent[0], output, 0.0), closed, world.noise)
    out = expired(into, world.noise)
    changed = world.agent != world.agent[0]
    if changed.any():
        other = inspired(gas, np.where(changed, output, 0.0), closed, world.noise)
        into["agent"] = np.where(changed, other["agent"], into["agent"])
        out["agent"] = np.where(changed, expired(other, world.noise)["agent"], out["agent"])
    return into, out


def _analyse(world: AnaesthesiaWorld, gas: FreshGas, breath: Mapping[str, Array]) -> dict[str, Array]:
    """Side-stream analyser: what the sample line brings, as its sensors read it."""
    noise, n = world.noise, world.n
    into, out = _agent(world, gas)
    alveolar = _carbon_dioxide(world, breath)
    back = rebreathed(alveolar, gas, world.exhaustion)
    connected = _connected(world)
    in_co2, et_co2 = damped(back, (alveolar + 0.85 * back) * connected, world.blockage)
    in_agent, et_agent = damped(into["agent"], out["agent"], world.blockage)
    in_o2, et_o2 = damped(into["o2"], out["o2"], world.blockage)
    in_n2o, et_n2o = damped(into["n2o"], out["n2o"], world.blockage)
    cell = (1.0 + world.o2_gain) * (1.0 + 0.004 * noise.unit("cell"))
    wander = noise.wander("cell", n, 0.15, 120.0)
    return {
        "in_co2": np.maximum(
            in_co2 + 0.4 + 0.1 * noise.unit("co2_zero") + noise.white("in_co2", n, 0.1), 0.0
        ),
        "et_co2": np.maximum(et_co2 + noise.white("et_co2", n, 0.3), 0.0),
        "in_agent": _agent_reading(world, "in_agent", in_agent),
        "et_agent": _agent_reading(world, "et_agent", et_agent),
        "fio2": np.clip(in_o2 * cell + wander + noise.white("fio2", n, 0.1), 0.0, 110.0),
        "et_o2": np.clip(et_o2 * cell + wander + noise.white("et_o2", n, 0.1), 0.0, 110.0),
        "in_n2o": np.maximum(in_n2o + noise.white("in_n2o", n, 0.1), 0.0),
        "et_n2o": np.maximum(et_n2o + noise.white("et_n2o", n, 0.1), 0.0),
        "rr_co2": _counted(world, breath["rate"]),
    }


def _agent_reading(world: AnaesthesiaWorld, name: str, sampled: Array) -> Array:
    """(n,) what the infrared bench makes of the sampled agent; its noise grows with the fraction."""
    noise = world.noise.white(name, world.n, 0.01) * (1.0 + 0.3 * sampled)
    return np.maximum(sampled * (1.0 + 0.010 * world.noise.unit("bench")) + noise, 0.0)


def _counted(world: AnaesthesiaWorld, rate: Array) -> Array:
    """(n,) breaths found in the capnogram; a flat one loses them for a while."""
    rng = world.noise.rng("lost_breaths")
    lengths = rng.integers(10, 50, 2 + world.n // 10)
    flat = np.repeat(rng.random(len(lengths)), lengths)[: world.n] < 1.6 * (world.blockage - 0.35)
    return np.where(flat, 0.0, np.maximum(rate + world.noise.white("rr", world.n, 0.15), 0.0))


def _leak_reading(world: AnaesthesiaWorld) -> Array:
    """(n,) leak at 30 mbar as the machine estimates it in automatic mode from what it drives and what comes back."""
    noise = world.noise
    tight = 50.0 + 15.0 * noise.unit("seals") + 30.0 * noise.age() + noise.wander("leak", world.n, 8.0, 120.0)
    return np.maximum(tight + world.leakage + noise.white("leak_reading", world.n, 5.0), 0.0)
