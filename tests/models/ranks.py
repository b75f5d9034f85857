"""One process of a training that several share: started by torchrun, writes what it ended with into a folder."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from models.training import Compute, Series, Trained, computing, train
from tests.models.conftest import TINY, TINY_MODEL
from tests.models.fleet import CHANNELS, ROW_S, ROWS, STRIDE, device


def fleet(devices: int) -> list[Series]:
    return [device(serial, 700) for serial in range(devices)]


def trained(series: Sequence[Series], compute: Compute | None = None) -> Trained:
    """A short training, in one process or as one of several."""
    config = replace(TINY, windows=1000, expectation_steps=300, evidence_windows=1500, evidence_steps=200)
    return train("tiny-pump", "1", CHANNELS, ROWS, STRIDE, ROW_S, series, config, TINY_MODEL, compute=compute)


def main(folder: Path, devices: int, short_rank: int) -> None:
    """Train on the tiny fleet; process `short_rank` misses the last of its devices."""
    with computing("cpu", threads=1) as compute:
        got = trained(fleet(devices - (compute.rank == short_rank)), compute)
        told = {"metrics": got.metrics, "computed": got.computed, "digest": got.data_digest,
                "limit": got.scorer.threshold.limit}  # fmt: skip
        (folder / f"{compute.rank}.json").write_text(json.dumps(told))
        save_file(dict(got.scorer.detector.state_dict()), folder / f"{compute.rank}.safetensors")
    left = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    (folder / f"{compute.rank}.threads").write_text("\n".join(left))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
