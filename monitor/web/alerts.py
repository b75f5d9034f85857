"""Routes about alerts: find, read, acknowledge, see what became of their deliveries."""

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime

from monitor.alerts import Alert, EventType, Status, milliseconds
from monitor.explanations import AlertExplanation, ExplanationError, read
from monitor.findings import Kind, Severity
from monitor.metrics import Metrics
from monitor.outbox import InvalidCursorError, UnknownAlertError
from monitor.web import examples
from monitor.web.deliveries import shown
from monitor.web.ports import AlertStore
from monitor.web.problems import ProblemError, ProblemKind, documented
from monitor.web.schemas import (
    AcknowledgeRequest,
    AlertPage,
    DeliveryPage,
    DeviceId,
)

AlertId = Annotated[UUID, Path(description="The alert's id.")]
Statuses = Annotated[
    list[Status] | None, Query(description="Only in one of these states; may be given several times.")
]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
Since = Annotated[
    AwareDatetime | None,
    Query(
        description="Only alerts that started then or later (RFC 3339, with time zone).",
        examples=["2027-05-01T06:00:00Z"],
    ),
]

log = structlog.get_logger(__name__)


def alerts(
    prefix: str, store: AlertStore, metrics: Metrics, now: Callable[[], datetime], woken: Callable[[], None]
) -> APIRouter:
    """`/alerts` below `prefix`, one of them, its deliveries, and its acknowledgement."""
    router = APIRouter(prefix=f"{prefix}/alerts", tags=["alerts"])

    @router.get(
        "",
        responses=examples.answers(examples.alerts())
        | documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def list_alerts(
        status: Statuses = None,
        device: Annotated[DeviceId | None, Query(description="Only of this device.")] = None,
        severity: Annotated[Severity | None, Query(description="Only of this severity.")] = None,
        kind: Annotated[Kind | None, Query(description="Only of this kind.")] = None,
        since: Since = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Alerts on one page.")] = 50,
        before: Cursor = None,
    ) -> AlertPage:
        """Alerts, the latest started first."""
        try:
            page = await store.alerts(
                status=status or None, device=device, severity=severity, kind=kind, limit=limit, before=before
            )
        except InvalidCursorError:
            raise _invalid_cursor() from None
        return _since(page.items, page.next, since)

    @router.get("/{alert_id}", responses=examples.answers(examples.alert()) | _documented())
    async def read_alert(alert_id: AlertId) -> Alert:
        """One alert, with the channels that most likely caused it, largest share first."""
        return _found(await store.alert(alert_id), alert_id)

    @router.get("/{alert_id}/deliveries", responses=examples.answers(examples.deliveries()) | _documented())
    async def list_deliveries(alert_id: AlertId) -> DeliveryPage:
        """Who was told of the alert, who was not, and every attempt with its outcome."""
        _found(await store.alert(alert_id), alert_id)
        return DeliveryPage(items=[shown(row) for row in await store.deliveries(alert_id)])

    @router.get("/{alert_id}/explanation", responses=examples.answers(examples.explanation()) | _documented())
    async def read_explanation(alert_id: AlertId) -> AlertExplanation:
        """What stands behind the alert: the window that opened it, or the strongest since, reading by reading.

        With what was expected of each channel, the band in which a healthy device's readings nearly always lie, and
        how much attention each channel got in each stretch of time. `attendant explain` draws it. 404 where
        nothing was kept: the device was silent, or its model explains nothing.
        """
        alert = _found(await store.alert(alert_id), alert_id)
        kept = await store.explanation(alert_id)
        if kept is None:
            raise _unexplained(alert)
        try:
            return read(alert_id, kept)
        except ExplanationError as error:
            log.warning("explanation cannot be read", alert=str(alert_id), reason=str(error))
            raise _unexplained(alert) from None

    @router.post(
        "/{alert_id}/acknowledge",
        responses=_documented(
            HTTPStatus.CONFLICT, HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        ),
    )
    async def acknowledge_alert(alert_id: AlertId, request: AcknowledgeRequest) -> Alert:
        """Say that somebody takes care; every target is told.

        Saying it again under the same name changes nothing and answers the same. 409 where somebody else
        takes care already, or where the alert has resolved.
        """
        alert = await _acknowledge(store, metrics, alert_id, request, now())
        woken()
        return alert

    return router


async def _acknowledge(
    store: AlertStore, metrics: Metrics, alert_id: UUID, request: AcknowledgeRequest, at: datetime
) -> Alert:
    before = _found(await store.alert(alert_id), alert_id)
    if before.acknowledged is None and before.status is Status.RESOLVED:
        raise _resolved(before)
    try:
        alert = await store.acknowledge(alert_id, request.by, request.note, milliseconds(at))
    except UnknownAlertError:
        raise _unknown(alert_id) from None
    if alert.acknowledged is None or alert.acknowledged.by != request.by:
        raise _taken(alert)
    if before.acknowledged is None:
        metrics.record_alert_event(EventType.ACKNOWLEDGED, alert.severity)
        log.info("alert acknowledged", alert=str(alert_id), device=alert.device.id, by=request.by)
    return alert


def _since(items: Sequence[Alert], cursor: str | None, since: datetime | None) -> AlertPage:
    """The latest come first, so the first one that is too old ends the list."""
    young = [alert for alert in items if since is None or alert.started_at >= since]
    return AlertPage(items=young, next=cursor if len(young) == len(items) else None)


def _documented(*more: HTTPStatus) -> dict[int | str, dict[str, object]]:
    return documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE, *more
    )


def _found(alert: Alert | None, alert_id: UUID) -> Alert:
    if alert is None:
        raise _unknown(alert_id)
    return alert


def _unknown(alert_id: UUID) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        ProblemKind.NO_SUCH_ALERT,
        f"There is no alert {alert_id}.",
        "List the alerts at /api/v1/alerts; resolved ones past the retention time are removed.",
    )


def _unexplained(alert: Alert) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        ProblemKind.NO_EXPLANATION,
        f"There is no explanation of alert {alert.id} ({alert.kind}).",
        "Only faults found by a model that explains itself have one, and only those found since it was brought in.",
    )


def _resolved(alert: Alert) -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT,
        ProblemKind.ALERT_RESOLVED,
        f"The alert resolved at {alert.resolved_at:%Y-%m-%d %H:%M:%S} UTC, so there is nothing left to take care of.",
        "Nothing needs to be done.",
    )


def _taken(alert: Alert) -> ProblemError:
    by, at = (
        (alert.acknowledged.by, alert.acknowledged.at)
        if alert.acknowledged
        else ("somebody", alert.updated_at)
    )
    return ProblemError(
        HTTPStatus.CONFLICT,
        ProblemKind.ALERT_ACKNOWLEDGED,
        f"{by} acknowledged the alert at {at:%Y-%m-%d %H:%M:%S} UTC.",
        f"Speak with {by}; the first acknowledgement stands.",
    )


def _invalid_cursor() -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        ProblemKind.INVALID_CURSOR,
        "query.before: this is not the `next` of a page.",
        "Begin without `before`, then give each page's `next`.",
    )
