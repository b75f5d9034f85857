"""How a device stands now, as the API and the metrics show it. Knows no window, no model and no database."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DeviceStatus(StrEnum):
    """What is known of a device now; a device is in exactly one of these."""

    LEARNING = "learning"
    """Too few readings for a first window."""
    NORMAL = "normal"
    ALARMING = "alarming"
    """An episode is open."""
    SILENT = "silent"
    """Nothing came for longer than its profile allows."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device, as it stands now."""

    device: str
    type: str
    state: DeviceStatus
    last_seen: datetime
    """When its newest sample was taken, by the device's clock (UTC)."""
    anomaly: float | None = None
    """Of the newest window; 1.0 is the threshold. None before the first window."""
    alert_id: str | None = None
    """The alert of the open episode."""
