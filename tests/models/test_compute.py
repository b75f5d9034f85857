"""Where a training computes: what was asked for or a readable refusal, and bfloat16 where it does no harm."""

import numpy as np
import pytest
import torch
from torch import nn

from models.compute import Compute, ComputeError, computing
from models.descent import Descent, rounds
from models.detector import Detector
from models.grounding import prepare_all, reconstruction_loss
from models.training import windows_of
from tests.models.conftest import TINY_MODEL
from tests.models.fleet import CHANNELS, ROWS, device


def test_a_lone_process_leads_and_keeps_its_own_numbers() -> None:
    with computing("cpu", environment={}) as compute:
        assert compute.leads
        assert compute.precision == "float32"
        assert compute.mean(3.5) == 3.5
        assert compute.gather([1, 2]) == [1, 2]
        assert compute.leading("x") == "x"


@pytest.mark.parametrize(
    ("environment", "precision", "told"),
    [
        ({"WORLD_SIZE": "two"}, "auto", "WORLD_SIZE is 'two'"),
        ({}, "float8", "no precision float8; there are auto, float32, bfloat16"),
    ],
)
def test_what_cannot_be_used_is_refused(environment: dict[str, str], precision: str, told: str) -> None:
    with pytest.raises(ComputeError, match=told), computing("cpu", precision, environment=environment):
        pass


def test_the_processes_together_draw_no_fewer_windows_than_one_and_each_its_own() -> None:
    ranks = [Compute(rank=rank, world=3) for rank in range(3)]
    assert [rank.part_of(128) for rank in ranks] == [43, 43, 43]
    draws = [rank.random(7).integers(1_000_000, size=4).tolist() for rank in ranks]
    assert len({tuple(draw) for draw in draws}) == 3
    assert draws[0] == np.random.default_rng(7).integers(1_000_000, size=4).tolist()


def test_rounds_cover_every_step_once() -> None:
    assert list(rounds(250)) == [(0, 100), (100, 100), (200, 50)]


def test_a_descent_finds_the_bottom_and_its_loss_is_read_in_the_end() -> None:
    weight = nn.Parameter(torch.tensor([3.0, -2.0]))
    descent = Descent([{"params": [weight], "weight_decay": 0.0}], 0.1, 300, Compute())
    for _ in range(300):
        descent.step((weight**2).sum())
    assert weight.detach().abs().max() < 1e-2
    assert 0 < descent.smoothed() < 1


@pytest.mark.parametrize("steps", [5, 10])
@pytest.mark.parametrize("warm", [0.1, 0.3])
def test_the_shortest_training_has_a_schedule_too(steps: int, warm: float) -> None:
    weight = nn.Parameter(torch.ones(()))
    descent = Descent([{"params": [weight]}], 0.1, steps, Compute(), warm=warm)
    for _ in range(steps):
        descent.step(weight**2)
    assert weight.detach() < 1


def test_bfloat16_products_change_the_loss_a_little_and_leave_gradients_in_float32() -> None:
    torch.manual_seed(0)
    views = windows_of(device(3, 400), ROWS, 4)
    values, mask = views[0].copy(), views[1].copy()
    detector = Detector(CHANNELS, ROWS, TINY_MODEL)
    detector.preparation.fit(values, mask)
    prepared = prepare_all(detector, values, mask, torch.device("cpu"))
    losses, gradients = [], []
    for compute in (Compute(), Compute(precision="bfloat16")):
        detector.zero_grad()
        loss = reconstruction_loss(detector, prepared, torch.Generator().manual_seed(0), compute)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in detector.parameters() if p.grad is not None]))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert gradients[1].dtype == torch.float32
    assert nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.98
