"""Windows as they come (units, NaN, mixed rates) → the network's input, and back to units.

Missing stays missing: a cell without a reading carries the last reading as input, beside a mask that says so, and
no residual is ever taken there. A counter is read by its slope. Settings and states become the context that explains
the measured channels. Letters: B windows, T rows, C channels, M targets (measured channels and counters), K context
features, P time patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Role = Literal["measured", "setting", "state", "counter"]

SQUASH = 5.0
"""To the reconstructions, scaled readings beyond this many scales grow only with their logarithm."""
WILD = 1000.0
"""Readings further out than so many scales are all the same."""
KNOTS = 17
"""Quantiles of a setting that its rank is read from."""
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
    """A batch on its way through the network; T comes first because every step below runs over it."""

    z: Tensor
    """(T, B, M) scaled targets; where no reading fell the last one stands (the next before the first, else 0)."""
    mask: Tensor
    """(T, B, M) 1.0 where a reading fell, else 0.0."""
    context: Tensor
    """(B, K) what settings and states say, patch by patch, a constant 1, and zeros up to a round width."""
    last: Tensor
    """(B, M) the last reading of each target in its unit (NaN without one); a counter's level, not its slope."""
    span: Tensor
    """(B, M) rows between a counter's first and last reading in the window, 0 for the others."""


def squash(z: Tensor) -> Tensor:
    """Identity up to ±SQUASH, then logarithmic; smooth at the join."""
    excess = torch.clamp(z.abs() - SQUASH, min=0.0)
    return torch.clamp(z, -SQUASH, SQUASH) + torch.sign(z) * torch.log1p(excess)


