"""What a demo run showed: injected faults against delivered alerts. Pure; all times ms on the stream's clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitor.receiver import Received

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was really there."""

    device: str
    type: str
    fault: str
    severity: float | None
    onset_ms: int
    end_ms: int | None
    """None: it lasts to the end of the run."""
    channels: tuple[str, ...]
    """Most affected first."""


@dataclass(frozen=True, slots=True)
class Told:
    """One alert as the receiver knows it: when it first came, and what it said last."""

    device: str
    kind: str
    started_ms: int
    detected_ms: int
    delivered_ms: int
    reason: str
    ranked: tuple[Mapping[str, Any], ...]


def told_alerts(received: Iterable[Received]) -> list[Told]:
    """One entry an alert, in the order of first arrival."""
    first: dict[str, Received] = {}
    last: dict[str, Received] = {}
    for delivery in received:
        first.setdefault(delivery.alert["id"], delivery)
        last[delivery.alert["id"]] = delivery
    return [_told(first[alert], last[alert]) for alert in first]


def _told(first: Received, last: Received) -> Told:
    alert = first.alert
    channels = last.alert["channels"]
    return Told(
        device=alert["device"]["id"],
        kind=alert["kind"],
        started_ms=_ms(alert["started_at"]),
        detected_ms=_ms(alert["detected_at"]),
        delivered_ms=first.at_ms,
        reason=last.alert["summary"],
        ranked=tuple({"channel": c["name"], "share": round(c["share"], 4)} for c in channels),
    )


def match(
    faults: Sequence[Injected], alerts: Sequence[Told], grace_ms: int = 0
) -> tuple[list[Told | None], list[Told]]:
    """The alert that detected each fault (None: missed), and the false ones.

    An alert belongs to a fault of its device when it was detected between the fault's onset and its end (plus
    `grace_ms`, since windows still hold the fault). An alert before the onset is false, however soon the fault follows.
    """
    detected: list[Told | None] = [None] * len(faults)
    false = []
    for alert in sorted(alerts, key=lambda a: a.detected_ms):
        owner = next((i for i, fault in enumerate(faults) if _within(alert, fault, grace_ms)), None)
        if owner is None:
            false.append(alert)
        elif detected[owner] is None:
            detected[owner] = alert
    return detected, false


def _within(alert: Told, fault: Injected, grace_ms: int) -> bool:
    end = float("inf") if fault.end_ms is None else fault.end_ms + grace_ms
    return alert.device == fault.device and fault.onset_ms <= alert.detected_ms <= end


def fault_rows(faults: Sequence[Injected], detected: Sequence[Told | None]) -> list[Json]:
    """The `faults` of the report."""
    return [
        {
            "device": fault.device,
            "type": fault.type,
            "fault": fault.fault,
            "severity": fault.severity,
            "onset": iso(fault.onset_ms),
            "detected_at": None if alert is None else iso(alert.detected_ms),
            "delivered_at": None if alert is None else iso(alert.delivered_ms),
            "channels": list(fault.channels),
            "ranked": [] if alert is None else [dict(row) for row in alert.ranked],
        }
        for fault, alert in zip(faults, detected, strict=True)
    ]


def false_rows(false: Sequence[Told]) -> list[Json]:
    """The `false_alerts` of the report."""
    return [{"device": a.device, "started_at": iso(a.started_ms), "reason": a.reason} for a in false]


def iso(ms: int) -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
