"""Metrics for Prometheus; the only folder that imports prometheus_client.

`names.py` says what there is, `recording.py` is what the parts of the service call, `anomalies.py` shows the few
devices that are shown by id, `watching.py` measures what nobody else would.
"""

from monitor.metrics.names import CheckpointOutcome, WindowSkip
from monitor.metrics.recording import Metrics
from monitor.metrics.watching import Increase, watch_event_loop

__all__ = ["CheckpointOutcome", "Increase", "Metrics", "WindowSkip", "watch_event_loop"]