def fill_forward(x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Carry the last seen reading along the first axis: (T, ...), bool (T, ...) → filled, bool "seen so far"."""
    filled, so_far = torch.empty_like(x), torch.empty_like(seen)
    carried, any_seen = torch.zeros_like(x[0]), torch.zeros_like(seen[0])
    for t in range(x.shape[0]):
        carried = torch.where(seen[t], x[t], carried)
        any_seen = any_seen | seen[t]
        filled[t], so_far[t] = carried, any_seen
    return filled, so_far


class Preparation(nn.Module):
    """Masked robust scaler, counters' slopes and context features; fitted once over the fleet."""

    center: Tensor
    scale: Tensor
    slope_limit: Tensor
    context_center: Tensor
    context_scale: Tensor
    knots: Tensor
    category: Tensor

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

    @property
    def context_width(self) -> int:
        """Features of `Prepared.context`."""
        told = self.patches * (3 * len(self.settings) + sum(self.categories)) + 1
        return -(-told // ALIGNED) * ALIGNED

    def fit(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Fit on (N, T, C) windows of the fleet, at best spread over all devices and modes."""
        x, seen = self._rows_first(values, mask)
        with torch.no_grad():
            targets, target_seen = x[..., self.targets], seen[..., self.targets]
            if self.counters:
                self.slope_limit.copy_(torch.tensor([[-torch.inf, torch.inf]] * len(self.counters)))
                slopes, slope_seen = self._slopes(
                    targets[..., self.counters], target_seen[..., self.counters]
                )
                for j in range(len(self.counters)):
                    self.slope_limit[j] = _believable(slopes[..., j][slope_seen[..., j]])
                slopes, slope_seen = self._slopes(
                    targets[..., self.counters], target_seen[..., self.counters]
                )
                targets[..., self.counters], target_seen[..., self.counters] = slopes, slope_seen
            for m, floor in enumerate(self.floors):
                self.center[m], self.scale[m] = _robust(targets[..., m][target_seen[..., m]], floor)
            for s, i in enumerate(self.settings):
                told = x[..., i][seen[..., i]]
                self.context_center[s], self.context_scale[s] = _robust(told, 1e-6)
                if len(told):
                    self.knots[s] = torch.quantile(
                        told[:: max(1, len(told) // 100_000)], torch.linspace(0, 1, KNOTS)
                    )

    def forward(self, values: Tensor, mask: Tensor) -> Prepared:
        """(B, T, C) in units, NaN where `mask` is False → `Prepared`."""
        x, seen = self._rows_first(values, mask)
        targets, target_seen = x[..., self.targets], seen[..., self.targets]
        last = fill_last(targets, target_seen)
        span = torch.zeros_like(last)
        if self.counters:
            rows = torch.arange(self.rows, device=x.device, dtype=x.dtype)[:, None, None]
            c_seen = target_seen[..., self.counters]
            newest = torch.where(c_seen, rows, -1.0).amax(0)
            oldest = torch.where(c_seen, rows, float(self.rows)).amin(0)
            span[:, self.counters] = torch.clamp(newest - oldest, min=0.0)
            slopes, slope_seen = self._slopes(targets[..., self.counters], c_seen)
            targets[..., self.counters], target_seen[..., self.counters] = slopes, slope_seen
        z = torch.clamp((targets - self.center) / self.scale, -WILD, WILD)
        return Prepared(
            fill_both(z, target_seen), target_seen.to(x.dtype), self._context(x, seen), last, span
        )

    def unscale(self, z: Tensor) -> Tensor:
        """Inverse of the scaler for (..., M) values; a counter gives its slope a row."""
        return z * self.scale + self.center

    def _rows_first(
        self, values: NDArray[np.float32] | Tensor, mask: NDArray[np.bool_] | Tensor
    ) -> tuple[Tensor, Tensor]:
        x, seen = torch.as_tensor(values), torch.as_tensor(mask)
        x = torch.where(seen, x, 0.0)
        return x.transpose(0, 1).contiguous(), seen.transpose(0, 1).contiguous()

    def _slopes(self, level: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Slope a row of (T, B, counters) over the last quarter window; not seen where it cannot be told."""
        H, T = self.slope_rows, level.shape[0]
        rows = torch.arange(T, device=level.device, dtype=level.dtype)[:, None, None].expand_as(level)
        filled, so_far = fill_forward(level, seen)
        row, _ = fill_forward(rows, seen)
        first = so_far.to(torch.int8).argmax(
            0, keepdim=True
        )  # before a full quarter: since the first reading
        back = torch.clamp(torch.arange(T, device=level.device)[:, None, None] - H, min=0)
        back = torch.maximum(back.expand_as(first.expand_as(level)), first)
        elapsed = row - torch.gather(row, 0, back)
        slope = (filled - torch.gather(filled, 0, back)) / torch.clamp(elapsed, min=1.0)
        low, high = self.slope_limit[:, 0], self.slope_limit[:, 1]
        told = seen & so_far & (elapsed >= min(H // 4 + 1, H)) & (slope >= low) & (slope <= high)
        return torch.where(told, slope, 0.0), told

    def _rank(self, x: Tensor) -> Tensor:
        """(P, B, S) settings → where they stand among those of the fleet, 0 to 4, linear between the knots.

        A temperature of 36 °C or 37 °C is told apart although disinfection needs 84 °C, and 2 mL/h from 4 mL/h
        although 400 mL/h occur.
        """
        low, wide = self.knots[:, :-1], self.knots.diff(dim=1).clamp(min=1e-9)
        return torch.clamp((x[..., None] - low) / wide, 0.0, 1.0).sum(-1) * (4.0 / (KNOTS - 1))

    def _context(self, x: Tensor, seen: Tensor) -> Tensor:
        T, B, _ = x.shape
        parts = [torch.ones(B, 1, device=x.device, dtype=x.dtype)]
        L = T // self.patches
        if self.settings:
            raw = fill_both(x[..., self.settings], seen[..., self.settings])
            patched = raw.view(self.patches, L, B, -1)
            low, middle, high = patched.amin(1), patched.mean(1), patched.amax(1)
            z = squash((middle - self.context_center) / self.context_scale)
            told = torch.cat((z, self._rank(middle), (self._rank(high) - self._rank(low)) * 0.5), -1)
            parts.append(told.permute(1, 0, 2).reshape(B, -1))
        if self.states:
            raw = fill_both(x[..., self.states], seen[..., self.states])
            repeats = torch.tensor(self.categories, device=x.device)
            hot = (raw.repeat_interleave(repeats, -1) == self.category).to(x.dtype)
            parts.append(hot.view(self.patches, L, B, -1).mean(1).permute(1, 0, 2).reshape(B, -1))
        told = torch.cat(parts, 1)
        return torch.cat((told, told.new_zeros(B, self.context_width - told.shape[1])), 1)


def fill_last(x: Tensor, seen: Tensor) -> Tensor:
    """The last seen reading along the first axis, NaN without one: (T, B, M) → (B, M)."""
    rows = torch.arange(x.shape[0], device=x.device)[:, None, None]
    newest = torch.where(seen, rows, -1).amax(0)
    last = torch.gather(x, 0, torch.clamp(newest, min=0)[None])[0]
    return torch.where(newest >= 0, last, torch.nan)


def fill_both(x: Tensor, seen: Tensor) -> Tensor:
    """Forward fill, and backwards before the first reading; 0 without any. (T, ...) → (T, ...)."""
    filled, so_far = fill_forward(x, seen)
    first = torch.gather(filled, 0, so_far.to(torch.int8).argmax(0, keepdim=True))
    return torch.where(so_far, filled, first)


def _robust(x: Tensor, floor: float) -> tuple[Tensor, Tensor]:
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
