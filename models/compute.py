"""Where a training or a scorer computes: on which device, in which precision, with which other processes (`torchrun`).

Knows no network and no data. One process is the plain case of many: alone, every method works and does nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torch.distributed as dist

# Here, before there is a group: its functions keep the one of the moment in which they are defined as a default, and
# the first optimizer imports them. A group that is kept has threads that run on while the interpreter ends, which
# aborts the process ("terminate called without an active exception", pytorch issues 38228 and 190489).
import torch.distributed.nn.functional
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others: reading recordings may take one longer than the next."""
LARGE_BATCH = 512
"""Windows a step on a GPU, where the small networks cost as much for these as for a quarter of them."""
SMALL_BATCH = 128

T = TypeVar("T")


class ComputeError(ValueError):
    """No such device, processes that were started wrongly, or another process that has failed; one readable line."""


@dataclass(frozen=True, slots=True)
class Compute:
    """One process's place in a training; `rank` of `world` processes."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"
    """Of the products in the networks' training steps. Whatever is fitted by quantiles or moments, and the held-back
    loss, stays in float32: eight bits of mantissa are an error of half a spread where a channel is steady."""
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """True for the one process that tells progress and writes the artifact."""
        return self.rank == 0

    @property
    def batch(self) -> int:
        """Windows a step, over all processes, that this kind of device is best used with."""
        return LARGE_BATCH if self.device.type == "cuda" else SMALL_BATCH

    def part_of(self, count: int) -> int:
        """This process's part of `count` windows, rounded up."""
        return -(-count // self.world)

    def random(self, seed: int) -> np.random.Generator:
        """A generator of this process's own draws; alone, or at rank 0, the one that `seed` always gave."""
        return np.random.default_rng([seed, self.rank] if self.rank else seed)

    def products(self) -> AbstractContextManager[Any]:
        """Within it, matrix products are computed in `precision`."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Mean over the processes of every gradient, in one message.

        Explicit, and not by DistributedDataParallel: a loss here goes through parts of a network, never through one
        `forward`, and all of the gradients are smaller than one of its buckets.
        """
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        with _together():
            dist.all_reduce(flat)
        flat /= self.world
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def mean(self, value: float) -> float:
        """Mean over the processes."""
        if self.world == 1:
            return value
        return float(np.mean(self.gather([value])))

    def agree(self, network: nn.Module) -> None:
        """Give every process rank 0's parameters and buffers."""
        if self.world > 1:
            with torch.no_grad(), _together():
                for tensor in network.state_dict().values():
                    dist.broadcast(tensor, 0)

    def leading(self, value: T) -> T:
        """Rank 0's value."""
        return self.once(lambda: value)

    def once(self, act: Callable[[], T]) -> T:
        """Rank 0 does it, and every process gets what came of it."""
        if self.world == 1:
            return act()
        holder: list[Any] = [act() if self.leads else None]
        with _together():
            dist.broadcast_object_list(holder, 0)
        chosen: T = holder[0]
        return chosen

    def gather(self, values: Sequence[T]) -> list[T]:
        """The values of all processes, those of rank 0 first, in every process."""
        if self.world == 1:
            return list(values)
        parts: list[Any] = [None] * self.world
        with _together():
            dist.all_gather_object(parts, list(values))
        return [value for part in parts for value in part]

    def told(self) -> dict[str, str | int]:
        """For the manifest."""
        return {"device": self.device.type, "precision": self.precision, "processes": self.world}


def choose_device(wanted: str = "auto") -> torch.device:
    """`auto` takes a GPU when there is one, else the CPU.

    Raises:
        ValueError: a GPU was asked for by name and is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f'there is no {wanted} on this machine; models.device = "auto" takes what there is')
    return device


@contextmanager
def computing(
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Compute]:
    """Take this process's place; under `torchrun` the other processes are waited for.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`; under torchrun `cuda` is this process's own.
        precision: `auto` is bfloat16 on a GPU and float32 elsewhere.
        threads: of the CPU; None leaves it to torch.
        environment: where torchrun writes RANK, LOCAL_RANK and WORLD_SIZE.

    Raises:
        ComputeError: with what is wrong and how to mend it.
    """
    rank, local, world = (
        _number(environment, name, default)
        for name, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
    )
    if precision not in PRECISIONS:
        raise ComputeError(f"no precision {precision}; there are {', '.join(PRECISIONS)}")
    chosen = choose_device(device) if world == 1 else _own_device(device, local)
    exact: Precision = (
        "bfloat16" if precision == "bfloat16" or (precision, chosen.type) == ("auto", "cuda") else "float32"
    )
    if threads is not None:
        torch.set_num_threads(threads)
    if world == 1:
        yield Compute(chosen, exact)
        return
    with _together():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo",
            rank=rank, world_size=world, timeout=PATIENCE,
        )  # fmt: skip
    try:
        yield Compute(chosen, exact, rank, world)
    finally:
        dist.destroy_process_group()


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdigit():
        raise ComputeError(f"{name} is {text!r}, no number; start several processes with torchrun")
    return int(text)


def _own_device(wanted: str, local: int) -> torch.device:
    """The GPU of the `local`-th process on this machine, or the CPU."""
    device = choose_device(wanted)
    if device.type != "cuda":
        return device
    there = torch.cuda.device_count()
    if local >= there:
        raise ComputeError(
            f"process {local} of this machine has no GPU of its own; there are {there}: "
            f"torchrun --nproc-per-node {there}, or --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


@contextmanager
def _together() -> Iterator[None]:
    """What all processes do at once fails where one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ComputeError(
            f"another process of this training has failed or is out of reach ({reason})"
        ) from error
