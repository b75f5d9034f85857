"""An alert as people and systems receive it, what happens to it, and the bytes that tell so.

The same alert makes the same ids and bytes. Knows no finding, no database and no network.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from monitor.findings import Kind, Severity

NAMESPACE: Final = uuid.UUID("5b0f7a52-6c0e-5d0b-9a43-0d7f2d5b6f11")
MAX_BODY: Final = 20_000
"""Bytes. Standard Webhooks 1.0 asks for less than 20 kB."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Status(StrEnum):
    """Where an alert stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class EventType(StrEnum):
    """What happened to an alert; the `type` of a webhook."""

    OPENED = "device.alert.opened"
    UPDATED = "device.alert.updated"
    ACKNOWLEDGED = "device.alert.acknowledged"
    RESOLVED = "device.alert.resolved"


class Origin(StrEnum):
    """Who made an event. Each numbers its own, so that a person's click never shifts a replay's numbers."""

    STREAM = "stream"
    PERSON = "person"


class Frozen(BaseModel):
    """A part of an alert: never changed, and made of nothing that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DeviceInfo(Frozen):
    """Which device. No patient is ever named."""

    id: str
    type: str
    title: str = ""
    udi: str | None = None
    """UDI-DI of the model; with the serial number it identifies the device."""
    location: str | None = None


class ChannelEvidence(Frozen):
    """One channel and its part in the alert."""

    name: str
    title: str
    unit: str
    """UCUM."""
    mdc: int | None
    """IEEE 11073-10101 code."""
    share: float
    attention: float
    residual: float
    observed: float | None
    """At the strongest moment so far; null without a reading."""
    expected: float | None
    direction: Annotated[int, Field(ge=-1, le=1)]
    since: datetime | None = None
    """When it began to deviate within this episode; null where the model cannot tell."""


class Hypothesis(Frozen):
    """A known fault of the device type that would explain the alert."""

    fault: str
    title: str
    confidence: float
    """0 to 1; what all known faults leave over is "none of these"."""
    action: str
    """What to do first."""


class Model(Frozen):
    """Which model spoke."""

    name: str
    version: str
    digest: str


class Links(Frozen):
    """Where to look."""

    console: str | None = None
    dashboard: str | None = None


class Acknowledgement(Frozen):
    """Who takes care."""

    by: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    at: datetime
    note: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    """Without the character that PostgreSQL cannot keep."""


class Alert(Frozen):
    """One episode of one device. Times are UTC; `started_at` to `resolved_at` on the device's clock."""

    id: uuid.UUID
    device: DeviceInfo
    kind: Kind
    severity: Severity
    status: Status
    summary: str
    started_at: datetime
    detected_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None
    acknowledged: Acknowledgement | None = None
    anomaly: float
    """Now; 1.0 is the threshold."""
    peak: float
    count: int = 1
    """Devices concerned."""
    channels: tuple[ChannelEvidence, ...] = ()
    """Largest share first."""
    hypotheses: tuple[Hypothesis, ...] = ()
    """The most likely first."""
    model: Model
    links: Links = Links()

    def with_acknowledgement(self, acknowledged: Acknowledgement | None) -> "Alert":
        """The same alert as a person left it; resolved stays resolved."""
        if acknowledged is None:
            return self
        status = Status.RESOLVED if self.status is Status.RESOLVED else Status.ACKNOWLEDGED
        return self.model_copy(update={"acknowledged": acknowledged, "status": status})


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened to an alert, to be recorded once and delivered to every target."""

    alert: Alert
    type: EventType
    number: int
    """From 1, per alert and origin."""
    at_ms: int
    origin: Origin = Origin.STREAM
    targets: tuple[str, ...] | None = None
    """Only these targets; None: all."""

    @property
    def id(self) -> str:
        """The same for the same event, whoever computes it: the `webhook-id`."""
        return f"msg_{uuid.uuid5(self.alert.id, f'{self.origin}/{self.number}').hex}"


class _Envelope(Frozen):
    type: EventType
    timestamp: datetime
    data: Alert


def alert_id(device: str, model_name: str, started_t: int) -> uuid.UUID:
    """UUIDv5 of (device, model, episode start in ms)."""
    return uuid.uuid5(NAMESPACE, f"{device}\n{model_name}\n{started_t}")


def body(event: AlertEvent) -> bytes:
    """The webhook's bytes; channels of the smallest share go first where they would be too many."""
    alert = event.alert
    while True:
        envelope = _Envelope(type=event.type, timestamp=moment(event.at_ms), data=alert)
        rendered = envelope.model_dump_json().encode()
        if len(rendered) < MAX_BODY or not alert.channels:
            return rendered
        alert = alert.model_copy(update={"channels": alert.channels[:-1]})


def moment(t_ms: int) -> datetime:
    """Milliseconds since the epoch as UTC; a device's clock may be absurd, so it is held in years 1–9999."""
    lowest, highest = -62_135_596_800_000, 253_402_300_799_000
    return _EPOCH + timedelta(milliseconds=min(max(t_ms, lowest), highest))


def milliseconds(at: datetime) -> int:
    """Since the epoch; exact, where a float would be off by one."""
    return (at - _EPOCH) // timedelta(milliseconds=1)
