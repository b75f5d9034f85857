"""What can happen to a simulated device: faults and look-alikes, by device type. Data only, no physics."""

from dataclasses import dataclass
from enum import StrEnum


class Onset(StrEnum):
    """How a fault comes."""

    STEP = "step"
    RAMP = "ramp"
    INTERMITTENT = "intermittent"


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault of a device type; it changes a physical parameter, and the channels follow."""

    name: str
    title: str
    channels: tuple[str, ...]
    """Channels it typically moves, most affected first. The truth of one run is measured, not copied."""
    onset: Onset
    ramp_s: float
    """Typical time from onset to full severity in the field."""
    lead_s: float | None
    """Typical time from a visible change to the device's own alarm; None: the device has no alarm for it."""
    demo_ramp_s: tuple[float, float]
    """Shortest and longest ramp of a compressed demo run."""
    demo_severity: tuple[float, float] = (0.7, 1.0)
    loop: bool = False
    """A fault of the room: every device on the same loop shows it at once."""
    demo: bool = True
    """Whether fleets for the demo draw it; not where it stays near the limit of detection even when compressed."""


@dataclass(frozen=True, slots=True)
class LookalikeSpec:
    """A normal event that resembles a fault and must not raise an alert."""

    name: str
    title: str
    resembles: tuple[str, ...]
    """Faults whose channels it moves; may be empty."""
    duration_s: tuple[float, float]
    """Shortest and longest usual duration."""
    per_day: float
    """How often it usually happens on one device."""
