"""Numbers that are there only if somebody watches: what was added since, how late the event loop is."""

import asyncio
from collections.abc import Mapping

from monitor.metrics.recording import Metrics


class Increase:
    """Turns counts that only grow, as parts of the pipeline keep them, into what was added since."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, totals: Mapping[str, int]) -> dict[str, int]:
        """What each key gained; a total that fell was restarted and counts from 0."""
        gained = {}
        for key, total in totals.items():
            before = self._last.get(key, 0)
            gained[key] = total - before if total >= before else total
        self._last = dict(totals)
        return gained


async def watch_event_loop(metrics: Metrics, period_s: float = 0.1) -> None:
    """Measure how late the event loop wakes us, for as long as the service runs."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period_s
        await asyncio.sleep(period_s)
        metrics.record_loop_lag(loop.time() - due)
