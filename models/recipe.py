"""How to train, and how far training is. Data only."""

from dataclasses import dataclass, field
from typing import NamedTuple

from models.calibration import AlarmRule, ExpressRule
from models.injection import InjectionConfig

BUDGET = 1 / 30
"""False alarms a device-day that a threshold allows where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train; the defaults serve every device type and end in minutes on one CPU thread."""

    seed: int = 0
    windows: int = 40_000
    """Windows drawn for the normal-device networks; a tenth of it, held back, decides when to stop."""
    expectation_steps: int = 4_000
    """Most optimizer steps for what settings and states explain; cheap ones."""
    steps: int = 1_500
    """Most optimizer steps for the autoencoder."""
    batch: int = 128
    """Windows a step over all processes; what residuals mean is learnt on twice as many."""
    learning_rate: float = 2e-3
    patience: int = 10
    """Stop after so many checks (every 100 steps) without a better held-back loss."""
    evidence_windows: int = 80_000
    evidence_steps: int = 4_000
    budget: float = BUDGET
    rule: AlarmRule = field(default_factory=lambda: AlarmRule(15, 20, express=ExpressRule()))
    min_rows: int = 0
    """Windows this short occur in service (the rest is mask); 0 = full windows only."""
    injection: InjectionConfig = field(default_factory=InjectionConfig)


class Progress(NamedTuple):
    """How far training is."""

    step: str
    """`normal`, `usual`, `evidence` or `threshold`."""
    done: int
    total: int
    loss: float
