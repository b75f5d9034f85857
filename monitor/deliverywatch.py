"""Alerts about alerts: what a target does not get is told to the other targets. Knows no schedule."""

from collections.abc import Sequence

from models.scoring import ModelIdentity
from monitor.alerts import Alert, AlertBook, AlertEvent, Status, milliseconds
from monitor.findings import Action, Finding, Kind, Reason, Severity
from monitor.outbox import Outbox, Stuck, Work

_WATCH = ModelIdentity(name="delivery", version="1", digest="")
_TYPE = "target"


async def watch_deliveries(
    outbox: Outbox, targets: Sequence[str], now_ms: int, stuck_after_s: float
) -> Sequence[AlertEvent]:
    """Open an alert for each target that is stuck, resolve those that are not any more; what was new.

    Remembers nothing: what is open stands in the outbox, and ids are made of the target and the oldest delivery
    that waits, so that several workers say it once.

    Raises:
        OutboxUnavailableError: the database is away.
    """
    stuck = {row.target: row for row in await outbox.stuck(now_ms, stuck_after_s) if row.target in targets}
    found = await outbox.alerts(kind=Kind.DELIVERY, status=[Status.OPEN, Status.ACKNOWLEDGED], limit=500)
    told = {alert.device.id: alert for alert in found.items}
    events = [_opened(row, targets, now_ms) for name, row in stuck.items() if name not in told]
    events += [_resolved(alert, targets, now_ms) for name, alert in told.items() if name not in stuck]
    if not events:
        return ()
    return (await outbox.record(Work(events=events, now_ms=now_ms))).events


def _others(name: str, targets: Sequence[str]) -> tuple[str, ...]:
    return tuple(target for target in targets if target != name)


def _opened(row: Stuck, targets: Sequence[str], now_ms: int) -> AlertEvent:
    finding = _finding(Action.OPEN, Reason.UNDELIVERED, row.target, row.oldest_ms, now_ms, row.count)
    return _applied(AlertBook({}), finding, targets)


def _resolved(alert: Alert, targets: Sequence[str], now_ms: int) -> AlertEvent:
    book = AlertBook({})
    book.adopt(alert, 1)
    started = milliseconds(alert.started_at)
    finding = _finding(Action.RESOLVE, Reason.DELIVERED, alert.device.id, started, now_ms, alert.count)
    return _applied(book, finding, targets)


def _applied(book: AlertBook, finding: Finding, targets: Sequence[str]) -> AlertEvent:
    event = book.apply(finding)
    if event is None:
        raise AssertionError("a book of its own takes every finding")
    return AlertEvent(
        event.alert, event.type, event.number, event.at_ms, targets=_others(finding.device, targets)
    )


def _finding(action: Action, reason: Reason, target: str, started: int, now_ms: int, count: int) -> Finding:
    return Finding(
        kind=Kind.DELIVERY,
        action=action,
        reason=reason,
        severity=Severity.CRITICAL,
        device=target,
        device_type=_TYPE,
        started_t=started,
        at_t=now_ms,
        anomaly=1.0 if action is Action.OPEN else 0.0,
        peak=1.0,
        evidence=(),
        model=_WATCH,
        count=count,
    )
