"""What a GPU trains and scores is what the CPU does; skipped where there is none."""

import json

import pytest
import torch

from tests.gpu.measure import main


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_and_cpu_agree(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--device", "cuda"])
    summary = json.loads(capsys.readouterr().out)
    assert status == 0, summary["problems"]
    assert summary["parts"]["gpu"]["precision"] == "bfloat16"
    assert summary["windows_a_second"]["4096"] > 2 * summary["windows_a_second_plain"]["4096"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_shipped_model_scores_on_a_gpu_as_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--device", "cuda", "--only-scoring", "--seconds", "0.2"])
    assert status == 0, json.loads(capsys.readouterr().out)["problems"]


def test_the_measure_of_scoring_itself_works_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--only-scoring", "--seconds", "0"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert all(summary["bits"].values())
    assert summary["problems"] == []
