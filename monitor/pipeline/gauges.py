"""How the lanes of this worker stand → metrics. Looks at lanes, changes nothing of them.

Lanes keep counts that only grow; here they become what was added since they were last looked at.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from monitor.fleet import BaselineSource, DeviceStatus
from monitor.fleetview import device_states
from monitor.lanes import Lane
from monitor.metrics import Increase, Metrics
from streams.transport import TopicPartition


class Gauges:
    """Shows a fleet, once every few turns of the pipeline."""

    def __init__(self, metrics: Metrics, device_types: Iterable[str]) -> None:
        self._metrics = metrics
        self._device_types = tuple(device_types)
        self._increases: dict[tuple[str, ...], Increase] = defaultdict(Increase)
        self._alarming: set[str] = set()

    def begin(self, partition: TopicPartition, lane: Lane) -> None:
        """What a lane counted before a restart was shown by whoever had it then."""
        self._counted(partition, lane)

    def forget(self, partition: TopicPartition, lane: Lane) -> None:
        """The partition is another worker's now."""
        self._metrics.clear_anomalies(lane.device_types())
        self._increases = defaultdict(
            Increase, {key: inc for key, inc in self._increases.items() if key[1:3] != _label(partition)}
        )
        self._metrics.forget_partitions([partition])

    def show(self, lanes: Mapping[TopicPartition, Lane]) -> None:
        """Samples, decisions, states of devices, and the anomaly of those that are alarming."""
        for partition, lane in lanes.items():
            samples, decisions = self._counted(partition, lane)
            self._metrics.count_samples(samples)
            self._metrics.count_decisions(decisions)
        states, own = _states(lanes.values())
        bound: Counter[str] = Counter()
        for lane in lanes.values():
            bound.update(lane.at_bound())
        for kind in self._device_types:
            self._metrics.set_devices(kind, states[kind])
            self._metrics.set_own_baselines(kind, own[kind])
            self._metrics.set_at_bias_bound(kind, bound[kind])
        self._show_anomalies(lanes.values())

    def show_lag(self, lag: Mapping[TopicPartition, int], read: Mapping[TopicPartition, int | None]) -> None:
        """Messages left, and which partitions move; `read` is how far each was read."""
        self._metrics.set_lag(lag)
        moved = [p for p, left in lag.items() if not left or (p in read and self._moved(p, read[p]))]
        self._metrics.set_progress(moved, time.time())

    def _counted(self, partition: TopicPartition, lane: Lane) -> tuple[Counter[str], Counter[str]]:
        """Samples and decisions of a lane since this was last asked."""
        samples: Counter[str] = Counter()
        decisions: Counter[str] = Counter()
        for kind, outcomes in lane.sample_outcomes():
            samples.update(self._increases["samples", *_label(partition), kind](outcomes))
        for kind, reasons in lane.decisions():
            decisions.update(self._increases["decisions", *_label(partition), kind](reasons))
        return samples, decisions

    def _show_anomalies(self, lanes: Iterable[Lane]) -> None:
        alarming = set()
        for lane in lanes:
            for kind, standing in lane.standing():
                if standing.alarming:
                    alarming.add(standing.device)
                    self._metrics.set_anomaly(standing.device, kind, standing.anomaly)
        self._metrics.clear_anomalies(self._alarming - alarming)
        self._alarming = alarming

    def _moved(self, partition: TopicPartition, offset: int | None) -> bool:
        increase = self._increases["read", *_label(partition), ""]
        return any(increase({"offset": offset or 0}).values())


def _states(lanes: Iterable[Lane]) -> tuple[defaultdict[str, Counter[DeviceStatus]], Counter[str]]:
    """Device type → how many of its devices are in each state; and how many have a baseline of their own."""
    states: defaultdict[str, Counter[DeviceStatus]] = defaultdict(Counter)
    own: Counter[str] = Counter()
    for lane in lanes:
        for device in device_states(lane):
            states[device.type][device.state] += 1
            if device.baseline is not None and device.baseline.source is BaselineSource.OWN:
                own[device.type] += 1
    return states, own


def _label(partition: TopicPartition) -> tuple[str, str]:
    return partition.topic, str(partition.partition)
