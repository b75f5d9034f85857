"""What the API answers and takes, besides `monitor.alerts.Alert`; the OpenAPI document is made of it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.alerts import Alert, EventType
from monitor.fleet import DeviceStatus
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


class Device(Schema):
    """One device, as it stands now."""

    device: Annotated[str, Field(examples=["SN-1042"])]
    type: Annotated[str, Field(examples=["infusion-pump"])]
    state: DeviceStatus
    """learning: too new to be judged. alarming: an episode is open. silent: nothing came for too long."""
    last_seen: datetime
    """When its newest sample was taken, by the device's clock."""
    anomaly: Annotated[float | None, Field(examples=[0.41])] = None
    """Of the newest window; 1.0 is the threshold. null before the first window."""
    alert_id: str | None = None
    """The alert of the open episode."""


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
