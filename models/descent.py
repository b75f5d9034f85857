"""One gradient descent for all networks of a training: AdamW under a one-cycle schedule, over all processes.

The loss stays on its device until a round of steps is over, so that a GPU never waits for the CPU to read a number.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.compute import Compute

ROUND = 100
"""Steps between two looks at the loss."""


def rounds(steps: int) -> Iterator[tuple[int, int]]:
    """(steps done before it, steps of it) for every round."""
    for before in range(0, steps, ROUND):
        yield before, min(ROUND, steps - before)


def drawn(rng: np.random.Generator, count: int, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Indices below `count`, a row a step: one copy to the device for a whole round."""
    return torch.from_numpy(rng.integers(count, size=shape)).to(device)


class Descent:
    """Steps down the mean gradient of all processes; `smoothed` is the running loss of this one."""

    def __init__(
        self, groups: Sequence[dict[str, Any]], rate: float, steps: int, compute: Compute,
        *, warm: float = 0.3, clip: float | None = None,
    ) -> None:  # fmt: skip
        """`groups` as AdamW takes them; `warm` is the part of the steps with a rising rate, `clip` the largest norm."""
        self._parameters: list[Tensor] = [p for group in groups for p in group["params"]]
        self._compute, self._clip = compute, clip
        # Fused: one kernel for all parameters, where a loop over them costs more than the networks.
        self._optimizer = torch.optim.AdamW(list(groups), rate, fused=True)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, [rate] * len(groups), steps, pct_start=max(warm, 2 / steps)
        )
        self._smoothed = torch.zeros((), device=compute.device)

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a scalar loss."""
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._compute.average_gradients(self._parameters)
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        self._schedule.step()
        self._smoothed += 0.02 * (loss.detach() - self._smoothed)

    def smoothed(self) -> float:
        """Running mean of the loss over all processes; waits for the device."""
        return self._compute.mean(float(self._smoothed))
