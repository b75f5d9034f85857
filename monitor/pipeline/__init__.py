"""Street 1: from messages to alerts that are durably written. Names no adapter.

`core` is the road itself: read, score, judge. `saving` makes durable what was found, `pictures` keeps what is to be
shown of it until then, `rejects` sets aside what could not be read, `gauges` shows how the fleet stands. None of them
knows the road.
"""

from monitor.pipeline.core import ASK_EVERY_S, TEND_EVERY_S, Observers, Pipeline, PipelineSettings
from monitor.pipeline.retrying import RETRY_S
from monitor.pipeline.saving import LIGHT_STATE_BYTES, Progress

__all__ = [
    "ASK_EVERY_S",
    "LIGHT_STATE_BYTES",
    "RETRY_S",
    "TEND_EVERY_S",
    "Observers",
    "Pipeline",
    "PipelineSettings",
    "Progress",
]
