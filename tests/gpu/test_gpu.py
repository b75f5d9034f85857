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
    assert summary["windows_a_second"]["4096"] > 0
