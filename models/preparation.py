"""Windows as they come (units, NaN, mixed rates) → the network's input, and back to units.

Missing stays missing: a cell without a reading carries the last reading as input, beside a mask that says so, and
no residual is ever taken there. A counter is read by its slope. Settings and states become the context that explains
the measured channels. Masks are numbers here, 1.0 or 0.0, and choosing is done by products: over a million cells that
is several times faster than truth values (`models.columns.truth`). Letters: B windows (last axis), T rows, C channels,
M targets (measured channels and counters), K context features, P time patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.columns import truth

Role = Literal["measured", "setting", "state", "counter"]

SQUASH = 5.0
"""To the reconstructions, scaled readings beyond this many scales grow only with their logarithm."""
WILD = 1000.0
"""Readings further out than so many scales are all the same."""
KNOTS = 17
"""Quantiles of a setting that its rank is read from."""
TEMPER = 0.25
"""For those quantiles a value counts by this power of how often it was read: by that itself, nearly all knots would
stand on the few usual values, and all that is seldom set would share one rank."""
ROUNDED = 1e-5
"""Part of a setting that may be due to rounding: knots coincide where many devices share a setting, and the mean of
equal readings, which every kernel rounds in its own way, must not jump over them."""
BLOCK = 8
"""Rows that gaps are filled in side by side."""
ALIGNED = 16
"""The context is filled up to a multiple of this: products of matrices of odd widths round by where a row stands."""
MAX_CATEGORIES = 16
"""A `state` channel with a range of more values than this is read as a number."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """What the model has to know of a channel; `low` and `high` are its physically plausible range in its unit."""

    name: str
    role: Role = "measured"
    low: float = -np.inf
    high: float = np.inf

    @property
    def is_target(self) -> bool:
        """True where the channel is explained (and can be at fault), False where it explains others."""
        return self.role in ("measured", "counter")

    @property
    def categories(self) -> int:
        """How many values a state has; 0 for what is a number."""
        values = self.high - self.low + 1
        return int(values) if self.role == "state" and values <= MAX_CATEGORIES else 0


class Prepared(NamedTuple):
    """A batch on its way through the network; T comes first because every step below runs over it, B last."""

    z: Tensor
    """(T, M, B) scaled targets; where no reading fell the last one stands (the next before the first, else 0)."""
    mask: Tensor
    """(T, M, B) 1.0 where a reading fell, else 0.0."""
    context: Tensor
    """(K, B) what settings and states say, patch by patch, a constant 1, and zeros up to a round width."""
    last: Tensor
    """(M, B) the last reading of each target in its unit (NaN without one); a counter's level, not its slope."""
    span: Tensor
    """(M, B) rows between a counter's first and last reading in the window, 0 for the others."""
    heard: Tensor
    """(C, B) 1.0 where the channel had any reading in the window, else 0.0."""


def squash(z: Tensor) -> Tensor:
    """Identity up to ±SQUASH, then ever flatter, with the logarithm of the excess; smooth at the join."""
    near = torch.clamp(z, -SQUASH, SQUASH)
    excess = z - near
    # log1p of the library is ten times slower than log; an excess too small for it is too small for the sum as well.
    size = excess.abs().add_(1.0).log_()
    return near.add_(size.copysign_(excess))


