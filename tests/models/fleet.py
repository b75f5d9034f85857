"""A tiny fleet for model tests: coupled channels, two modes, a counter and a slow channel, seeded."""

from dataclasses import replace

import numpy as np

from models.preparation import ChannelSpec
from models.training import Series

CHANNELS = (
    ChannelSpec("rate_set", "setting"),
    ChannelSpec("running", "state"),
    ChannelSpec("pressure", "measured", -100, 1000),
    ChannelSpec("current", "measured", 0, 1000),
    ChannelSpec("noise", "measured", -100, 100),
    ChannelSpec("volume", "counter"),
    ChannelSpec("battery", "measured", 0, 100),
)
MODED = tuple(replace(c, low=0, high=1) if c.role == "state" else c for c in CHANNELS)
"""The same where the profile says that the state is one of two."""
ROWS, STRIDE, ROW_S = 64, 8, 5.0


def device(serial: int, rows: int) -> Series:
    """One fault-free device: pressure and current follow the rate through its own resistance."""
    rng = np.random.default_rng(serial)
    block = np.arange(rows) // 150
    running = (rng.random(block[-1] + 1) < 0.8)[block].astype(float)
    rate = np.exp(rng.uniform(np.log(5), np.log(200), block[-1] + 1))[block]
    flow = running * rate
    wander = np.zeros(rows)
    for t in range(1, rows):
        wander[t] = 0.95 * wander[t - 1] + rng.normal(0, 0.6)
    pressure = 12 + rng.normal(0, 2) + flow * rng.uniform(0.15, 0.25) + wander + rng.normal(0, 0.5, rows)
    current = running * (60 + 0.6 * pressure) + rng.normal(0, 1.5, rows)
    volume = np.round(np.cumsum(flow / 3600 * ROW_S), 2)
    battery = np.clip(100 - np.arange(rows) * 0.002, 0, 100) + rng.normal(0, 0.2, rows)
    columns = (rate, running, pressure, current, rng.normal(0, 1, rows), volume, battery)
    values = np.stack(columns, 1).astype(np.float32)
    mask = rng.random(values.shape) < 0.98
    mask[:, 6] = np.arange(rows) % 12 == serial % 12
    values[~mask] = np.nan
    return Series(f"SN-{serial}", values, mask)
