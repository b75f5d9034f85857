"""Bedside patient monitor as a device: sensors, cables, cuff pneumatics, battery. Knows nothing about sampling.

The patient is only the load that the sensors see. Numbers are those of the public tables where they exist and
engineering estimates otherwise; they describe no product. Pressures in mmHg, rates in 1/min, currents in mA,
impedance in kOhm, noise in uV.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, bursts, lag
from streams.simulation.patient_monitor_catalogue import FAULTS, LOOKALIKES
from streams.simulation.patient_monitor_world import (
    EcgFilter,
    MonitorMode,
    MonitorWorld,
    PowerState,
    Rhythm,
    handle,
    stir,
)

LED_LIMIT = 50.0
"""mA that the oximeter drives its light source with at most."""
LEAD_OFF = 220.0
"""kOhm above which the monitor takes an electrode for lost."""
MEASURING_S = 35
"""Length of one non-invasive pressure measurement."""
OXIMETRY = ("spo2", "pulse_rate", "perfusion_index", "spo2_signal_quality", "spo2_led_current")
CUFF = ("nibp_sys", "nibp_mean", "nibp_inflate_time", "nibp_leak_rate")
ARTERIAL = ("ibp_sys", "ibp_dia", "ibp_mean")


class PatientMonitor(Machine[MonitorWorld]):
    """See the module."""

    device_type = "patient-monitor"
    modes = MonitorMode
    treatment = MonitorMode.MONITORING
    pauses = (
        (("STANDBY", 120.0, 1800.0),),
        (("STANDBY", 60.0, 600.0), ("SELF_TEST", 20.0, 60.0), ("STANDBY", 30.0, 120.0)),
    )
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "power_state": 1, "nibp_state": 1, "rhythm": 1, "ecg_filter": 1, "nibp_interval": 0.5,
        "hr": 1, "pulse_rate": 1, "spo2": 1, "perfusion_index": 0.1, "spo2_signal_quality": 1,
        "spo2_led_current": 0.1, "ecg_lead_impedance": 0.5, "ecg_noise": 0.5, "resp_rate": 1, "ibp_sys": 1,
        "ibp_dia": 1, "ibp_mean": 1, "nibp_sys": 1, "nibp_mean": 1, "nibp_inflate_time": 0.1,
        "nibp_leak_rate": 0.1, "temp_core": 0.1, "module_link_errors": 0.1, "battery_charge": 1,
        "battery_voltage": 0.01, "wifi_strength": 1,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "hr": 8.0,
        "pulse_rate": 8.0,
        "spo2": 1.0,
        "perfusion_index": 0.86,
        "spo2_signal_quality": 1.3,
        "spo2_led_current": 1.8,
        "ecg_lead_impedance": 3.6,
        "ecg_noise": 1.8,
        "resp_rate": 2.2,
        "ibp_sys": 5.0,
        "ibp_dia": 4.2,
        "ibp_mean": 3.9,
        "nibp_sys": 5.3,
        "nibp_mean": 4.1,
        "nibp_inflate_time": 0.72,
        "nibp_leak_rate": 0.62,
        "temp_core": 0.3,
        "module_link_errors": 0.1,
        "battery_charge": 1.0,
        "battery_voltage": 0.031,
        "wifi_strength": 5.4,
    }

    def begin(self, run: Run) -> MonitorWorld:
        rng, noise, n, chosen = run.noise.rng("settings"), run.noise, run.n, run.plan.settings
        interval = chosen.get("nibp_interval", float(rng.choice([2.5, 5.0, 5.0, 5.0])))
        return MonitorWorld(
            n=n,
            noise=noise,
            mode=mode_timeline(run, MonitorMode, MonitorMode.MONITORING),
            nibp_interval=np.full(n, interval),
            rhythm=np.full(n, Rhythm.SINUS, np.int16),
            ecg_filter=np.full(n, EcgFilter.MONITOR, np.int16),
            on_battery=np.zeros(n, np.bool_),
            sensor_arm_cuff=np.zeros(n, np.bool_),
            motion=np.zeros(n),
            cautery=np.zeros(n),
            cold=np.zeros(n),
            arm=np.zeros(n),
            signal=np.zeros(n),
            measuring=np.zeros(n, np.bool_),
        )

    def happen(self, world: MonitorWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"a patient monitor knows no event {event.name}")
        handle(world, event)
        stir(world, event)

    def inject(self, world: MonitorWorld, fault: Injected) -> None:
        effects = {
            "spo2_sensor_ageing": ("led_loss", 0.80),
            "nibp_pneumatic_leak": ("cuff_leak", 1.0),
            "ecg_cable_fracture": ("fracture", 1.0),
            "ibp_zero_drift": ("zero", 55.0 * fault.sign),
            "battery_charger_failure": ("charger_loss", 1.0),
            "module_comm_failure": ("link_loss", 1.0),
        }
        if fault.name not in effects:
            raise ValueError(f"a patient monitor knows no fault {fault.name}")
        parameter, size = effects[fault.name]
        setattr(world, parameter, getattr(world, parameter) + size * fault.strength)

    def settle(self, world: MonitorWorld) -> None:
        """The cuff measures at every interval since switch-on, as long as a patient is admitted."""
        since = (np.arange(world.n) + world.noise.rng("cuff").integers(150)) % (60.0 * world.nibp_interval)
        world.measuring = (since < MEASURING_S) & (world.mode == MonitorMode.MONITORING)

    def solve(self, world: MonitorWorld) -> dict[str, Array]:
        patient = _patient(world)
        return {
            "mode": world.mode.astype(np.float64),
            "nibp_state": world.measuring.astype(np.float64),
            "rhythm": world.rhythm.astype(np.float64),
            "ecg_filter": world.ecg_filter.astype(np.float64),
            "nibp_interval": world.nibp_interval,
            **_electrodes(world, patient),
            **_oximetry(world, patient),
            **_arterial(world, patient),
            **_cuff(world, patient),
            **_power(world),
            "temp_core": 37.0
            + 0.3 * world.noise.patient("temp")
            + world.noise.wander("temp", world.n, 0.05, 1800.0),
            "wifi_strength": _wifi(world),
        }

    def ticks(self, world: MonitorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """A channel is reported while a patient is admitted and its sensor is on."""
        admitted = world.mode == MonitorMode.MONITORING
        lead_on = admitted & (channels["ecg_lead_impedance"] < LEAD_OFF)
        repeated = admitted & (np.arange(world.n) % 60 == 0)
        seen = dict.fromkeys(OXIMETRY, admitted & ~_sensor_off(world))
        seen |= dict.fromkeys(CUFF, repeated)
        # What leaks faster than the pump fills gives no pressure.
        seen |= dict.fromkeys(("nibp_sys", "nibp_mean"), repeated & (channels["nibp_leak_rate"] < 28.0))
        seen |= dict.fromkeys(ARTERIAL, admitted) | dict.fromkeys(("hr", "resp_rate"), lead_on)
        seen |= dict.fromkeys(("ecg_lead_impedance", "ecg_noise"), admitted)
        for name in ("temp_core", "spo2_led_current"):
            seen[name] = seen.get(name, admitted) & (np.arange(world.n) % 10 == 0)
        return seen

    def alarms(self, world: MonitorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        admitted = world.mode == MonitorMode.MONITORING
        mean = lag(channels["ibp_mean"], 15.0)
        off = (channels["ecg_lead_impedance"] > LEAD_OFF).astype(np.float64)
        return {
            "spo2_sensor_off": admitted & (lag(_sensor_off(world).astype(np.float64), 8.0) > 0.7),
            "spo2_comm_stop": admitted & (lag(_link_down(world).astype(np.float64), 12.0) > 0.97),
            "ecg_lead_off": admitted & (lag(off, 3.0) > 0.6),
            "nibp_leak": world.measuring & (channels["nibp_leak_rate"] > 25.0),
            "ibp_limit": admitted & ((mean < 40.0) | (mean > 120.0)),
            "charger": ~world.on_battery & (channels["battery_voltage"] < 11.6),
            "battery_low": channels["battery_charge"] < 20.0,
        }

    def respond(self, world: MonitorWorld, alarm: str, second: int) -> bool:
        """Staff looks after the patient first; when cuff and line disagree, it zeroes the transducer."""
        if alarm != "ibp_limit" or world.zero[second] == 0 or world.cleared:
            return False
        stop = second + int(world.noise.rng(f"response:{alarm}:{second}").integers(900, 1500))
        if stop >= world.n:
            return False
        world.zero[stop:] = 0.0
        world.cleared["ibp_zero_drift"] = stop
        return True


@dataclass(frozen=True, slots=True)
class Patient:
    """What the sensors see of the patient, (n,) each."""

    heart: Array
    """Beats a minute."""
    pulse: Array
    """Beats a minute that reach the finger."""
    mean: Array
    """Mean arterial pressure, which staff keeps near 78 mmHg."""
    swing: Array
    """Pulse pressure."""
    breath: Array


def _patient(world: MonitorWorld) -> Patient:
    noise, n = world.noise, world.n
    irregular = lag((world.rhythm == Rhythm.FIBRILLATION).astype(np.float64), 10.0, 0.0)
    beat = noise.white("fibrillation", n, 1.0) * irregular
    heart = 78.0 + 8.0 * noise.patient("heart") + noise.wander("heart", n, 2.0, 120.0)
    heart = heart + 22.0 * irregular + 7.0 * beat + 6.0 * world.motion
    return Patient(
        heart=np.clip(heart, 35.0, 190.0),
        pulse=np.clip(heart - 8.0 * irregular, 30.0, 190.0),
        mean=78.0 + 3.0 * noise.patient("mean") + noise.wander("mean", n, 2.2, 200.0) - 4.0 * irregular,
        swing=46.0 + 5.0 * noise.patient("swing") + noise.wander("swing", n, 1.5, 120.0) - 3.0 * beat,
        breath=16.0
        + 2.2 * noise.patient("breath")
        + noise.wander("breath", n, 0.8, 60.0)
        + 4.0 * world.motion,
    )


def _electrodes(world: MonitorWorld, patient: Patient) -> dict[str, Array]:
    """Lead wires and electrodes: an open contact raises the impedance, and hum and false beats come in."""
    noise, n = world.noise, world.n
    # Broken strands part with every movement of the cable and close again within seconds.
    opening = bursts(noise.rng("opening"), n, 14.0, 3.0, 1.0) * world.fracture
    skin = 22.0 * np.exp(0.16 * noise.patient("skin") + noise.wander("skin", n, 0.02, 900.0))
    impedance = skin + 2.0 * noise.age() + 4.0 * world.motion + 22.0 * world.fracture + 75.0 * opening
    hum = 11.0 + 1.5 * noise.unit("hum") + 1.5 * noise.age() + noise.wander("hum", n, 1.0, 60.0)
    hum = hum + 30.0 * world.motion + 160.0 * world.cautery + 14.0 * world.fracture + 60.0 * opening
    # The surgery filter keeps the cautery out of the beat detection, mostly.
    felt = opening + 0.25 * world.motion + 0.2 * world.cautery
    false_beats = np.abs(noise.white("beats", n, 30.0)) * felt
    return {
        "ecg_lead_impedance": np.minimum(impedance + noise.white("impedance", n, 0.4), 600.0),
        "ecg_noise": np.maximum(hum, 0.0),
        "hr": np.clip(patient.heart + false_beats + noise.white("hr", n, 0.6), 0.0, 290.0),
        "resp_rate": np.clip(patient.breath + noise.white("resp", n, 0.5) * (1.0 + 12.0 * felt), 0.0, 120.0),
    }


def _oximetry(world: MonitorWorld, patient: Patient) -> dict[str, Array]:
    """Pulse oximeter: it drives its light until enough arrives; what is weak or moves is read with noise."""
    noise, n = world.noise, world.n
    squeezed = lag((world.sensor_arm_cuff & world.measuring).astype(np.float64), 3.0, 0.0)
    finger = np.exp(
        0.09 * noise.patient("finger") + 0.04 * noise.unit("led") + noise.wander("led", n, 0.01, 600.0)
    )
    wanted = 16.0 * (1.0 + 0.2 * noise.age()) * finger / (1.0 - world.led_loss)
    perfusion = 3.0 * np.exp(0.28 * noise.patient("perfusion") + noise.wander("perfusion", n, 0.06, 120.0))
    perfusion = perfusion * (1.0 - 0.6 * world.cold) * (1.0 - 0.02 * world.arm) * (1.0 - 0.97 * squeezed)
    perfusion = perfusion * (1.0 - 0.7 * world.led_loss)
    starved = np.maximum(wanted / LED_LIMIT - 1.0, 0.0)
    quality = 96.0 + 1.0 * noise.unit("quality") - 5.0 * np.exp(-perfusion / 0.6) - 22.0 * world.motion
    quality = quality - 55.0 * squeezed - 42.0 * world.led_loss - 25.0 * starved
    poor = np.clip((88.0 - quality) / 50.0, 0.0, 1.2)
    saturation = (
        97.0 + 0.7 * noise.patient("saturation") + noise.wander("saturation", n, 0.4, 120.0) - 2.5 * poor
    )
    down = _link_down(world)
    readings = {
        "spo2": np.clip(saturation + noise.white("spo2", n, 0.3) * (1.0 + 8.0 * poor), 0.0, 100.0),
        "pulse_rate": np.clip(
            patient.pulse + noise.white("pulse", n, 0.6) * (1.0 + 12.0 * poor), 20.0, 250.0
        ),
        "perfusion_index": np.maximum(perfusion + noise.white("pi", n, 0.03), 0.0),
        "spo2_signal_quality": np.clip(quality + noise.wander("quality", n, 1.0, 15.0), 0.0, 100.0),
        "spo2_led_current": np.minimum(wanted, LED_LIMIT) + noise.white("led_current", n, 0.05),
    }
    retries = (
        0.4
        + 0.1 * noise.unit("link")
        + np.abs(noise.white("link", n, 0.2))
        + 90.0 * lag(world.link_loss, 15.0)
    )
    return {name: _held(values, down) for name, values in readings.items()} | {"module_link_errors": retries}


def _link_down(world: MonitorWorld) -> NDArray[np.bool_]:
    """(n,) stretches without an answer of the module: the worse the link, the more of them."""
    rng = world.noise.rng("link_down")
    lengths = rng.integers(10, 45, 2 + world.n // 10)
    return np.asarray(np.repeat(rng.random(len(lengths)), lengths)[: world.n] < 0.9 * world.link_loss)


def _held(values: Array, down: NDArray[np.bool_]) -> Array:
    """`values`, each kept as long as `down` says that no new one comes."""
    newest = np.maximum.accumulate(np.where(down, 0, np.arange(len(values))))
    return np.asarray(values[newest])


def _sensor_off(world: MonitorWorld) -> NDArray[np.bool_]:
    """(n,) moments in which so little light arrives that the oximeter takes its sensor for removed."""
    dim = bursts(world.noise.rng("sensor_off"), world.n, 120.0, 8.0, 1.0)
    return np.asarray(dim * world.led_loss > 0.55)


def _arterial(world: MonitorWorld, patient: Patient) -> dict[str, Array]:
    """Arterial pressure through line and transducer."""
    noise, n = world.noise, world.n
    line = patient.mean + 0.8 * noise.unit("transducer") + world.zero + 5.0 * world.motion
    line = line + noise.white("line", n, 0.6)
    swing = patient.swing + noise.white("line_swing", n, 0.8)
    return {"ibp_mean": line, "ibp_sys": line + 2.0 / 3.0 * swing, "ibp_dia": line - 1.0 / 3.0 * swing}


def _cuff(world: MonitorWorld, patient: Patient) -> dict[str, Array]:
    """The same pressure through the cuff, and the cuff's pneumatics: what leaks makes the pump work longer and the
    pressure fall faster. Figures stand until the next measurement has ended."""
    noise, n, age = world.noise, world.n, world.noise.age()
    mean = patient.mean + 1.5 * noise.unit("cuff") - world.arm + noise.white("cuff", n, 1.5)
    filling = 7.5 * (1.0 + 0.08 * noise.patient("limb") + 0.04 * noise.unit("pump") + 0.10 * (age - 0.4))
    tight = 2.5 + 0.5 * noise.unit("hose") + 1.0 * age
    now = {
        "nibp_mean": mean,
        "nibp_sys": mean + 0.63 * (patient.swing + noise.white("cuff_swing", n, 1.5)),
        "nibp_inflate_time": filling * (1.0 + 1.2 * world.cuff_leak) + noise.white("inflate", n, 0.25),
        "nibp_leak_rate": np.maximum(tight + 27.0 * world.cuff_leak + noise.white("leak", n, 0.4), 0.0),
    }
    ended = np.diff(world.measuring.astype(np.int8), prepend=0) == -1
    return {name: _held(figure, ~ended) for name, figure in now.items()}


def _charge(world: MonitorWorld, loss: Array) -> Array:
    """(n,) charge of a battery of four hours; `loss` 0 … 1 of charger and cells makes it end lower and fall faster."""
    hours = (4.0 - 0.8 * world.noise.age()) * (1.0 - 0.88 * loss)
    step = np.where(world.on_battery, 100.0 / hours, 60.0) / 3600.0
    goal = np.where(world.on_battery, 0.0, 100.0 - 55.0 * loss)
    level, course = 100.0, []
    for change, end in zip(step.tolist(), goal.tolist(), strict=True):
        level = max(end, level - change) if level > end else min(end, level + change)
        course.append(level)
    return np.asarray(course)


def _power(world: MonitorWorld) -> dict[str, Array]:
    """Power source and battery. The charger is on after a time on battery, whether or not it charges."""
    noise, loss = world.noise, world.charger_loss
    charging = ~world.on_battery & (_charge(world, np.zeros(world.n)) < 99.5)
    charge = _charge(world, loss)
    empty = 100.0 - charge
    volt = np.where(world.on_battery, 11.9 - 0.012 * empty, 12.55 - 0.003 * empty - 1.1 * loss)
    volt = lag(volt, 5.0) + 0.03 * noise.unit("cells") + noise.wander("volt", world.n, 0.008, 120.0)
    return {
        "power_state": np.select(
            [world.on_battery, charging], [PowerState.BATTERY, PowerState.CHARGING], 0.0
        ),
        "battery_charge": charge,
        "battery_voltage": volt,
    }


def _wifi(world: MonitorWorld) -> Array:
    noise = world.noise
    level = 82.0 + 5.0 * noise.patient("bed") + noise.wander("wifi", world.n, 3.0, 200.0)
    return np.clip(level - world.signal, 0.0, 100.0)
