"""Models at work beside the event loop: one that fails is counted, and stops neither the others nor itself for good."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.scoring import Score
from monitor.due import Due
from monitor.inference import Inference
from monitor.metrics import Metrics
from streams.blocks import WindowBatch
from tests.monitor.test_maintenance import Limit, Tape, telemetry, the_alert, worker
from tests.monitor.test_outbox import opened
from tests.monitor.worlds import PUMP


class Failing(Limit):
    """A scorer that is out of memory so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        if self.failures > 0:
            self.failures -= 1
            raise RuntimeError("CUDA out of memory")
        return super().score(values, mask)

    def score_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Score:
        return Limit.score_adapted(self, values, mask, bias)


def windows(kind: str, count: int) -> Due:
    values = np.full((count, PUMP.window_rows, len(PUMP.channels)), 600, np.float32)
    profile = PUMP.model_copy(update={"type": kind})
    devices, end_t = [f"{kind}-{n}" for n in range(count)], np.zeros(count, np.int64)
    return Due(WindowBatch(profile, devices, end_t, values, np.isfinite(values)), None, None)


def skipped(metrics: Metrics) -> float:
    name, labels = "attendant_windows_skipped_total", {"reason": "scorer_failed"}
    return metrics.registry.get_sample_value(name, labels) or 0


async def test_a_model_that_fails_is_counted_and_the_windows_of_other_types_are_scored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = Metrics.of_process(device_types=["good", "bad"])
    inference = Inference({"good": Limit(), "bad": Failing(1)}, metrics)
    due = [windows("bad", 3), windows("good", 2), windows("bad", 1)]
    try:
        first, second, third = await inference.score(due)
        assert (first, third) == (None, None)
        assert second is not None
        assert second.score.anomaly.tolist() == [2.0, 2.0]
        assert all(await inference.score(due))
    finally:
        inference.close()
    assert skipped(metrics) == 4
    assert "CUDA out of memory" in capsys.readouterr().out


async def test_the_service_goes_on_behind_a_model_that_fails_for_a_while(sqlite_url: str) -> None:
    tape = Tape(telemetry((240, 350.0), (160, 900.0)))
    async with opened(sqlite_url) as outbox, worker(outbox, tape, 0.0, Failing(5)) as running:
        await running.play(400)
        await running.tend()
        assert (await the_alert(outbox)).device.id == "SN-1"
        assert skipped(running.pipeline.metrics) >= 5
        await running.stop()
