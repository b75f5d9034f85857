"""Known faults are ranked by what all channels do together, with a confidence that means something."""

import numpy as np
import pytest

from monitor.findings.hypotheses import NAMED, Traces, rank, suspicions
from streams.devices import DeviceProfile, FaultSignature, Movement, load_profiles
from streams.simulation import fault_specs
from tests.monitor.worlds import PUMP


def fault(name: str, moves: dict[str, Movement], steady: tuple[str, ...] = ()) -> FaultSignature:
    return FaultSignature(name=name, title=name, action="Look.", moves=moves, steady=steady)


OCCLUSION = fault("occlusion", {"line_pressure_down": Movement.UP, "motor_current": Movement.UP})
FREE_FLOW = fault("free_flow", {"flow_current": Movement.UP, "line_pressure_down": Movement.DOWN})
DRIFT = fault("drift", {"line_pressure_down": Movement.EITHER}, steady=("motor_current",))
SHAKING = fault("shaking", {"motor_current": Movement.RESTLESS})
STUCK = fault("stuck", {"motor_current": Movement.STILL})


def pump(*faults: FaultSignature) -> DeviceProfile:
    return PUMP.model_copy(update={"faults": faults})


def traces(
    share: tuple[float, float, float] = (1.0, 0.0, 0.0),
    deviation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    liveliness: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Traces:
    """Of pressure, motor current and flow; the setting has none."""
    return Traces(
        *(np.array([*plane, last]) for plane, last in ((share, 0.0), (deviation, 0.0), (liveliness, 0.0)))
    )


def test_the_fault_that_moves_these_channels_these_ways_comes_first() -> None:
    known = pump(OCCLUSION, FREE_FLOW, SHAKING)
    up = rank(known, traces((0.7, 0.3, 0.0), (20.0, 9.0, 0.0)))
    down = rank(known, traces((0.2, 0.0, 0.8), (-9.0, 0.0, 30.0)))
    assert (up[0].fault, down[0].fault) == ("occlusion", "free_flow")
    assert up[0].confidence > 0.8
    assert down[0].confidence > 0.8


def test_the_wrong_direction_refutes_a_fault() -> None:
    right, wrong = (rank(pump(OCCLUSION), traces((0.7, 0.3, 0.0), (x, x, 0.0)))[0] for x in (20.0, -20.0))
    assert right.confidence > 0.8
    assert wrong.confidence < 0.2


def test_a_channel_that_should_be_steady_tells_two_faults_apart() -> None:
    known = pump(OCCLUSION, DRIFT)
    alone = rank(known, traces((1.0, 0.0, 0.0), (15.0, 0.0, 0.0)))
    together = rank(known, traces((0.9, 0.1, 0.0), (15.0, 12.0, 0.0)))
    assert (alone[0].fault, together[0].fault) == ("drift", "occlusion")


def test_shaking_and_standing_still_are_told_from_each_other() -> None:
    known = pump(SHAKING, STUCK)
    restless = rank(known, traces((0.0, 1.0, 0.0), liveliness=(0.0, 9.0, 0.0)))
    still = rank(known, traces((0.0, 1.0, 0.0), liveliness=(0.0, -9.0, 0.0)))
    assert (restless[0].fault, still[0].fault) == ("shaking", "stuck")


def test_what_no_signature_explains_leaves_its_confidence_to_none_of_these() -> None:
    strange = rank(pump(OCCLUSION, FREE_FLOW), traces((0.0, 1.0, 0.0), (0.0, -25.0, 0.0)))
    assert sum(suspicion.confidence for suspicion in strange) < 0.2


def test_confidences_are_a_distribution_that_leaves_something_for_the_unknown() -> None:
    told = rank(pump(OCCLUSION, FREE_FLOW, DRIFT), traces((0.9, 0.1, 0.0), (5.0, 3.0, 0.0)))
    assert all(0 < s.confidence < 1 for s in told)
    assert sum(s.confidence for s in told) < 1
    assert [s.confidence for s in told] == sorted((s.confidence for s in told), reverse=True)


def test_without_levels_the_share_alone_still_ranks() -> None:
    unknown = (float("nan"),) * 3
    told = rank(pump(OCCLUSION, FREE_FLOW), traces((0.1, 0.0, 0.9), unknown, unknown))
    assert told[0].fault == "free_flow"


def test_a_device_type_without_known_faults_has_no_hypothesis() -> None:
    assert rank(pump(), traces()) == ()


def test_only_a_few_faults_worth_telling_are_told() -> None:
    many = [fault(f"same_{i}", {"line_pressure_down": Movement.UP}) for i in range(6)]
    told = suspicions(pump(*many, FREE_FLOW), traces(deviation=(20.0, 0.0, 0.0)))
    assert len(told) == NAMED
    assert told == suspicions(pump(*many, FREE_FLOW), traces(deviation=(20.0, 0.0, 0.0)))
    assert "free_flow" not in {s.fault for s in told}


@pytest.mark.parametrize("kind", ["infusion-pump", "icu-ventilator", "haemodialysis"])
def test_every_fault_that_the_simulator_makes_has_a_signature_and_an_action(kind: str) -> None:
    known = {known.name: known for known in load_profiles()[kind].faults}
    assert set(known) == set(fault_specs(kind))
    for signature in known.values():
        assert signature.action.endswith(".")
        assert not set(signature.moves) & set(signature.steady)
