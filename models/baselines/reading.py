"""Windows as the plain methods see them, and the spreads that they measure in. Knows no method and no threshold.

Letters: B windows (first axis here), T rows, C channels, M targets, P time patches, K features of the context.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.autoencoder import ModelConfig
from models.launching import filled
from models.preparation import SQUASH, ChannelSpec, Preparation, Prepared, robust

CHUNK = 64
"""Windows are prepared, and multiplied by matrices, in so many at a time: bits depend on how many stand together."""
FLOOR = 0.05
"""A channel that hardly moves in a mode is measured in no less than so many of its spreads over all modes."""
Floats = NDArray[np.float32]


class Inputs(NamedTuple):
    """B windows, prepared."""

    z: Floats
    """(B, T, M) scaled targets; where no reading fell the last one stands. A counter is its slope."""
    told: Floats
    """(B, T, M) 1.0 where a reading fell, else 0.0."""
    context: Floats
    """(B, K) settings and states, patch by patch, each counting as the rows that its patch has."""
    mode: Floats
    """(B,) newest value of the first state channel, and a half more where the window holds others as well: what it is
    like to have just changed is not what it is like to be there. NaN where none was told."""
    last: Floats
    """(B, M) the last reading in its unit, NaN without one; a counter's level, not its slope."""
    span: Floats
    """(B, M) rows that a counter was read over; 1 for the others."""

    def rows(self, chosen: NDArray[np.intp] | slice) -> "Inputs":
        """Some of the windows."""
        return Inputs(*(plane[chosen] for plane in self))


class Reader:
    """Prepares windows of one device type; fitted on (N, T, C) fault-free ones."""

    def __init__(self, channels: Sequence[ChannelSpec], values: Floats, mask: NDArray[np.bool_]) -> None:
        self.channels, self.rows = tuple(channels), int(values.shape[1])
        self._preparation = Preparation(channels, self.rows, math.gcd(self.rows, ModelConfig().patches))
        self._preparation.fit(values, mask)
        self._state = next((c for c, channel in enumerate(channels) if channel.categories), None)
        self._weight = np.float32((self.rows / self._preparation.patches) ** 0.5)

    @property
    def targets(self) -> list[int]:
        """Columns of the channels that are watched."""
        return self._preparation.targets

    @property
    def counters(self) -> list[int]:
        """Which of the targets are counters."""
        return self._preparation.counters

    @property
    def unit(self) -> tuple[Floats, Floats]:
        """(M,) what a scaled 0 is in the channel's unit, and a spread of it; of a counter's slope a row."""
        return self._preparation.center.numpy(), self._preparation.scale.numpy()

    @torch.inference_mode()
    def __call__(self, values: Floats, mask: NDArray[np.bool_]) -> Inputs:
        """(B, T, C) in units, NaN where `mask` is False → `Inputs`."""
        B = len(values)
        whole = max(1, -(-B // CHUNK)) * CHUNK
        both = (torch.from_numpy(filled(plane, whole)) for plane in (values, mask))
        prepared: Prepared = self._preparation(*both)
        z, told = (x.permute(2, 0, 1).contiguous().numpy() for x in (prepared.z, prepared.mask))
        plain = prepared.context[self._preparation.plain_features[1:]]
        span = prepared.span.t().numpy().copy()
        span[:, [m for m in range(span.shape[1]) if m not in self.counters]] = 1
        context = plain.t().contiguous().numpy() * self._weight
        last = prepared.last.t().numpy().copy()
        return Inputs(z[:B], told[:B], context[:B], self._mode(values, mask), last[:B], span[:B])

    def _mode(self, values: Floats, mask: NDArray[np.bool_]) -> Floats:
        B = len(values)
        if self._state is None or not B:
            return np.full(B, np.nan, np.float32)
        told, seen = values[..., self._state], mask[..., self._state]
        newest = told[np.arange(B), self.rows - 1 - seen[:, ::-1].argmax(1)]
        changed = (seen & (told != newest[:, None])).any(1)
        mode: Floats = np.where(seen.any(1), newest + 0.5 * changed, np.nan).astype(np.float32)
        return mode


class Spread(NamedTuple):
    """What each target usually is and how far it varies, in the scaled units of `Inputs.z`; robust."""

    center: Floats
    """(M,)"""
    scale: Floats
    """(M,) a standard deviation, were it normal."""

    @classmethod
    def of(cls, x: Inputs) -> "Spread":
        """Of fault-free windows: median, and the spread between the 1 % and 99 % quantiles."""
        read = (x.z[..., m][x.told[..., m] > 0] for m in range(x.z.shape[2]))
        spread = [robust(torch.from_numpy(z), FLOOR) for z in read]
        return cls(*np.array(spread, np.float32).T)

    def standard(self, z: Floats) -> Floats:
        """(…, M) scaled → in these spreads; beyond `SQUASH` they grow only with their logarithm."""
        far = (z - self.center) / self.scale
        near = np.clip(far, -SQUASH, SQUASH)
        squashed: Floats = near + np.copysign(np.log1p(np.abs(far - near)), far)
        return squashed
