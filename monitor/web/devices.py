"""Routes about devices: how they stand, and what a person says was done with one."""

from collections.abc import Callable
from datetime import datetime
from heapq import nsmallest
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Query

from monitor.alerts import milliseconds, moment
from monitor.fleet import DeviceState, DeviceStatus
from monitor.maintenance import Logged, Maintenance
from monitor.web.ports import AlertStore, FleetView
from monitor.web.problems import ProblemError, ProblemKind, documented
from monitor.web.schemas import (
    Device,
    DeviceId,
    DevicePage,
    DeviceType,
    MaintenanceAccepted,
    MaintenanceEntry,
    MaintenanceLog,
    MaintenanceRequest,
)

NamedDevice = Annotated[DeviceId, Path(description="As it calls itself in its telemetry.")]

log = structlog.get_logger(__name__)


def maintenance(
    prefix: str, store: AlertStore, fleet: FleetView, now: Callable[[], datetime], woken: Callable[[], None]
) -> APIRouter:
    """`/devices/{device_id}/maintenance` below `prefix`; comes before `devices`, whose ids may hold slashes."""
    router = APIRouter(prefix=f"{prefix}/devices", tags=["devices"])

    @router.get(
        "/{device_id:path}/maintenance",
        responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def read_maintenance(
        device_id: NamedDevice,
        limit: Annotated[int, Query(ge=1, le=500, description="Entries at most.")] = 50,
    ) -> MaintenanceLog:
        """What was said to have been done with a device, the latest first."""
        rows = await store.maintenance(device_id, limit)
        return MaintenanceLog(items=[MaintenanceEntry(**_entry(row)) for row in rows])

    @router.post(
        "/{device_id:path}/maintenance",
        status_code=HTTPStatus.ACCEPTED,
        responses=documented(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    )
    async def record_maintenance(device_id: NamedDevice, request: MaintenanceRequest) -> MaintenanceAccepted:
        """Say that a device was serviced.

        Its open episode ends, and readings from before now count no more; with `rebaseline`, what is usual for this
        very device is learned anew. It is kept at once and applied by the worker that watches the device, once, in the
        stream's time `effective_at`, also after a crash or when another worker takes the device over.
        """
        at = now() if request.at is None else request.at
        if at > now():
            raise _in_the_future(at)
        entry = Maintenance(
            device=device_id,
            by=request.by,
            at_ms=milliseconds(at),
            effective_ms=fleet.now_ms(),
            note=request.note,
            rebaseline=request.rebaseline,
        )
        kept = await store.maintain(entry, milliseconds(now()))
        woken()
        log.info("device serviced", device=device_id, by=request.by, rebaseline=request.rebaseline)
        return MaintenanceAccepted(**_entry(kept), watched_here=fleet.device(device_id) is not None)

    return router


def _entry(row: Logged) -> dict[str, Any]:
    entry = row.entry
    return {
        "id": entry.id,
        "device": entry.device,
        "by": entry.by,
        "at": moment(entry.at_ms),
        "note": entry.note,
        "rebaseline": entry.rebaseline,
        "effective_at": moment(entry.effective_ms),
        "recorded_at": moment(row.recorded_ms),
        "applied_at": None if row.applied_at_ms is None else moment(row.applied_at_ms),
    }


def _in_the_future(at: datetime) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        ProblemKind.INVALID_REQUEST,
        f"body.at: {at.isoformat()} is in the future.",
        "Say it once the work is done, or leave `at` out.",
    )


def devices(prefix: str, fleet: FleetView) -> APIRouter:
    """`/devices` and `/devices/{device_id}` below `prefix`."""
    router = APIRouter(prefix=f"{prefix}/devices", tags=["devices"])

    @router.get("", responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY))
    async def list_devices(
        type: Annotated[DeviceType | None, Query(description="Only of this type.")] = None,  # noqa: A002 - its name in the query
        state: Annotated[DeviceStatus | None, Query(description="Only in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Devices on one page.")] = 100,
        after: Annotated[DeviceId | None, Query(description="`next` of the page before.")] = None,
    ) -> DevicePage:
        """The devices that this worker watches, in the order of their ids."""
        found = [
            device
            for device in fleet.devices()
            if type in (None, device.type) and state in (None, device.state)
        ]
        return _page(found, after, limit)

    @router.get(
        "/{device_id:path}",
        responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    async def read_device(device_id: NamedDevice) -> Device:
        """One device, as it stands now."""
        device = fleet.device(device_id)
        if device is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                ProblemKind.NO_SUCH_DEVICE,
                f"This worker watches no device {device_id!r}.",
                "List the devices at /api/v1/devices; with several workers, ask the one that has its partition.",
            )
        return Device.model_validate(device)

    return router


def _page(found: list[DeviceState], after: str | None, limit: int) -> DevicePage:
    rest = (device for device in found if after is None or device.device > after)
    # One more than asked for says whether there is a next page.
    first = nsmallest(limit + 1, rest, key=lambda device: device.device)
    items = [Device.model_validate(device) for device in first[:limit]]
    return DevicePage(items=items, total=len(found), next=items[-1].device if len(first) > limit else None)
