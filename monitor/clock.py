"""The stream's clock: what time it is for the devices. In production that is the wall's."""

import time
from dataclasses import dataclass


@dataclass(slots=True)
class StreamClock:
    """Device time as a straight line over the machine's monotonic time.

    `scale` device seconds pass in a second; other than 1 only where telemetry is played faster than it was made.
    """

    origin_ms: int
    """Device time at `origin_s`, ms since the epoch."""
    origin_s: float
    """`time.monotonic()` at that moment."""
    scale: float = 1.0

    @classmethod
    def started_at(cls, device_ms: int | None = None, scale: float = 1.0) -> "StreamClock":
        """A clock that shows `device_ms` now (by default the wall's time)."""
        now_ms = time.time_ns() // 1_000_000 if device_ms is None else device_ms
        return cls(now_ms, time.monotonic(), scale)

    def restart(self, device_ms: int) -> None:
        """Show `device_ms` now: the telemetry that is played begins here."""
        self.origin_ms, self.origin_s = device_ms, time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self.origin_ms + int((time.monotonic() - self.origin_s) * 1000 * self.scale)

    def wait_s(self, device_ms: float) -> float:
        """Seconds until the clock shows `device_ms`; negative when it has passed."""
        return self.origin_s + (device_ms - self.origin_ms) / (1000 * self.scale) - time.monotonic()
