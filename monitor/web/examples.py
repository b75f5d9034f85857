"""Examples for the OpenAPI document; made of the models themselves, so they cannot be out of date."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from monitor.alerts import (
    Acknowledgement,
    Alert,
    ChannelEvidence,
    DeviceInfo,
    EventType,
    Hypothesis,
    Model,
    Status,
)
from monitor.explanations import AlertExplanation, ExplainedChannel
from monitor.findings import Kind, Severity
from monitor.outbox import JobState
from monitor.web.schemas import AlertDelivery, AlertPage, DeliveryAttempt, DeliveryPage

_STARTED = datetime(2027, 5, 1, 6, 10, tzinfo=UTC)
_DETECTED = _STARTED + timedelta(seconds=50)


def answers(example: BaseModel) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers like this."""
    content = {"application/json": {"example": example.model_dump(mode="json")}}
    return {int(HTTPStatus.OK): {"content": content}}


def alert(acknowledged: bool = False) -> Alert:
    """A pump whose line is about to be occluded."""
    opened = Alert(
        id=UUID("0b7f0a3e-64c5-5b5e-9a57-3f1c2f0f7a11"),
        device=DeviceInfo(id="SN-1042", type="infusion-pump", title="Infusion pump", location="ICU 2, bed 7"),
        kind=Kind.FAULT,
        severity=Severity.WARNING,
        status=Status.OPEN,
        summary=(
            "Downstream line pressure is 61 mmHg above expected (412 against 351) on Infusion pump SN-1042; "
            "Motor current deviates too."
        ),
        started_at=_STARTED,
        detected_at=_DETECTED,
        updated_at=_DETECTED,
        anomaly=2.1,
        peak=2.4,
        channels=(
            _channel("line_pressure_down", "Downstream line pressure", "mm[Hg]", 0.68, 412.0, 351.0),
            _channel("motor_current", "Motor current", "mA", 0.21, 131.0, 118.0),
        ),
        hypotheses=(
            Hypothesis(
                fault="downstream_occlusion",
                title="Downstream occlusion (clot, kink)",
                confidence=0.87,
                action="Check line, clamp and catheter for a kink or clot.",
            ),
        ),
        model=Model(name="infusion-pump", version="1.0.0", digest="3f" * 32),
    )
    who = Acknowledgement(
        by="R. Gupta", at=_DETECTED + timedelta(minutes=2), note="Pump taken out of service."
    )
    return opened.with_acknowledgement(who) if acknowledged else opened


def alerts() -> AlertPage:
    """The last page."""
    return AlertPage(items=[alert()], next=None)


def explanation() -> AlertExplanation:
    """Four rows of two patches."""
    at = _DETECTED
    channel = ExplainedChannel(
        name="line_pressure_down",
        title="Downstream line pressure",
        unit="mm[Hg]",
        values=[352.0, None, 391.0, 412.0],
        expected=[350.0, 350.0, 351.0, 351.0],
        low=[338.0, 338.0, 339.0, 339.0],
        high=[362.0, 362.0, 363.0, 363.0],
        attention=[0.08, 0.6],
    )
    return AlertExplanation(
        alert=alert().id,
        at=at,
        started_at=at - timedelta(seconds=20),
        row_s=5.0,
        rows=4,
        patch_rows=2,
        anomaly=2.4,
        channels=[channel],
    )


def deliveries() -> DeliveryPage:
    """One that arrived at the second attempt."""
    refused = DeliveryAttempt(
        at=_DETECTED,
        outcome="server_error",
        status_code=503,
        detail="503 Service Unavailable",
        duration_s=0.02,
        next_try_at=_DETECTED + timedelta(seconds=1),
    )
    arrived = DeliveryAttempt(
        at=_DETECTED + timedelta(seconds=1),
        outcome="delivered",
        status_code=204,
        detail="",
        duration_s=0.018,
        next_try_at=None,
    )
    delivery = AlertDelivery(
        id=17,
        event_id="msg_5f0c7b1f2a9d5b0f8a3e1c2d4b6a7980",
        alert_id=alert().id,
        type=EventType.OPENED,
        target="engineering",
        state=JobState.DELIVERED,
        created_at=_DETECTED,
        due_at=_DETECTED + timedelta(seconds=1),
        settled_at=arrived.at,
        outcome=arrived.outcome,
        attempts=[refused, arrived],
    )
    return DeliveryPage(items=[delivery])


def _channel(
    name: str, title: str, unit: str, share: float, observed: float, expected: float
) -> ChannelEvidence:
    return ChannelEvidence(
        name=name,
        title=title,
        unit=unit,
        mdc=None,
        share=share,
        attention=share,
        residual=share,
        observed=observed,
        expected=expected,
        direction=1,
        since=_STARTED - timedelta(seconds=40),
    )
