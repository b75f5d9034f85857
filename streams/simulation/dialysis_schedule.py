"""When a haemodialysis machine treats whom with which prescription. Knows nothing about its physics."""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event
from streams.simulation.noise import Array, Noise

SESSION_S = 4 * 3600
RINSE_S, DISINFECT_S, PREPARE_S = 480, 1800, 900
CYCLE_S = SESSION_S + RINSE_S + DISINFECT_S + PREPARE_S
"""From the begin of one treatment to that of the next."""


class DialysisMode(IntEnum):
    """Values of the channel `treatment_mode`, named as in the HL7 guide."""

    OFF = 0
    IDL = 1
    PRETX = 2
    TX = 3
    POSTTX = 4
    DIS = 5
    SVC = 6


def end_sessions(mode: NDArray[np.int16], start: int) -> None:
    """Cut long treatment, in place, into sessions with rinse-back, disinfection and preparation between."""
    while start < len(mode):
        start += SESSION_S
        for phase, length in (
            (DialysisMode.POSTTX, RINSE_S),
            (DialysisMode.DIS, DISINFECT_S),
            (DialysisMode.PRETX, PREPARE_S),
        ):
            part = mode[max(start, 0) : max(start + length, 0)]
            part[part == DialysisMode.TX] = phase
            start += length


def change_mode(mode: NDArray[np.int16], event: Event) -> None:
    """Normal events that end one treatment and begin the next."""
    part = mode[event.start : event.stop]
    treating = part == DialysisMode.TX
    if event.name == "rinse_back":
        part[treating] = DialysisMode.POSTTX
    elif event.name == "hot_disinfection":
        second = np.arange(len(part))
        phase = np.where(second < 300, DialysisMode.POSTTX, DialysisMode.DIS)
        phase = np.where(second >= len(part) - 500, DialysisMode.PRETX, phase)
        part[treating] = phase[treating]


def sessions(mode: NDArray[np.int16], since: int) -> tuple[NDArray[np.int32], Array]:
    """(n,) number of the treatment and seconds since it began; the first began at second `since`."""
    begins = np.diff((mode == DialysisMode.TX).astype(np.int8), prepend=1) == 1
    session = np.cumsum(begins).astype(np.int32)
    starts = np.concatenate([[since], np.flatnonzero(begins)])
    return session, (np.arange(len(mode)) - starts[session]).astype(np.float64)


def prescription(noise: Noise, number: int, chosen: Mapping[str, float]) -> dict[str, float]:
    """What the doctor ordered for treatment `number`, and the access and dialyser it is done with."""
    rng = noise.rng(f"prescription:{number}")
    ordered = {
        "qb_set": 10.0 * float(rng.integers(24, 39)),
        "uf_rate_set": 10.0 * float(rng.integers(35, 95)),
        "cond_set": 0.1 * float(rng.integers(138, 143)),
        "temp_set": 0.1 * float(rng.integers(355, 371)),
    }
    return {name: chosen.get(name, value) for name, value in ordered.items()} | {
        "r_art": 0.52 * float(np.exp(0.10 * noise.patient(f"art:{number}"))),
        "r_ven": 0.42 * float(np.exp(0.10 * noise.patient(f"ven:{number}"))),
        "kuf": 12.0 * float(np.exp(0.05 * noise.patient(f"kuf:{number}"))),
    }