def _carried(filled: Tensor, seen: Tensor) -> Tensor:
    """Carry the last reading along the first axis of (T, ...), in place: the first row begins it, every later cell
    without a reading (`seen` (T, ...) is 0.0 there, else 1.0) holds 0.

    Blocks of rows are filled side by side, then each from the end of the one before: a third of the steps. Every sum is
    exact, for one of its two terms is 0.
    """
    T, L = len(filled), BLOCK if len(filled) % BLOCK == 0 else len(filled)
    x, gaps = (y.view(T // L, L, *y.shape[1:]) for y in (filled, 1.0 - seen))
    rows, empty = x.unbind(1), gaps.unbind(1)
    for t in range(1, L):
        rows[t].addcmul_(empty[t], rows[t - 1])
        empty[t].mul_(empty[t - 1])  # from here on: nothing was read since the block began
    ends, unread = rows[-1].unbind(0), empty[-1].unbind(0)
    for b in range(1, T // L):
        ends[b].addcmul_(unread[b], ends[b - 1])
    x[1:, :-1].addcmul_(gaps[1:, :-1], x[:-1, -1:])
    return filled


def newest_seen(seen: Tensor) -> Tensor:
    """(T, ...) 1.0 or 0.0 → (T, ...) the row of the newest reading up to each row as a number; before the first reading
    its own row, 0 without any."""
    number = torch.arange(len(seen), device=seen.device, dtype=seen.dtype).view(-1, *[1] * (seen.ndim - 1))
    return _filled_both(seen * number, seen)


def first_seen(seen: Tensor) -> Tensor:
    """(T, ...) 1.0 or 0.0 → (...) the row of the first reading as a number, T without any."""
    T = len(seen)
    left = torch.arange(T, 0, -1, device=seen.device, dtype=seen.dtype).view(-1, *[1] * (seen.ndim - 1))
    return T - (seen * left).amax(0)


class Preparation(nn.Module):
    """Masked robust scaler, counters' slopes and context features; fitted once over the fleet."""

    center: Tensor
    scale: Tensor
    slope_limit: Tensor
    context_center: Tensor
    context_scale: Tensor
    knots: Tensor
    category: Tensor
    target_index: Tensor
    counter_index: Tensor
    setting_index: Tensor

    def __init__(self, channels: Sequence[ChannelSpec], rows: int, patches: int) -> None:
        super().__init__()
        if rows % patches:
            raise ValueError(f"{rows} rows cannot be cut into {patches} patches")
        self.rows, self.patches = rows, patches
        self.slope_rows = max(rows // 4, 1)
        self.targets = [i for i, c in enumerate(channels) if c.is_target]
        self.counters = [m for m, i in enumerate(self.targets) if channels[i].role == "counter"]
        self.states = [i for i, c in enumerate(channels) if c.categories]
        self.settings = [i for i, c in enumerate(channels) if not c.is_target and not c.categories]
        self.categories = [channels[i].categories for i in self.states]
        if not self.targets:
            raise ValueError("a device without a measured channel has nothing to watch")
        M, S = len(self.targets), len(self.settings)
        span = [channels[i].high - channels[i].low for i in self.targets]
        self.floors = [0.002 * s if np.isfinite(s) and channels[i].role == "measured" else 1e-6
                       for s, i in zip(span, self.targets, strict=True)]  # fmt: skip
        self.register_buffer("center", torch.zeros(M))
        self.register_buffer("scale", torch.ones(M))
        self.register_buffer(
            "slope_limit", torch.zeros(len(self.counters), 2)
        )  # lowest and highest slope believed
        self.register_buffer("context_center", torch.zeros(S))
        self.register_buffer("context_scale", torch.ones(S))
        self.register_buffer("knots", torch.linspace(0, 1, KNOTS).repeat(S, 1))
        values = [channels[i].low + k for i in self.states for k in range(channels[i].categories)]
        self.register_buffer("category", torch.tensor(values), persistent=False)
        for name, index in (("target", self.targets), ("counter", self.counters), ("setting", self.settings)):
            self.register_buffer(f"{name}_index", torch.tensor(index, dtype=torch.int64), persistent=False)

    @property
    def context_width(self) -> int:
        """Features of `Prepared.context`."""
        told = self.patches * (3 * len(self.settings) + sum(self.categories)) + 1
        return -(-told // ALIGNED) * ALIGNED

    @property
    def plain_features(self) -> list[int]:
        """Features of the context that tell a setting or a state as it is: all but the ranks."""
        S, P = len(self.settings), self.patches
        settings = [1 + 3 * S * p + s for p in range(P) for s in range(S)]
        states = range(1 + 3 * S * P, 1 + (3 * S + sum(self.categories)) * P)
        return [0, *settings, *states]

    def fit(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Fit on (N, T, C) windows of the fleet, at best spread over all devices and modes."""
        x, seen = self._rows_first(values, mask)
        with torch.no_grad():
            targets, target_seen = x[:, self.targets], seen[:, self.targets]
            if self.counters:
                level, level_seen = targets[:, self.counters], target_seen[:, self.counters]
                newest, level = newest_seen(level_seen), fill_both(level, level_seen)
                self.slope_limit.copy_(torch.tensor([[-torch.inf, torch.inf]] * len(self.counters)))
                slopes, slope_seen = self._slopes(level, level_seen, newest)
                for j in range(len(self.counters)):
                    self.slope_limit[j] = _believable(slopes[:, j][slope_seen[:, j] > 0])
                slopes, slope_seen = self._slopes(level, level_seen, newest)
                targets[:, self.counters], target_seen[:, self.counters] = slopes, slope_seen
            for m, floor in enumerate(self.floors):
                self.center[m], self.scale[m] = robust(targets[:, m][target_seen[:, m] > 0], floor)
            for s, i in enumerate(self.settings):
                told = x[:, i][seen[:, i] > 0]
                self.context_center[s], self.context_scale[s] = robust(told, 1e-6)
                if len(told):
                    self.knots[s] = _knots(told, self.knots.shape[1])

    def forward(self, values: Tensor, mask: Tensor) -> Prepared:
        """(B, T, C) in units, NaN where `mask` is False → `Prepared`."""
        x, seen = self._rows_first(values, mask)
        filled, heard = _filled_both(x, seen), seen.amax(0)
        z = filled.index_select(1, self.target_index)
        told = seen.index_select(1, self.target_index)
        last = filled[-1].masked_fill(heard == 0, torch.nan).index_select(0, self.target_index)
        span = torch.zeros_like(last)
        if self.counters:
            c = self.counter_index
            level, level_seen = z.index_select(1, c), told.index_select(1, c)
            newest = newest_seen(level_seen)
            span.index_copy_(0, c, newest[-1] - newest[0])
            slopes, slope_seen = self._slopes(level, level_seen, newest)
            z.index_copy_(1, c, slopes)
            told.index_copy_(1, c, slope_seen)
        z.sub_(self.center[:, None]).div_(self.scale[:, None]).clamp_(-WILD, WILD).mul_(told.amax(0))
        return Prepared(z, told, self._context(filled), last, span, heard)

    def unscale(self, z: Tensor) -> Tensor:
        """Inverse of the scaler for (M, B) values; a counter gives its slope a row."""
        return z * self.scale[:, None] + self.center[:, None]

    def _rows_first(
        self, values: NDArray[np.float32] | Tensor, mask: NDArray[np.bool_] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, T, C) and bool → (T, C, B), 0 without a reading, and 1.0 or 0.0."""
        x, seen = torch.as_tensor(values), torch.as_tensor(mask)
        B, T, C = x.shape
        # What was not read becomes NaN, which bits that are all one are. As bytes, because truth values are converted
        # one by one.
        void = seen.view(torch.uint8).to(torch.int32).sub_(1)
        void = torch.bitwise_or(void, x.view(torch.int32), out=void).view(x.dtype)
        # As a matrix, because only those are transposed fast.
        x = void.reshape(B, T * C).t().contiguous().view(T, C, B)
        told = truth(torch.eq, x, x)
        return x.nan_to_num_(), told

    def _slopes(self, level: Tensor, seen: Tensor, newest: Tensor) -> tuple[Tensor, Tensor]:
        """Slope a row of filled (T, counters, B) levels over the last quarter window, filled, and where it is told."""
        H = self.slope_rows
        # Levels are filled backwards, so before a full quarter this is the slope since the first reading.
        elapsed, risen = (x - torch.cat((x[:1].expand(H, -1, -1), x[:-H])) for x in (newest, level))
        slope = risen.div_(torch.clamp(elapsed, min=1.0))
        low, high = self.slope_limit[:, :1], self.slope_limit[:, 1:]
        told = truth(torch.ge, elapsed, min(H // 4 + 1, H)).mul_(truth(torch.ge, slope, low))
        told = told.mul_(truth(torch.le, slope, high)).mul_(seen)
        return _filled_both(slope.mul_(told), told), told

    def _ranks(self, *settings: Tensor) -> tuple[Tensor, ...]:
        """Each (P, S, B) settings → where they stand among those of the fleet, 0 to 4, linear between the knots.

        A temperature of 36 °C or 37 °C is told apart although disinfection needs 84 °C, and 2 mL/h from 4 mL/h
        although 400 mL/h occur.
        """
        low, wide = self.knots[:, :-1].t(), self.knots.diff(dim=1).clamp(min=1e-9).t()
        low = low + ROUNDED * low.abs()
        x = torch.stack(settings)
        steps = (x - low[:, None, None, :, None]).div_(wide[:, None, None, :, None]).clamp_(0.0, 1.0)
        return steps.sum(0).mul_(4.0 / len(steps)).unbind(0)

    def _context(self, filled: Tensor) -> Tensor:
        """(T, C, B) → `Prepared.context`."""
        B, P = filled.shape[2], self.patches
        parts = [filled.new_ones(1, B)]
        if self.settings:
            patched = filled.index_select(1, self.setting_index).view(P, -1, len(self.settings), B)
            low, middle, high = patched.amin(1), patched.mean(1), patched.amax(1)
            z = squash((middle - self.context_center[:, None]) / self.context_scale[:, None])
            below, rank, above = self._ranks(low, middle, high)
            told = torch.cat((z, rank, (above - below) * 0.5), 1)
            parts.append(told.view(-1, B))
        if self.states:
            values = torch.split(self.category, self.categories)
            alike = [
                truth(torch.eq, filled[:, i, None], v[:, None])
                for i, v in zip(self.states, values, strict=True)
            ]
            hot = alike[0] if len(alike) == 1 else torch.cat(alike, 1)
            parts.append(hot.view(P, -1, len(self.category), B).mean(1).view(-1, B))
        parts.append(filled.new_zeros(self.context_width - sum(map(len, parts)), B))
        return torch.cat(parts)


def fill_both(x: Tensor, seen: Tensor) -> Tensor:
    """Forward fill, and backwards before the first reading; 0 without any. (T, ...), 1.0 or 0.0 → (T, ...)."""
    return _filled_both(x * seen, seen)


def _filled_both(x: Tensor, seen: Tensor) -> Tensor:
    """The same in place, with 0 in every cell without a reading."""
    first = first_seen(seen).clamp_(max=len(x) - 1).long()[None]
    x[0].addcmul_(torch.gather(x, 0, first)[0], 1.0 - seen[0])  # exact as well
    return _carried(x, seen)


def _knots(told: Tensor, count: int) -> Tensor:
    """(count,) values of a setting, ascending from the least to the largest that was read: its tempered quantiles."""
    value, times = torch.unique(told[:: max(1, len(told) // 1_000_000)], return_counts=True)
    share = torch.cumsum(times.double() ** TEMPER, 0)
    at = torch.searchsorted(share / share[-1], torch.linspace(0, 1, count, dtype=torch.float64))
    knots: Tensor = value[at.clamp(max=len(value) - 1)]
    return knots


def robust(x: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Median, and the spread between the 1 % and 99 % quantiles as that of a normal distribution."""
    if len(x) == 0:
        return torch.tensor(0.0), torch.tensor(1.0)
    sample = x[:: max(1, len(x) // 1_000_000)].double()
    low, middle, high = (float(q) for q in np.quantile(sample.numpy(), [0.01, 0.5, 0.99]))
    return torch.tensor(middle), torch.tensor(max((high - low) / 4.65, floor))


def _believable(slope: Tensor) -> Tensor:
    """The slopes that are no reset of the counter: those of its usual sign, up to three times the steepest known."""
    if len(slope) == 0:
        return torch.tensor([-torch.inf, torch.inf])
    s = slope[:: max(1, len(slope) // 1_000_000)].double().numpy()
    low, high = np.quantile(s, [0.05, 0.95])
    usual = max(abs(low), abs(high), 1e-9)
    down = s[s < 0] if low < -0.01 * usual else np.zeros(1)
    up = s[s > 0] if high > 0.01 * usual else np.zeros(1)
    return torch.tensor(
        [3 * np.quantile(down, 0.005) - 0.05 * usual, 3 * np.quantile(up, 0.995) + 0.05 * usual],
        dtype=torch.float32,
    )
