"""A made-up breathing machine, small enough to be learnt from within seconds."""

import numpy as np

from models.rhythm.cycles import Cycle, Trace, cut_cycles
from models.rhythm.network import RhythmConfig
from models.rhythm.practice import Library, PracticeConfig
from models.rhythm.training import RhythmTraining

STEP_S = 0.01

SMALL = RhythmTraining(
    network=RhythmConfig(rows=96, patches=8, width=16, heads=2, blocks=1),
    practice=PracticeConfig(length_s=20.0, onset_s=(6.0, 10.0)),
    min_rows=32,
    traces=100,
    epochs=12,
    batch=64,
    certainty=(0.6, 0.9),
    faults=("collapsed", "flat", "slow"),
    calibration_traces=20,
)


def breathing(
    seconds: float, period_s: float = 2.0, rise_s: float = 0.8, low: float = 12.0, high: float = 38.0
) -> Trace:
    """Straight rises and exponential falls, every `STEP_S`."""
    t = np.arange(round(seconds / STEP_S)) * STEP_S % period_s
    return low + (high - low) * np.where(t < rise_s, t / rise_s, np.exp(-(t - rise_s) / 0.15))


def cycles(period_s: float = 2.0) -> list[Cycle]:
    """Cycles of that machine."""
    return cut_cycles(breathing(20.0, period_s), STEP_S)


def library() -> Library:
    """Two recordings."""
    return {"quick": [cycles(1.8)], "slow": [cycles(3.0)]}
