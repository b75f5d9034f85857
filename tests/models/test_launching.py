"""What is recorded gives what is computed anew, and the scorer's road can be recorded."""

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.detector import AttentionScorer
from models.launching import Function, Graphed, Plain, Recording
from models.speed import synthetic_scorer, synthetic_windows
from tests.checks.scorer_laws import assert_same

CPU = torch.device("cpu")
ON_THE_HOST = ("_local_scalar_dense", "nonzero", "scalar_tensor", "lift_fresh", "masked_select", "unique")
"""Operations that wait for the device, or copy to it from memory that a recording does not know."""


class Recorder:
    """Stands in for CUDA graphs where there is no GPU: results always lie where those of the first run lay."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, ...]] = []

    def __call__(self, function: Function, tensors: Sequence[Tensor]) -> Recording:
        self.recorded.append(tuple(tensors[0].shape))
        results = function(*tensors)

        def replay() -> None:
            for result, new in zip(results, function(*tensors), strict=True):
                result.copy_(new)

        return Recording(replay, results)


def sums(x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
    """Of each window, and with another array the sum of both."""
    return (x.sum(1),) if y is None else (x.sum(1), x + y)


def function_of(scorer: AttentionScorer, name: str) -> Function:
    """What a scorer has computed, in tensors."""
    function: Function = getattr(scorer, name)._function
    return function


def recorded(scorer: AttentionScorer, recorder: Callable[..., Recording]) -> AttentionScorer:
    """The same, on the road that a GPU takes."""
    for name in ("_found", "_judged"):
        setattr(scorer, name, Graphed(function_of(scorer, name), CPU, recorder))
    return scorer


def test_a_recorded_scorer_scores_what_the_plain_one_does() -> None:
    recorder = Recorder()
    plain, graphed = synthetic_scorer(), recorded(synthetic_scorer(), recorder)
    values, mask = synthetic_windows(290)
    bias = np.random.default_rng(1).normal(0, 1, (290, values.shape[2])).astype(np.float32)
    for n in (290, 3, 256, 40, 0):
        some = values[:n], mask[:n]
        assert_same(graphed.score(*some), plain.score(*some))
        assert_same(graphed.score_adapted(*some, bias[:n]), plain.score_adapted(*some, bias[:n]))
        assert (graphed.statistics(*some) == plain.statistics(*some)).all()
    assert len(recorder.recorded) == 6  # two sizes: with a bias, without, and the statistics alone


def test_results_stay_when_the_memory_that_they_came_in_is_used_again() -> None:
    graphed = Graphed(sums, CPU, Recorder())
    one, two = np.ones((4, 3), np.float32), np.full((2, 3), 5.0, np.float32)
    (first,) = graphed(4, one)
    (second,) = graphed(4, two)
    assert first.tolist() == [3.0] * 4
    assert second[:2].tolist() == [15.0] * 2


def test_each_combination_of_shapes_is_recorded_once() -> None:
    recorder = Recorder()
    graphed = Graphed(sums, CPU, recorder)
    x = np.ones((2, 3), np.float32)
    for _ in range(3):
        assert len(graphed(4, x)) == 1
        assert len(graphed(4, x, x)) == 2
        assert len(graphed(8, x)[0]) == 8
    assert recorder.recorded == [(4, 3), (4, 3), (8, 3)]


def test_weights_that_change_in_place_are_seen() -> None:
    weight = torch.ones(3)
    graphed = Graphed(lambda x: (x @ weight,), CPU, Recorder())
    x = np.ones((1, 3), np.float32)
    before = graphed(1, x)[0].tolist()
    weight.mul_(2)
    assert (before, graphed(1, x)[0].tolist()) == ([3.0], [6.0])


def test_where_nothing_can_be_recorded_it_warns_once_and_computes_all_the_same() -> None:
    def refuse(function: Function, tensors: Sequence[Tensor]) -> Recording:
        raise RuntimeError("CUDA error: operation not supported\nand much more")

    graphed, x = Graphed(sums, CPU, refuse), np.ones((2, 3), np.float32)
    with pytest.warns(RuntimeWarning, match=r"\(CUDA error: operation not supported\); scores are right"):
        (first,) = graphed(4, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (again,) = graphed(4, x)
    assert first[:2].tolist() == again[:2].tolist() == [3.0, 3.0]


def test_threads_take_turns() -> None:
    busy = threading.Lock()

    def alone(x: Tensor) -> tuple[Tensor]:
        assert busy.acquire(blocking=False), "two threads at once"
        try:
            return (x.cumsum(0).sum(1),)
        finally:
            busy.release()

    graphed, wrong = Graphed(alone, CPU, Recorder()), []

    def work(k: int) -> None:
        x = np.full((64, 200), k, np.float32)
        for _ in range(50):
            (got,) = graphed(64, x)
            if got[0] != 200 * k:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_array_that_must_not_be_written_is_copied_and_a_short_one_is_filled_up() -> None:
    x = np.ones((2, 3), np.float32)
    x.flags.writeable = False
    assert Plain(sums, CPU)(2, x)[0].tolist() == [3.0, 3.0]
    assert Plain(sums, CPU)(3, x)[0].tolist() == [3.0, 3.0, 0.0]


class Watched(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Collects the operations that no recording could hold."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(op) for name in ON_THE_HOST):
            self.found.append(str(op))
        return op(*args, **(kwargs or {}))


@pytest.mark.parametrize("biased", [False, True])
def test_the_road_from_readings_to_planes_reads_nothing_on_the_host_and_takes_nothing_from_it(
    biased: bool,
) -> None:
    scorer, (values, mask) = synthetic_scorer(), map(torch.from_numpy, synthetic_windows(32))
    bias = torch.zeros(32, len(scorer.detector.preparation.targets))
    with torch.no_grad(), Watched() as watched:
        function_of(scorer, "_found")(values, mask, *([bias] if biased else []))
        function_of(scorer, "_judged")(values, mask)
    assert watched.found == []


def test_the_watch_sees_a_number_read_on_the_host() -> None:
    with Watched() as watched:
        torch.where(torch.ones(2) > 0, torch.ones(2), 0.5)
        float(torch.ones(()))
    assert {name.split(".")[1] for name in watched.found} == {"scalar_tensor", "_local_scalar_dense"}
