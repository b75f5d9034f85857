"""Which known fault of a device type explains an episode best, and how sure that is. Pure; learns nothing.

Every fault's signature (`FaultSignature` of the profile) is read as a small probabilistic model of what the channels
do, and so is "none of these". The posterior over all of them, with even priors, is the confidence:

    log P(fault | evidence) = (share + level + shaking) / TEMPER + const

- share: −SHARE_COUNTS · KL(share ‖ signature), the log-likelihood of so many draws from the channels that the fault
  moves, each next one `FADE` times as likely as the one before; a strong share on a channel that the signature does not
  move, or none on its first, costs most.
- level: per channel the density of its deviation (in its spreads): around 0 for a channel left alone, wide on the side
  to which the fault moves it. Both are mixtures, because a fault may not show in every channel yet, and because what it
  drags along is not in every signature; a channel named `steady` has no such excuse.
- shaking: likewise of the liveliness.

The constants are common to all device types and faults. Letters: C channels, H hypotheses.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.devices import DeviceProfile, FaultSignature, Movement

SHARE_COUNTS: Final = 4.0
"""The share counts as so many independent draws of the channel at fault."""
FADE: Final = 0.35
"""Of what a fault moves, the next channel carries so much of the one before."""
STRAY: Final = 0.1
"""Part of the share that falls beside the channels of a signature."""
USUAL: Final = 1.5
"""Spreads by which a healthy channel of a unit unlike its fleet deviates."""
STRONG: Final = 12.0
"""Spreads by which a channel at fault deviates, in order of magnitude."""
LATE: Final = (0.1, 0.4)
"""Chance that a channel that a fault moves does not show it (yet): the first of its signature, and each other."""
DRAGGED: Final = 0.1
"""Chance that a channel moves although no signature says so."""
EXCUSED: Final = 0.02
"""The same chance of one that a signature calls steady."""
UNKNOWN: Final = 0.25
"""Chance that an unknown fault moves a channel."""
TEMPER: Final = 2.0
"""Channels tell partly the same, so their sum is too sure of itself by about this factor."""
NAMED: Final = 3
"""Faults that are named at most ..."""
LEAST: Final = 0.02
"""... and each at least so likely."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A fault that would explain an episode."""

    fault: str
    """Name of the signature in the profile."""
    confidence: float
    """0 to 1. Those of all faults of the type and of "none of these" sum to 1."""


class Traces(NamedTuple):
    """What an episode says of the C channels of a profile, settings and states included."""

    share: Floats
    """(C,) part in the anomaly; sums to 1."""
    deviation: Floats
    """(C,) level off the expected one, in its spreads; NaN where unknown."""
    liveliness: Floats
    """(C,) likewise of how much it shakes."""


def suspicions(profile: DeviceProfile, traces: Traces) -> tuple[Suspicion, ...]:
    """The faults worth telling an engineer, the most likely first."""
    return tuple(s for s in rank(profile, traces)[:NAMED] if s.confidence >= LEAST)


def rank(profile: DeviceProfile, traces: Traces) -> tuple[Suspicion, ...]:
    """The faults of a profile, the most likely first; empty where it knows none."""
    if not profile.faults:
        return ()
    watched = np.array([c.role in {"measured", "counter"} for c in profile.channels])
    level, shaking = _Densities.of(traces.deviation), _Densities.of(traces.liveliness)
    dragged = _log(level.moved(DRAGGED)) + _log(shaking.moved(DRAGGED))
    fits = [
        _share_fit(profile, fault, traces.share) + _channel_fit(profile, fault, level, shaking, dragged)
        for fault in profile.faults
    ]
    unknown = _log(level.moved(UNKNOWN)) + _log(shaking.moved(UNKNOWN)) - dragged
    # Whatever channel an unknown fault moves would be named after the fact, which has its price.
    fits.append(float(unknown[watched].sum() - np.log(watched.sum())))
    confidence = _softmax(np.array(fits) / TEMPER)
    ranked = np.argsort(-confidence[:-1], kind="stable")
    return tuple(Suspicion(profile.faults[h].name, float(confidence[h])) for h in ranked)


def _softmax(x: Floats) -> Floats:
    grown = np.exp(x - x.max())
    normal: Floats = grown / grown.sum()
    return normal


def _share_fit(profile: DeviceProfile, fault: FaultSignature, share: Floats) -> float:
    """−SHARE_COUNTS · KL(share ‖ signature)."""
    expected = np.full(len(share), STRAY / len(share))
    weights = FADE ** np.arange(len(fault.moves))
    for name, weight in zip(fault.moves, weights / weights.sum(), strict=True):
        expected[profile.index[name]] += (1 - STRAY) * weight
    some = share > 0
    return float(-SHARE_COUNTS * (share[some] * np.log(share[some] / expected[some])).sum())


def _channel_fit(
    profile: DeviceProfile, fault: FaultSignature, level: "_Densities", shaking: "_Densities", dragged: Floats
) -> float:
    """Log-likelihood of all channels under a signature, less that of channels that nobody speaks of."""
    total = 0.0
    for place, (name, movement) in enumerate(fault.moves.items()):
        c, shown = profile.index[name], 1 - LATE[min(place, 1)]
        total += _log(_moved(movement, shown, level, shaking, c)) - dragged[c]
    for name in fault.steady:
        c = profile.index[name]
        total += _log(level.moved(EXCUSED)[c] * shaking.moved(EXCUSED)[c]) - dragged[c]
    return float(total)


def _moved(movement: Movement, shown: float, level: "_Densities", shaking: "_Densities", c: int) -> float:
    """Density of channel `c` that a fault moves so, and that shows it with the chance `shown`."""
    match movement:
        case Movement.UP:
            return float(level.upwards(shown)[c] * shaking.moved(0.5)[c])
        case Movement.DOWN:
            return float(level.downwards(shown)[c] * shaking.moved(0.5)[c])
        case Movement.EITHER:
            # An offset or a slow drift: the channel goes on as lively as it was.
            return float(level.moved(shown)[c] * shaking.moved(EXCUSED)[c])
        case Movement.RESTLESS:
            return float(level.moved(0.5)[c] * shaking.upwards(shown)[c])
        case Movement.STILL:
            return float(level.moved(0.5)[c] * shaking.downwards(shown)[c])


class _Densities(NamedTuple):
    """Of one number per channel, each (C,); 1 where the number is unknown, so that it tells nothing."""

    calm: Floats
    wide: Floats
    up: Floats
    down: Floats

    @classmethod
    def of(cls, x: Floats) -> "_Densities":
        known, filled = np.isfinite(x), np.nan_to_num(x)
        calm, wide = _student(filled, USUAL), _student(filled, STRONG)
        planes = (calm, wide, 2 * wide * (filled > 0), 2 * wide * (filled < 0))
        return cls(*(np.where(known, plane, 1.0) for plane in planes))

    def moved(self, chance: float) -> Floats:
        """Moved with this chance, to whichever side."""
        return (1 - chance) * self.calm + chance * self.wide

    def upwards(self, chance: float) -> Floats:
        return (1 - chance) * self.calm + chance * self.up

    def downwards(self, chance: float) -> Floats:
        return (1 - chance) * self.calm + chance * self.down


def _student(x: Floats, scale: float) -> Floats:
    """Density of Student's t with three degrees of freedom: what is far out is not impossible."""
    density: Floats = 2 / (np.sqrt(3) * np.pi * scale) * (1 + (x / scale) ** 2 / 3) ** -2
    return density


def _log(x: Floats | float) -> Floats:
    logs: Floats = np.log(np.maximum(x, 1e-12))
    return logs
