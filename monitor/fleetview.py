"""A lane's memory → how each of its devices stands now. Decides nothing, and remembers nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime

from monitor.alerts import moment
from monitor.findings import BaselineReason, Learning, Standing
from monitor.fleet import (
    BaselineSource,
    BaselineState,
    DeviceState,
    DeviceStatus,
    LearningReason,
    LearningState,
)
from monitor.lanes import Lane
from streams.devices import DeviceProfile


def device_states(lane: Lane) -> Iterator[DeviceState]:
    """Every device of the lane."""
    standing = {s.device: s for _, s in lane.standing()}
    silent, heard = set(lane.silence.silent()), lane.silence.last_seen()
    alerts, learning, filled = lane.open_alerts(), lane.learning(), lane.filled_rows()
    types = lane.device_types()
    hindrances = {kind: lane.hindrance(kind) for kind in set(types.values()) if lane.judges(kind)}
    for device, kind in types.items():
        stands, own, heard_ms = standing.get(device), learning.get(device), heard.get(device, 0)
        learns = (
            _learning(lane.profile(kind), filled[device], stands, own, heard_ms)
            if kind in hindrances
            else LearningState(LearningReason.NO_MODEL, 0.0)
        )
        state = _status(device in silent, stands, learns)
        yield DeviceState(
            device=device,
            type=kind,
            state=state,
            last_seen=datetime.fromtimestamp(heard_ms / 1000, UTC),
            anomaly=None if stands is None else round(stands.anomaly, 3),
            alert_id=alerts.get(device),
            learning=learns if state is DeviceStatus.LEARNING else None,
            baseline=_baseline(hindrances[kind], own) if kind in hindrances else None,
        )


def _status(silent: bool, stands: Standing | None, learns: LearningState | None) -> DeviceStatus:
    if silent:
        return DeviceStatus.SILENT
    if stands is not None and stands.alarming:
        return DeviceStatus.ALARMING
    return DeviceStatus.NORMAL if learns is None else DeviceStatus.LEARNING


def _learning(
    profile: DeviceProfile, filled: int, stands: Standing | None, own: Learning | None, heard_ms: int
) -> LearningState | None:
    """What is not there yet comes first: a full window, then a settled baseline if one is on its way."""
    renewed = own is not None and own.renewed and own.going_on
    missing = profile.window_rows - filled
    if stands is None or missing > 0:
        reason = LearningReason.REBASELINED if renewed else LearningReason.FIRST_WINDOW
        until = moment(heard_ms + missing * profile.grid_ms) if heard_ms and missing > 0 else None
        return LearningState(reason, round(filled / profile.window_rows, 3), until)
    if own is None or not own.going_on:
        return LearningState(LearningReason.NOT_SETTLED, 0.0) if stands.learning else None
    reason = LearningReason.REBASELINED if renewed else LearningReason.NOT_SETTLED
    return LearningState(reason, own.progress, None if own.until_t is None else moment(own.until_t))


def _baseline(hindrance: BaselineReason | None, own: Learning | None) -> BaselineState:
    """What a device is judged by, and what keeps it from more."""
    if hindrance is not None:
        return BaselineState(BaselineSource.TYPE, hindrance)
    if own is None:
        return BaselineState(BaselineSource.TYPE, BaselineReason.LEARNING)
    source = BaselineSource.OWN if own.differs else BaselineSource.TYPE
    until = moment(own.until_t) if own.going_on and own.until_t is not None else None
    return BaselineState(source, own.reason, own.progress, until)
