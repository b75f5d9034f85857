"""What profiles say of a fault is what the simulated fault does."""

import numpy as np
import pytest

from streams.devices import FaultSignature, Movement, load_profiles
from streams.simulation import Simulation, fault_specs, simulate
from streams.simulation.device import machine_of
from tests.streams.simulation.worlds import START_MS, one_fault, part

DESCRIBED = ("steam-steriliser", "infant-incubator", "defibrillator")
SIGNATURES = [(kind, fault) for kind in DESCRIBED for fault in load_profiles()[kind].faults]


def shift(faulty: Simulation, healthy: Simulation, channel: str) -> float:
    """Mean change of a channel over the last 1,000 steps, in spreads."""
    means = [part(run, channel, 2000, 3000).mean() for run in (faulty, healthy)]
    return float(means[0] - means[1]) / machine_of(healthy.profile.type).spread[channel]


@pytest.mark.parametrize("kind", DESCRIBED)
def test_every_simulated_fault_has_a_signature(kind: str) -> None:
    assert [fault.name for fault in load_profiles()[kind].faults] == list(fault_specs(kind))


@pytest.mark.parametrize(("kind", "signature"), SIGNATURES)
def test_a_fault_moves_its_channels_as_its_signature_says_and_leaves_the_steady_ones(
    kind: str, signature: FaultSignature
) -> None:
    healthy = simulate(kind, "U-1", 5, START_MS, 3000 * machine_of(kind).step_s)
    faulty = one_fault(kind, signature.name)
    moved = {channel: shift(faulty, healthy, channel) for channel in signature.moves}
    for channel, movement in signature.moves.items():
        if movement is Movement.UP:
            assert moved[channel] > 1, channel
        elif movement is Movement.DOWN:
            assert moved[channel] < -1, channel
        else:
            assert abs(moved[channel]) > 1, channel
    still = [abs(shift(faulty, healthy, channel)) for channel in signature.steady]
    assert max(still, default=0.0) < 0.4 * np.abs(list(moved.values())).max()
    assert max(still, default=0.0) < 3
