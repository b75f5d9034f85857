"""Routes about devices."""

from heapq import nsmallest
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from monitor.fleet import DeviceState, DeviceStatus
from monitor.web.ports import FleetView
from monitor.web.problems import ProblemError, ProblemKind, documented
from monitor.web.schemas import Device, DeviceId, DevicePage, DeviceType


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
    async def read_device(
        device_id: Annotated[DeviceId, Path(description="As it calls itself in its telemetry.")],
    ) -> Device:
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
