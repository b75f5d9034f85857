"""Findings → alerts: the payload that people and systems receive, and the book that numbers its events.

Deterministic: the same findings make the same ids, numbers and bytes, so a replay repeats and invents nothing.
Knows no database and no network.
"""

import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.scoring import ModelIdentity
from monitor.findings import Action, Evidence, Finding, Kind, Reason, Severity, SnapshotError
from streams.devices import DeviceProfile

NAMESPACE: Final = uuid.UUID("5b0f7a52-6c0e-5d0b-9a43-0d7f2d5b6f11")
MAX_BODY: Final = 20_000
"""Bytes. Standard Webhooks 1.0 asks for less than 20 kB."""
_TITLE_LENGTH, _ACTION_LENGTH = 120, 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Status(StrEnum):
    """Where an alert stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class EventType(StrEnum):
    """What happened to an alert; the `type` of a webhook."""

    OPENED = "device.alert.opened"
    UPDATED = "device.alert.updated"
    ACKNOWLEDGED = "device.alert.acknowledged"
    RESOLVED = "device.alert.resolved"


class Origin(StrEnum):
    """Who made an event. Each numbers its own, so that a person's click never shifts a replay's numbers."""

    STREAM = "stream"
    PERSON = "person"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DeviceInfo(_Frozen):
    """Which device. No patient is ever named."""

    id: str
    type: str
    title: str = ""
    udi: str | None = None
    """UDI-DI of the model; with the serial number it identifies the device."""
    location: str | None = None


class ChannelEvidence(_Frozen):
    """One channel and its part in the alert."""

    name: str
    title: str
    unit: str
    """UCUM."""
    mdc: int | None
    """IEEE 11073-10101 code."""
    share: float
    attention: float
    residual: float
    observed: float | None
    """At the strongest moment so far; null without a reading."""
    expected: float | None
    direction: Annotated[int, Field(ge=-1, le=1)]
    since: datetime | None = None
    """When it began to deviate within this episode; null where the model cannot tell."""


class Hypothesis(_Frozen):
    """A known fault of the device type that would explain the alert."""

    fault: str
    title: str
    confidence: float
    """0 to 1; what all known faults leave over is "none of these"."""
    action: str
    """What to do first."""


class Model(_Frozen):
    """Which model spoke."""

    name: str
    version: str
    digest: str


class Links(_Frozen):
    """Where to look."""

    console: str | None = None
    dashboard: str | None = None


class Acknowledgement(_Frozen):
    """Who takes care."""

    by: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    at: datetime
    note: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    """Without the character that PostgreSQL cannot keep."""


class Alert(_Frozen):
    """One episode of one device. Times are UTC; `started_at` to `resolved_at` on the device's clock."""

    id: uuid.UUID
    device: DeviceInfo
    kind: Kind
    severity: Severity
    status: Status
    summary: str
    started_at: datetime
    detected_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None
    acknowledged: Acknowledgement | None = None
    anomaly: float
    """Now; 1.0 is the threshold."""
    peak: float
    count: int = 1
    """Devices concerned."""
    channels: tuple[ChannelEvidence, ...] = ()
    """Largest share first."""
    hypotheses: tuple[Hypothesis, ...] = ()
    """The most likely first."""
    model: Model
    links: Links = Links()

    def with_acknowledgement(self, acknowledged: Acknowledgement | None) -> "Alert":
        """The same alert as a person left it; resolved stays resolved."""
        if acknowledged is None:
            return self
        status = Status.RESOLVED if self.status is Status.RESOLVED else Status.ACKNOWLEDGED
        return self.model_copy(update={"acknowledged": acknowledged, "status": status})


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened to an alert, to be recorded once and delivered to every target."""

    alert: Alert
    type: EventType
    number: int
    """From 1, per alert and origin."""
    at_ms: int
    origin: Origin = Origin.STREAM
    targets: tuple[str, ...] | None = None
    """Only these targets; None: all."""

    @property
    def id(self) -> str:
        """The same for the same event, whoever computes it: the `webhook-id`."""
        return f"msg_{uuid.uuid5(self.alert.id, f'{self.origin}/{self.number}').hex}"


class _Envelope(_Frozen):
    type: EventType
    timestamp: datetime
    data: Alert


class LinkSettings(_Frozen):
    """Bases of the links in an alert; none, no link."""

    console_url: str | None = None
    """`https://attendant.example`; the alert's id is appended."""
    dashboard_url: str | None = None
    """A Grafana dashboard; `var-device`, `from` and `to` are appended."""


