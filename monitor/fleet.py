"""How a device stands now, as the API and the metrics show it. Knows no window, no model and no database."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DeviceStatus(StrEnum):
    """What is known of a device now; a device is in exactly one of these."""

    LEARNING = "learning"
    """Scored, but not yet by a full window or with a settled baseline of its own; `DeviceState.learning` says more."""
    NORMAL = "normal"
    ALARMING = "alarming"
    """An episode is open."""
    SILENT = "silent"
    """Nothing came for longer than its profile allows."""


class LearningReason(StrEnum):
    """Why a device is still learning."""

    FIRST_WINDOW = "first window not full"
    """It is scored from its profile's `min_rows` on, by less than the model can look at."""
    NOT_SETTLED = "own baseline not settled"
    """Its own bias is the mean of few hours yet."""
    REBASELINED = "re-baselined after maintenance"
    """As one of the two above, because a person said that it was serviced."""


@dataclass(frozen=True, slots=True)
class LearningState:
    """How far a learning device is."""

    reason: LearningReason
    progress: float
    """0 to 1."""
    until: datetime | None = None
    """When it will be done if it goes on as so far, by the device's clock (UTC); None where that cannot be told."""


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
    learning: LearningState | None = None
    """Where the state is `learning`: why, and until when."""
