"""Routes about deliveries that were given up: see them, send them again, set them aside."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Query

from monitor.alerts import EventType, milliseconds, moment
from monitor.outbox import Attempt, Delivery, UnknownDeliveryError
from monitor.web.ports import AlertStore
from monitor.web.problems import ProblemError, ProblemKind, documented
from monitor.web.schemas import AlertDelivery, DeliveryAttempt, ParkedPage, Signature

LARGEST = 2**63 - 1
"""Of the ids that a database gives."""
DeliveryId = Annotated[int, Path(ge=1, le=LARGEST, description="The delivery's id.")]
TURNED = documented(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

log = structlog.get_logger(__name__)


def deliveries(
    prefix: str, store: AlertStore, now: Callable[[], datetime], woken: Callable[[], None]
) -> APIRouter:
    """`/deliveries` below `prefix`, and what a person can do with one of them."""
    router = APIRouter(prefix=f"{prefix}/deliveries", tags=["deliveries"])

    @router.get("", responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
    async def list_parked(
        limit: Annotated[int, Query(ge=1, le=500, description="Deliveries on one page.")] = 50,
        after: Annotated[
            int | None, Query(ge=0, le=LARGEST, description="`next` of the page before.")
        ] = None,
    ) -> ParkedPage:
        """Deliveries that were refused for good or given up, oldest first. None of them is ever dropped."""
        rows = await store.failures(limit + 1, after)
        items = [shown(row) for row in rows[:limit]]
        return ParkedPage(items=items, next=items[-1].id if len(rows) > limit else None)

    @router.post("/{delivery_id}/replay", status_code=HTTPStatus.NO_CONTENT, responses=TURNED)
    async def replay_delivery(delivery_id: DeliveryId, request: Signature) -> None:
        """Send the same bytes under the same id again, on a fresh schedule of tries.

        A target that was switched off because it answered 410 Gone is switched on again.
        """
        try:
            await store.replay(delivery_id, request.by, milliseconds(now()))
        except UnknownDeliveryError:
            raise _unknown(delivery_id) from None
        woken()
        log.info("delivery replayed", delivery=delivery_id, by=request.by)

    @router.post("/{delivery_id}/discard", status_code=HTTPStatus.NO_CONTENT, responses=TURNED)
    async def discard_delivery(delivery_id: DeliveryId, request: Signature) -> None:
        """Say that it need not arrive any more; its attempts, and who said so, stay on record."""
        try:
            await store.discard(delivery_id, request.by, milliseconds(now()))
        except UnknownDeliveryError:
            raise _unknown(delivery_id) from None
        # What waits behind it, of the same alert, may go now.
        woken()
        log.info("delivery discarded", delivery=delivery_id, by=request.by)

    return router


def shown(row: Delivery) -> AlertDelivery:
    """A delivery as the API answers it."""
    return AlertDelivery(
        id=row.id,
        event_id=row.event_id,
        alert_id=row.alert_id,
        type=EventType(row.type),
        target=row.target,
        state=row.state,
        created_at=moment(row.created_ms),
        due_at=moment(row.due_ms),
        settled_at=None if row.settled_ms is None else moment(row.settled_ms),
        outcome=row.outcome,
        attempts=[_attempt(attempt) for attempt in row.attempts],
    )


def _attempt(attempt: Attempt) -> DeliveryAttempt:
    return DeliveryAttempt(
        at=moment(attempt.at_ms),
        outcome=attempt.outcome,
        status_code=attempt.status_code,
        detail=attempt.detail,
        duration_s=attempt.duration_ms / 1000,
        next_try_at=None if attempt.next_try_ms is None else moment(attempt.next_try_ms),
    )


def _unknown(delivery_id: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        ProblemKind.NO_SUCH_DELIVERY,
        f"There is no delivery {delivery_id}, or it is being sent right now.",
        "List those that were given up at /api/v1/deliveries, those of one alert below the alert.",
    )