def alert_id(device: str, model_name: str, started_t: int) -> uuid.UUID:
    """UUIDv5 of (device, model, episode start in ms)."""
    return uuid.uuid5(NAMESPACE, f"{device}\n{model_name}\n{started_t}")


def body(event: AlertEvent) -> bytes:
    """The webhook's bytes; channels of the smallest share go first where they would be too many."""
    alert = event.alert
    while True:
        envelope = _Envelope(type=event.type, timestamp=moment(event.at_ms), data=alert)
        rendered = envelope.model_dump_json().encode()
        if len(rendered) < MAX_BODY or not alert.channels:
            return rendered
        alert = alert.model_copy(update={"channels": alert.channels[:-1]})


def moment(t_ms: int) -> datetime:
    """Milliseconds since the epoch as UTC; a device's clock may be absurd, so it is held in years 1–9999."""
    lowest, highest = -62_135_596_800_000, 253_402_300_799_000
    return _EPOCH + timedelta(milliseconds=min(max(t_ms, lowest), highest))


def milliseconds(at: datetime) -> int:
    """Since the epoch; exact, where a float would be off by one."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


# -- the book --------------------------------------------------------------------------------------------


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


_TYPES = {
    Action.OPEN: EventType.OPENED,
    Action.UPDATE: EventType.UPDATED,
    Action.RESOLVE: EventType.RESOLVED,
}


def _model(identity: ModelIdentity) -> Model:
    return Model(name=identity.name, version=identity.version, digest=identity.digest)


def _rounded(value: float) -> float | None:
    """Six significant digits, more than any sensor has; NaN is no reading."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


# -- one sentence for people ------------------------------------------------------------------------------


_ENDED = {Reason.SERVICED: "Ended by maintenance", Reason.FORGOTTEN: "No longer watched"}


def summarize(finding: Finding, device: DeviceInfo, channels: tuple[ChannelEvidence, ...]) -> str:
    """What is wrong, in plain English."""
    resolved = finding.action is Action.RESOLVE
    ended = _ENDED.get(finding.reason, "Cleared")
    lead = f"{ended} after {_duration(finding.at_t - finding.started_t)}: " if resolved else ""
    name = f"{device.title or device.type} {device.id}"
    if finding.kind is Kind.FAULT:
        return lead + _fault(name, channels, resolved)
    since = f"{moment(finding.started_t):%H:%M:%S} UTC"
    if finding.kind is Kind.SILENT:
        return lead + (
            f"{name} sent nothing since {since}." if resolved else f"{name} has sent nothing since {since}."
        )
    if finding.kind is Kind.STREAM_SILENT:
        return (
            lead
            + f"{finding.count} devices fell silent together at {since}; network or broker, not the devices."
        )
    what = "alert deliveries" if finding.count > 1 else "alert delivery"
    verb = ("were" if resolved else "are") if finding.count > 1 else ("was" if resolved else "is")
    return lead + f"{finding.count} {what} to {device.id} {verb} undelivered since {since}."


def _fault(name: str, channels: tuple[ChannelEvidence, ...], resolved: bool) -> str:
    verb = "was" if resolved else "is"
    if not channels:
        return f"{name} {'behaved' if resolved else 'behaves'} unlike its model expects."
    top, *others = channels
    also = [channel.title for channel in others[:2] if channel.share >= 0.1]
    more = f"; {' and '.join(also)} {'deviate' if len(also) > 1 else 'deviates'} too" if also else ""
    if resolved:
        more = more.replace("deviates", "deviated").replace("deviate ", "deviated ")
    return f"{top.title} {verb} {_deviation(top)} on {name}{more}."


def _deviation(channel: ChannelEvidence) -> str:
    if channel.observed is None or channel.expected is None:
        return "unlike its model expects"
    difference = abs(channel.observed - channel.expected)
    unit = "" if channel.unit == "1" else f"{channel.unit} "
    if difference < 1e-6:
        return f"moving unlike its model expects (at {channel.observed:g} {unit}".rstrip() + ")"
    # Two digits of the difference, and the readings with the same decimals, so that the sum adds up.
    decimals = min(max(1 - math.floor(math.log10(difference)), 0), 6)
    seen, want = round(channel.observed, decimals), round(channel.expected, decimals)
    side = "above" if seen > want else "below"
    return f"{abs(seen - want):.{decimals}f} {unit}{side} expected ({seen:.{decimals}f} against {want:.{decimals}f})"


def _duration(ms: int) -> str:
    seconds = max(ms, 0) // 1000
    for size, name in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}{'s' if name == 'day' else ''}"
    return f"{seconds} s"
