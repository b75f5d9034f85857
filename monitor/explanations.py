"""What stands behind an alert's picture: one window, what was expected of it, and where the model looked.

Kept as compressed arrays beside the alert, answered as plain lists with units and titles. Draws nothing, knows no
database and no network. Letters: T rows, C channels, P time patches.
"""

import math
import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.scoring import Explanation
from monitor.alerts import moment
from monitor.findings import SnapshotError
from monitor.findings.blob import Snapshot, pack, unpack
from streams.devices import DeviceProfile

MOST_CHANNELS: Final = 24
"""Channels that a picture keeps, those with the most attention; the others got next to none."""
_KIND = "explanation"

Floats = NDArray[np.float32]


class ExplanationError(Exception):
    """A kept explanation that cannot be read: damaged, or of another version."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An explanation on its way into the database."""

    alert_id: uuid.UUID
    at_ms: int
    """End of the window that it explains."""
    body: bytes


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ExplainedChannel(_Shown):
    """One channel over the window. Lists over time hold a number a row, null where there is none."""

    name: str
    title: str
    unit: str
    """UCUM."""
    values: list[float | None]
    """What was read; null where nothing was."""
    expected: list[float | None]
    """What the model expected from settings and states, or from the healthy rhythm."""
    low: list[float | None]
    """Lower edge of the band in which a healthy device's readings nearly always lie."""
    high: list[float | None]
    attention: list[float]
    """The model's attention to the channel, weighted by how far it deviates, a number a time patch. All patches of all
    channels of the device sum to 1, those of one channel to its share in this window."""


class AlertExplanation(_Shown):
    """The window that opened the alert, or the strongest since: readings, expected bands and attention."""

    alert: uuid.UUID
    at: datetime
    """End of the window."""
    started_at: datetime
    """Begin of its first row."""
    row_s: float
    """Seconds a row."""
    rows: int
    patch_rows: int
    """Rows of one time patch."""
    anomaly: float
    """Of this window; 1.0 is the threshold."""
    channels: list[ExplainedChannel]
    """The most attended first."""


def keep(
    alert_id: uuid.UUID, profile: DeviceProfile, at_ms: int, anomaly: float, values: Floats, told: Explanation, b: int
) -> Kept:  # fmt: skip
    """Pack window `b` of `told`; `values` are its (T, C) readings, NaN without one. Same window, same bytes."""
    attention = told.attention[b]
    watched = np.array([c.role in {"measured", "counter"} for c in profile.channels])
    order = np.argsort(-np.where(watched, attention.sum(0), -1.0), kind="stable")
    chosen = order[: min(MOST_CHANNELS, int(watched.sum()))]
    channels = [profile.channels[c] for c in chosen]
    arrays = {
        "values": values[:, chosen],
        "expected": told.expected[b][:, chosen],
        "low": told.low[b][:, chosen],
        "high": told.high[b][:, chosen],
        "attention": attention[:, chosen],
    }
    meta: dict[str, int | str | float | list[str]] = {
        "grid_ms": profile.grid_ms,
        "at_ms": at_ms,
        "anomaly": anomaly,
        "titles": [c.title for c in channels],
        "units": [c.unit for c in channels],
    }
    packed = pack(_KIND, meta, [c.name for c in channels], arrays)
    return Kept(alert_id, at_ms, zlib.compress(packed, 6))


def read(alert_id: uuid.UUID, body: bytes) -> AlertExplanation:
    """Answer what `keep` packed.

    Raises:
        ExplanationError: damaged, or of another version.
    """
    try:
        saved = unpack(_KIND, zlib.decompress(body))
        return _shown(alert_id, saved)
    except (zlib.error, SnapshotError, KeyError, ValueError, TypeError) as error:
        raise ExplanationError(f"explanation of alert {alert_id} cannot be read: {error}") from None


def _shown(alert_id: uuid.UUID, saved: Snapshot) -> AlertExplanation:
    meta, arrays = saved.meta, saved.arrays
    rows, patches = len(arrays["values"]), len(arrays["attention"])
    grid_ms, at_ms, anomaly = (float(str(meta[name])) for name in ("grid_ms", "at_ms", "anomaly"))
    titles, units = meta["titles"], meta["units"]
    if not (isinstance(titles, list) and isinstance(units, list)):
        raise TypeError("titles and units are no lists")
    return AlertExplanation(
        alert=alert_id,
        at=moment(int(at_ms)),
        started_at=moment(int(at_ms - rows * grid_ms)),
        row_s=grid_ms / 1000,
        rows=rows,
        patch_rows=rows // patches,
        anomaly=_plain(anomaly) or 0.0,
        channels=[
            ExplainedChannel(
                name=name,
                title=titles[c],
                unit=units[c],
                **{plane: [_plain(x) for x in arrays[plane][:, c]] for plane in ("values", "expected", "low", "high")},
                attention=[_plain(x) or 0.0 for x in arrays["attention"][:, c]],
            )
            for c, name in enumerate(saved.ids)
        ],
    )  # fmt: skip


def _plain(x: "np.generic | float") -> float | None:
    value = float(x)
    return float(f"{value:.6g}") if math.isfinite(value) else None
