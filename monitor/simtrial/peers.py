"""What people would use instead, fitted for a device type: on a simulated fleet, for the budget and the rule of ours.

The fleet is part of the one that `attendant zoo` trains the type's model on, fault-free and with its look-alikes; its
seeds are never the benchmark's. Judges nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.baselines import PLAIN, PlainScorer, fit_scorers
from models.calibration import AlarmRule
from models.training import TrainingConfig, computing
from monitor.simulated import SimulateOptions
from monitor.workshop import channel_specs
from monitor.zoo import FLEET_SEED, fleet_hours, simulated_series
from streams.devices import DeviceProfile

DEVICES = 256
"""Of a type's fleet. Plain methods need no more: half of them are for the threshold alone."""


class PeerError(Exception):
    """Peers that there are not; one readable line."""


def peers_named(words: Sequence[str]) -> tuple[str, ...]:
    """Those that were named, separated by commas; all without a word.

    Raises:
        PeerError: an unknown one.
    """
    names = [name.strip() for word in words for name in word.split(",")]
    if unknown := [name for name in names if name not in PLAIN]:
        raise PeerError(f"no peer {', '.join(unknown)} on simulated devices; there are {', '.join(PLAIN)}")
    return tuple(name for name in PLAIN if name in names or not words)


@dataclass(frozen=True, slots=True)
class PeerFit:
    """Peers to be fitted for a device type."""

    profile: DeviceProfile
    names: tuple[str, ...]
    """Of `models.baselines.PLAIN`."""
    rule: AlarmRule
    asked_a_day: float
    """False alarms a device-day that the thresholds are for."""
    devices: int = DEVICES

    @property
    def kind(self) -> str:
        """The device type."""
        return self.profile.type

    @property
    def fleet(self) -> SimulateOptions:
        """What they learn from."""
        hours = fleet_hours(self.profile)
        return SimulateOptions(self.profile.type, self.devices, hours, FLEET_SEED, (), 0.0)

    def hours(self) -> float:
        """Device hours to simulate."""
        return self.fleet.devices * self.fleet.hours

    def fit(self) -> dict[str, PlainScorer]:
        """Name → scorer with its threshold.

        Raises:
            SimulateError: the fleet has a seed of the benchmark's.
        """
        self.fleet.check()
        profile, series = self.profile, simulated_series(self.fleet, self.profile, lambda _: None)
        config = TrainingConfig(budget=self.asked_a_day, rule=self.rule, min_rows=profile.min_rows)
        # On one thread, as models are loaded: the same scores whoever else is at work.
        with computing("cpu", threads=1, environment={}):
            return fit_scorers(
                self.names, profile.type, channel_specs(profile), profile.window_rows, profile.stride_rows,
                profile.grid_ms / 1000, series, config,
            )  # fmt: skip


def told_of(scorer: PlainScorer) -> dict[str, Any]:
    """What the report says of a peer's fit."""
    threshold = scorer.threshold
    return {
        "model_digest": scorer.identity.digest,
        "calibration": {"device_days": threshold.device_days, "alarms_a_device_day_seen": threshold.rate_seen},
    }  # fmt: skip
