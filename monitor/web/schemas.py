"""What the API answers and takes, besides `monitor.alerts.Alert`; the OpenAPI document is made of it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from monitor.alerts import Alert, EventType
from monitor.findings import BaselineReason
from monitor.fleet import BaselineSource, DeviceStatus, LearningReason
from monitor.outbox import JobState

# Neither can be typed by a person nor stored in PostgreSQL.
NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
DeviceId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NO_CONTROL)]
DeviceType = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9-]*$")]


class Schema(BaseModel):
    """The text below a field is its description in the OpenAPI document."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, from_attributes=True)


class HealthCheck(Schema):
    """One condition of being alive or ready."""

    name: Annotated[str, Field(examples=["broker"])]
    passes: bool
    reason: Annotated[str, Field(examples=["no answer from kafka:9092 for 12 s"])] = ""
    """Where it does not pass: what is wrong."""


class HealthReport(Schema):
    """Whether the service is alive, or ready."""

    passes: bool
    """Whether every check does."""
    checks: list[HealthCheck]


class Learning(Schema):
    """How far a learning device is."""

    reason: LearningReason
    progress: Annotated[float, Field(ge=0, le=1, examples=[0.35])]
    until: Annotated[datetime | None, Field(examples=["2027-05-01T12:00:00Z"])]
    """When it will be done if it goes on as so far, by the device's clock; null where that cannot be told."""


class Baseline(Schema):
    """What is usual for this very device, as far as it is known."""

    source: BaselineSource
    """type: it is judged by what is usual for its type alone. own: also by what is usual for this very device, in the
    mode that it is mostly in."""
    reason: Annotated[BaselineReason | None, Field(examples=["seldom in one mode"])]
    """Why it has no settled baseline of its own that counts; null where it has."""
    progress: Annotated[float, Field(ge=0, le=1, examples=[0.35])]
    """Of the normal hours in its usual mode that a settled baseline is made of."""
    until: Annotated[datetime | None, Field(examples=["2027-05-01T12:00:00Z"])]
    """When it will be settled if it goes on as so far, by the device's clock; null where that cannot be told."""


class Device(Schema):
    """One device, as it stands now."""

    device: Annotated[str, Field(examples=["SN-1042"])]
    type: Annotated[str, Field(examples=["infusion-pump"])]
    state: DeviceStatus
    """learning: judged already, but by less than a full window, or a settled baseline of its own is on its way. A
    device that seldom teaches becomes normal all the same, and `baseline` says why it has none. alarming: an episode is
    open. silent: nothing came for too long."""
    last_seen: datetime
    """When its newest sample was taken, by the device's clock."""
    anomaly: Annotated[float | None, Field(examples=[0.41])] = None
    """Of the newest window; 1.0 is the threshold. null before the first window."""
    alert_id: str | None = None
    """The alert of the open episode."""
    learning: Learning | None = None
    """Where the state is `learning`: why, and until when."""
    baseline: Baseline | None = None
    """What it is judged by, in whatever state; null where its type has no model."""


class DevicePage(Schema):
    """Devices in the order of their ids."""

    items: list[Device]
    total: int
    """How many devices the filter matches."""
    next: str | None
    """Give it as `after` for the next page; null on the last."""


class AlertPage(Schema):
    """Alerts, newest first."""

    items: list[Alert]
    next: str | None
    """Give it as `before` for the next page; null on the last."""


class Signature(Schema):
    """Who says so."""

    model_config = ConfigDict(
        extra="forbid", str_strip_whitespace=True, json_schema_extra={"examples": [{"by": "R. Gupta"}]}
    )

    by: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_CONTROL)]
    """The name of a person or a system, not of a patient."""


class AcknowledgeRequest(Signature):
    """Who takes care of the device, and what for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"by": "R. Gupta", "note": "Pump taken out of service."}]}
    )

    note: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    """What was seen or done."""


class MaintenanceRequest(Signature):
    """Who serviced the device, when, and what was done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"by": "R. Gupta", "note": "Pressure sensor replaced.", "rebaseline": True}]
        }
    )

    at: AwareDatetime | None = None
    """When the work was done (RFC 3339, with time zone); now, if left out. Give it if the request may be repeated:
    the same work said again is kept once."""
    note: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    """What was done."""
    rebaseline: bool = False
    """Whether what is usual for this very device is to be learned anew, as after the exchange of a sensor."""


class MaintenanceEntry(Schema):
    """One entry of a device's maintenance log."""

    id: UUID
    device: Annotated[str, Field(examples=["SN-1042"])]
    by: str
    at: datetime
    """When the work was done."""
    note: str
    rebaseline: bool
    effective_at: datetime
    """In the stream's time: readings from before then count no more, and an open episode has ended."""
    recorded_at: datetime
    applied_at: datetime | None
    """The stream's time at which it took effect; null until the worker that watches the device has applied it."""


class MaintenanceAccepted(MaintenanceEntry):
    """The entry as it is kept."""

    watched_here: bool
    """Whether the worker that answers watches the device. If not, the one that does will apply it; if none does,
    it waits, so check the device's id."""


class MaintenanceLog(Schema):
    """The latest entries of a device's maintenance log, latest first."""

    items: list[MaintenanceEntry]


class DeliveryAttempt(Schema):
    """One try to hand an event to its target."""

    at: datetime
    outcome: Annotated[str, Field(examples=["timeout"])]
    status_code: int | None
    """Of the target's answer, where it gave one."""
    detail: str
    duration_s: float
    next_try_at: datetime | None
    """When it is tried again; null where it is not."""


class AlertDelivery(Schema):
    """One event of the alert on its way to one target."""

    id: int
    event_id: str
    """The `webhook-id`: the same at every attempt."""
    alert_id: UUID
    type: EventType
    target: Annotated[str, Field(examples=["engineering"])]
    state: JobState
    """parked: refused for good, or given up after 72 hours; it waits for a person and is never dropped."""
    created_at: datetime
    due_at: datetime
    settled_at: datetime | None
    outcome: str | None
    """How the last attempt ended."""
    attempts: list[DeliveryAttempt]


class DeliveryPage(Schema):
    """All deliveries of an alert, in the order in which they were recorded."""

    items: list[AlertDelivery]


class ParkedPage(Schema):
    """Deliveries that were given up, oldest first."""

    items: list[AlertDelivery]
    next: int | None
    """Give it as `after` for the next page; null on the last."""


class ModelCard(Schema):
    """A trained model in use."""

    type: Annotated[str, Field(examples=["infusion-pump"])]
    """The device type that it judges."""
    version: Annotated[str, Field(examples=["1"])]
    digest: str
    """SHA-256 of the weights, hexadecimal."""
    channels: list[str]
    """In the order of the model's inputs."""
    window_rows: int
    """Rows of the grid that it looks at together."""


class ModelPage(Schema):
    """The models in use, by device type."""

    items: list[ModelCard]


class Info(Schema):
    """What is running."""

    name: Annotated[str, Field(examples=["attendant"])]
    version: Annotated[str, Field(examples=["0.1.0"])]
    started_at: datetime
    notice: str
    """What this service is not."""
