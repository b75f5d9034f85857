"""What the API must be told by the rest of the service; knows no HTTP and no database."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.alerts import Alert, Status
from monitor.fleet import DeviceState
from monitor.maintenance import Logged, Maintenance
from monitor.outbox import Delivery, Page


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of being alive or ready."""

    name: str
    """Of a small fixed set, such as `broker`, `database`, `models`: it is a metric label."""
    passes: bool
    reason: str = ""
    """Where it does not pass: what is wrong, in one line without secrets."""


class Health(Protocol):
    """Whether the service is alive (else restart it) and ready (else send it no work)."""

    def live(self) -> Sequence[Check]: ...

    def ready(self) -> Sequence[Check]: ...


class FleetView(Protocol):
    """The devices of the partitions that this worker has."""

    def devices(self) -> Sequence[DeviceState]:
        """Every device, in any order."""
        ...

    def device(self, device: str) -> DeviceState | None: ...

    def now_ms(self) -> int:
        """The stream's time, ms since the epoch."""
        ...


class AlertStore(Protocol):
    """Alerts and their deliveries as they are kept; `monitor.outbox.Outbox` is one.

    Every method raises OutboxUnavailableError while the database is away.
    """

    async def alerts(
        self,
        *,
        status: Status | Sequence[Status] | None = None,
        device: str | None = None,
        severity: str | None = None,
        kind: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Alert]:
        """The latest started first.

        Raises:
            InvalidCursorError: `before` was not the `next` of a page.
        """
        ...

    async def alert(self, alert_id: uuid.UUID) -> Alert | None: ...

    async def explanation(self, alert_id: uuid.UUID) -> bytes | None:
        """For `monitor.explanations.read`; None where there is nothing."""
        ...

    async def acknowledge(self, alert_id: uuid.UUID, by: str, note: str, now_ms: int) -> Alert:
        """The first acknowledgement stands, whoever comes later.

        Raises:
            UnknownAlertError: no such alert.
        """
        ...

    async def deliveries(self, alert_id: uuid.UUID) -> Sequence[Delivery]: ...

    async def failures(self, limit: int = 100, after: int | None = None) -> Sequence[Delivery]:
        """Those given up, oldest first."""
        ...

    async def replay(self, delivery_id: int, by: str, now_ms: int) -> None:
        """Send it again; its target is switched on if it was off.

        Raises:
            UnknownDeliveryError: no such delivery, or it is being sent right now.
        """
        ...

    async def discard(self, delivery_id: int, by: str, now_ms: int) -> None:
        """It need not arrive.

        Raises:
            UnknownDeliveryError: no such delivery, or it is being sent right now.
        """
        ...

    async def maintain(self, entry: Maintenance, now_ms: int) -> Logged:
        """Keep that a device was serviced; said twice it is kept once."""
        ...

    async def maintenance(self, device: str, limit: int = 50) -> Sequence[Logged]:
        """The latest entries of a device, latest first."""
        ...
