"""The one metric with device ids in it, bounded. Knows no lane and no alert."""

import heapq
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class TopAnomalies(Collector):
    """`attendant_device_anomaly_ratio`: the `top` most anomalous of the devices that are alarming now."""

    def __init__(self, top: int) -> None:
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        self.top = top
        self._ratios: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._ratios)

    def set(self, device: str, device_type: str, ratio: float) -> None:
        """`device` is alarming with `ratio` times the threshold."""
        self._ratios[device] = (device_type, ratio)

    def clear(self, devices: Iterable[str]) -> None:
        """These devices are not alarming, or not ours any more."""
        for device in devices:
            self._ratios.pop(device, None)

    def _empty(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "attendant_device_anomaly_ratio",
            f"Anomaly over threshold (1 = threshold) of the {self.top} most anomalous devices alarming now.",
            labels=("device", "type"),
        )

    def describe(self) -> Iterable[Metric]:
        return [self._empty()]

    def collect(self) -> Iterator[Metric]:
        family = self._empty()
        # dict() first: a scrape can run in another thread than the pipeline.
        rows = ((ratio, device, kind) for device, (kind, ratio) in dict(self._ratios).items())
        for ratio, device, kind in heapq.nlargest(self.top, rows):
            family.add_metric((device, kind), ratio)
        yield family
