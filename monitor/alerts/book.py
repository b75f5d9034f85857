"""Findings → alerts: the book that numbers their events.

Deterministic: the same findings make the same ids, numbers and bytes, so a replay repeats and invents nothing.
Knows no database and no network.
"""

import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from models.scoring import ModelIdentity
from monitor.alerts.alert import (
    Alert,
    AlertEvent,
    ChannelEvidence,
    DeviceInfo,
    EventType,
    Frozen,
    Hypothesis,
    Links,
    Model,
    Status,
    alert_id,
    moment,
)
from monitor.alerts.summary import summarize
from monitor.findings import Action, Evidence, Finding, SnapshotError
from streams.devices import DeviceProfile

_TITLE_LENGTH, _ACTION_LENGTH = 120, 500
_TYPES = {
    Action.OPEN: EventType.OPENED,
    Action.UPDATE: EventType.UPDATED,
    Action.RESOLVE: EventType.RESOLVED,
}


class LinkSettings(Frozen):
    """Bases of the links in an alert; none, no link."""

    console_url: str | None = None
    """`https://attendant.example`; the alert's id is appended."""
    dashboard_url: str | None = None
    """A Grafana dashboard; `var-device`, `from` and `to` are appended."""


@dataclass(frozen=True, slots=True)
class _Entry:
    alert: Alert
    number: int


_SAVED = TypeAdapter(list[tuple[Alert, int]])


class AlertBook:
    """Open alerts of one partition and the number of their last event."""

    def __init__(
        self,
        profiles: Mapping[str, DeviceProfile],
        links: LinkSettings | None = None,
        directory: Callable[[str], DeviceInfo | None] | None = None,
    ) -> None:
        """`directory` answers what is known of a device besides its id (UDI, location)."""
        self._profiles = profiles
        self._links = links or LinkSettings()
        self._directory = directory or (lambda _: None)
        self._open: dict[uuid.UUID, _Entry] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open_alerts(self) -> Iterable[Alert]:
        """Those not resolved."""
        return (entry.alert for entry in self._open.values())

    def apply(self, finding: Finding) -> AlertEvent | None:
        """Take a finding; None where it changes nothing (opened already, or never opened here)."""
        key = alert_id(finding.device, finding.model.name, finding.started_t)
        entry = self._open.get(key)
        if (finding.action is Action.OPEN) == (entry is not None):
            return None
        alert = self._alert(key, finding, entry)
        number = entry.number + 1 if entry else 1
        if finding.action is Action.RESOLVE:
            del self._open[key]
        else:
            self._open[key] = _Entry(alert, number)
        return AlertEvent(alert, _TYPES[finding.action], number, finding.at_t)

    def adopt(self, alert: Alert, number: int) -> None:
        """Go on with an alert that another book opened; `number` is that of its last event."""
        self._open[alert.id] = _Entry(alert, number)

    def snapshot(self) -> bytes:
        """A copy of the open alerts."""
        return _SAVED.dump_json([(entry.alert, entry.number) for entry in self._open.values()])

    def restore(self, data: bytes) -> None:
        """Go on where `snapshot` was taken.

        Raises:
            SnapshotError: damaged, or of another version.
        """
        try:
            saved = _SAVED.validate_json(data)
        except ValidationError as error:
            raise SnapshotError(f"alert book cannot be read: {error.errors()[0]['msg']}") from None
        self._open = {alert.id: _Entry(alert, number) for alert, number in saved}

    def _alert(self, key: uuid.UUID, finding: Finding, entry: _Entry | None) -> Alert:
        now = moment(finding.at_t)
        resolved = finding.action is Action.RESOLVE
        device = self._device(finding)
        channels = tuple(self._channel(finding.device_type, evidence) for evidence in finding.evidence)
        return Alert(
            id=key,
            device=device,
            kind=finding.kind,
            severity=finding.severity,
            status=Status.RESOLVED if resolved else Status.OPEN,
            summary=summarize(finding, device, channels),
            started_at=moment(finding.started_t),
            detected_at=entry.alert.detected_at if entry else now,
            updated_at=now,
            resolved_at=now if resolved else None,
            anomaly=_rounded(finding.anomaly) or 0.0,
            peak=_rounded(finding.peak) or 0.0,
            count=finding.count,
            channels=channels,
            hypotheses=tuple(self._hypotheses(finding)),
            model=_model(finding.model),
            links=self._link(key, finding),
        )

    def _device(self, finding: Finding) -> DeviceInfo:
        profile = self._profiles.get(finding.device_type)
        title = profile.title[:_TITLE_LENGTH] if profile else ""
        known = self._directory(finding.device)
        if known is None:
            return DeviceInfo(id=finding.device, type=finding.device_type, title=title)
        return known.model_copy(
            update={"id": finding.device, "type": finding.device_type, "title": known.title or title}
        )

    def _channel(self, device_type: str, evidence: Evidence) -> ChannelEvidence:
        profile = self._profiles.get(device_type)
        column = profile.index.get(evidence.channel) if profile else None
        channel = profile.channels[column] if profile and column is not None else None
        return ChannelEvidence(
            name=evidence.channel,
            title=channel.title[:_TITLE_LENGTH] if channel else evidence.channel,
            unit=channel.unit if channel else "1",
            mdc=channel.mdc if channel else None,
            share=round(evidence.share, 4),
            attention=round(evidence.attention, 4),
            residual=round(evidence.residual, 4),
            observed=_rounded(evidence.observed),
            expected=_rounded(evidence.expected),
            direction=evidence.direction,
            since=None if evidence.since_t is None else moment(evidence.since_t),
        )

    def _hypotheses(self, finding: Finding) -> Iterator[Hypothesis]:
        profile = self._profiles.get(finding.device_type)
        known = {fault.name: fault for fault in profile.faults} if profile else {}
        for suspicion in finding.suspicions:
            if fault := known.get(suspicion.fault):
                yield Hypothesis(
                    fault=fault.name,
                    title=fault.title[:_TITLE_LENGTH],
                    confidence=round(suspicion.confidence, 3),
                    action=fault.action[:_ACTION_LENGTH],
                )

    def _link(self, key: uuid.UUID, finding: Finding) -> Links:
        base, board = self._links.console_url, self._links.dashboard_url
        before, after = finding.started_t - 600_000, finding.at_t + 600_000
        window = f"var-device={quote(finding.device, safe='')}&from={before}&to={after}"
        joint = "&" if board and "?" in board else "?"
        return Links(
            console=f"{base.rstrip('/')}/alerts/{key}" if base else None,
            dashboard=f"{board}{joint}{window}" if board else None,
        )


def _model(identity: ModelIdentity) -> Model:
    return Model(name=identity.name, version=identity.version, digest=identity.digest)


def _rounded(value: float) -> float | None:
    """Six significant digits, more than any sensor has; NaN is no reading."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
