"""A person says that a device was serviced: what is kept of it. Knows no database, no window and no HTTP.

Where it is applied: a lane takes the entries of its own devices (`monitor.lanes`), each once and in one transaction
with the lane's memory, at the first window of the device that ends after `effective_ms` of the stream's clock.
"""

import uuid
from dataclasses import dataclass
from typing import Final

NAMESPACE: Final = uuid.UUID("2f8c0a54-1d9e-5c43-8a37-6b3f0e5d9c21")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One entry of a device's log. Times are ms since the epoch, UTC."""

    device: str
    by: str
    """Who did it: a person or a system, not a patient."""
    at_ms: int
    """When the work was done, by the one who says so."""
    effective_ms: int
    """The stream's time when it was said: what the device read before counts no more from here on."""
    note: str = ""
    rebaseline: bool = False
    """Whether the device's own baseline is learned anew."""

    @property
    def id(self) -> uuid.UUID:
        """The same for the same work, so that who says it twice is heard once."""
        return uuid.uuid5(NAMESPACE, f"{self.device}\n{self.at_ms}\n{self.by}\n{self.rebaseline}")


@dataclass(frozen=True, slots=True)
class Applied:
    """An entry that took effect."""

    id: uuid.UUID
    at_ms: int
    """Stream time at which it did."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry as it is kept."""

    entry: Maintenance
    recorded_ms: int
    applied_at_ms: int | None
    """Stream time at which it took effect; None while it has not."""
