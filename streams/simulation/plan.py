"""What shall happen to one device during a run, in seconds from its start. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from streams.simulation.catalogue import Onset


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault to inject."""

    name: str
    onset_s: float
    severity: float
    """0 (nothing) to 1 (as bad as it gets)."""
    ramp_s: float | None = None
    """Time from onset to full severity; None: the catalogue's."""
    end_s: float | None = None
    """When it is repaired; None: it lasts."""
    onset: Onset | None = None
    """None: the catalogue's."""
    sign: int | None = None
    """+1 or -1 where the fault can go both ways; None: drawn from the seed."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.severity <= 1.0:
            raise ValueError(f"severity {self.severity} is not within 0 and 1")
        if self.sign not in (None, 1, -1):
            raise ValueError(f"sign {self.sign} is neither +1 nor -1")
        if self.end_s is not None and self.end_s <= self.onset_s:
            raise ValueError(f"fault {self.name} ends at {self.end_s} s, not after its onset")


@dataclass(frozen=True, slots=True)
class LookalikePlan:
    """One normal event that resembles a fault."""

    name: str
    start_s: float
    duration_s: float
    magnitude: float = 0.5
    """0 mildest to 1 strongest usual form."""


@dataclass(frozen=True, slots=True)
class ModeChange:
    """The operator puts the device into `mode`, a name of the device type's modes."""

    at_s: float
    mode: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that happens to one device besides its own physics."""

    faults: tuple[FaultPlan, ...] = ()
    lookalikes: tuple[LookalikePlan, ...] = ()
    modes: tuple[ModeChange, ...] = ()
    settings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Initial settings by name; what is missing is drawn from the seed."""
