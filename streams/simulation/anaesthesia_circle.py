"""Gases of a circle breathing system and the analyser that samples them. Knows neither settings nor events.

Fresh gas is mixed into the circle's volume while the patient takes oxygen and agent out and gives carbon dioxide.
Flows in L/min, fractions in %, carbon dioxide in mmHg. Volume, uptake and the analyser's damping are engineering
estimates and describe no product.
"""

from dataclasses import dataclass

import numpy as np

from streams.simulation.noise import Array, Noise, lag

CIRCLE_L = 4.5
"""Volume into which fresh gas is mixed: circuit, bellows, absorber and lung."""
ROOM_FLOW = 4.0
"""L/min of room air that replaces the gas of an open circle."""
AIR_O2 = 21.0
OXYGEN_UPTAKE = 0.25
AGENT_UPTAKE = 0.22
"""L/min of circle gas that blood and tissue empty of agent during maintenance."""


@dataclass(frozen=True, slots=True)
class FreshGas:
    """What flows into the circle, (n,) each."""

    o2: Array
    air: Array
    n2o: Array
    flush: Array
    """Oxygen past the vaporiser."""

    @property
    def total(self) -> Array:
        return np.asarray(self.o2 + self.air + self.n2o + self.flush)

    @property
    def carried(self) -> Array:
        """Part of the fresh gas that went through the vaporiser, 0 … 1."""
        through = self.o2 + self.air + self.n2o
        return np.asarray(through / np.maximum(through + self.flush, 1e-6))


def mix(goal: Array, flow: Array) -> Array:
    """(n,) fraction in the circle: dc/dt = flow / volume (goal - c), exact between seconds, begun settled."""
    keep = np.exp(-flow / (60.0 * CIRCLE_L))
    c = float(goal[0])
    course = []
    for end, kept in zip(goal.tolist(), keep.tolist(), strict=True):
        c = end + (c - end) * kept
        course.append(c)
    return np.asarray(course)


def inspired(gas: FreshGas, output: Array, closed: Array, noise: Noise) -> dict[str, Array]:
    """Oxygen, nitrous oxide and agent that the patient breathes in, (n,) each.

    Args:
        gas: fresh gas.
        output: (n,) % that the vaporiser gives off.
        closed: (n,) 1 while a patient is connected, 0 while the circle is open to the room.
        noise: draws of this device and patient.
    """
    taken = OXYGEN_UPTAKE * (1.0 + 0.08 * noise.patient("oxygen")) * closed
    left = np.maximum(gas.total - taken, 0.05)
    oxygen = 100.0 * (gas.o2 + gas.flush + 0.01 * AIR_O2 * gas.air - taken) / left
    nitrous = 100.0 * gas.n2o / left
    lost = AGENT_UPTAKE * (1.0 + 0.12 * noise.patient("uptake")) * closed
    agent = output * gas.carried * gas.total / np.maximum(gas.total + lost, 0.05)
    flow = np.where(closed > 0, np.maximum(gas.total, 0.1), ROOM_FLOW)
    open_to_room = closed <= 0
    return {
        "o2": mix(np.where(open_to_room, AIR_O2, np.clip(oxygen, 5.0, 100.0)), flow),
        "n2o": mix(np.where(open_to_room, 0.0, np.clip(nitrous, 0.0, 85.0)), flow),
        "agent": mix(np.where(open_to_room, 0.0, agent), flow),
    }


def expired(breathed: dict[str, Array], noise: Noise) -> dict[str, Array]:
    """What comes back of oxygen, nitrous oxide and agent, (n,) each; tissue follows slowly."""
    burnt = 4.8 * (1.0 + 0.08 * noise.patient("oxygen")) + noise.wander(
        "burnt", len(breathed["o2"]), 0.12, 120.0
    )
    return {
        "o2": np.maximum(breathed["o2"] - burnt, 0.0),
        "n2o": lag(breathed["n2o"], 40.0),
        "agent": lag(breathed["agent"], 90.0) * (0.91 + 0.01 * noise.patient("tissue")),
    }


def rebreathed(expired_co2: Array, gas: FreshGas, exhaustion: Array) -> Array:
    """(n,) carbon dioxide that an exhausted absorber lets through, the more the less fresh gas dilutes it."""
    return np.asarray(0.42 * exhaustion * expired_co2 * np.exp(-np.minimum(gas.total, 12.0) / 3.5))


def damped(into: Array, out: Array, blockage: Array) -> tuple[Array, Array]:
    """What a slow sample shows of an inspired and an expired fraction: both near their mean, and late."""
    middle = into + 0.45 * (out - into)
    shown = 1.0 - 0.62 * blockage
    late = 1.0 + 30.0 * float(blockage.max())
    pair = middle + (into - middle) * shown, middle + (out - middle) * shown
    if late == 1.0:
        return pair
    part = np.minimum(4.0 * blockage, 1.0)
    slow = [lag(reading, late) for reading in pair]
    return pair[0] + part * (slow[0] - pair[0]), pair[1] + part * (slow[1] - pair[1])
