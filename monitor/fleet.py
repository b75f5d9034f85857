"""How a device stands now, as the API and the metrics show it. Knows no window, no model and no database."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.findings import BaselineReason


class DeviceStatus(StrEnum):
    """What is known of a device now; a device is in exactly one of these."""

    LEARNING = "learning"
    """Scored, but not yet by a full window, or a settled baseline of its own is on its way; `DeviceState.learning` says
    more. It ends for every device: one that seldom teaches is judged by its type alone, see `DeviceState.baseline`."""
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
    """Its own bias is the mean of few hours yet, or of none."""
    REBASELINED = "re-baselined after maintenance"
    """As one of the two above, because a person said that it was serviced."""
    NO_MODEL = "no model of its type"
    """Nothing judges it."""


@dataclass(frozen=True, slots=True)
class LearningState:
    """How far a learning device is."""

    reason: LearningReason
    progress: float
    """0 to 1."""
    until: datetime | None = None
    """When it will be done if it goes on as so far, by the device's clock (UTC); None where that cannot be told."""


class BaselineSource(StrEnum):
    """What a device is judged by."""

    TYPE = "type"
    """By what is usual for its type alone."""
    OWN = "own"
    """Also by what is usual for this very device in the mode that it is mostly in."""


@dataclass(frozen=True, slots=True)
class BaselineState:
    """What is usual for this very device, as far as it is known."""

    source: BaselineSource
    reason: BaselineReason | None = None
    """Why it has no settled baseline of its own that counts; None where it has."""
    progress: float = 0.0
    """0 to 1: of the normal hours in its usual mode that a settled one is made of."""
    until: datetime | None = None
    """When it will be settled if it goes on as so far, by the device's clock (UTC); None where that cannot be told."""


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
    baseline: BaselineState | None = None
    """What it is judged by, in whatever state; None where its type has no model."""
