"""A function of tensors → the same of arrays, on the CPU or a GPU, where what it launches is recorded once.

A pass of the networks here is some 600 kernels of a few microseconds. Launched one by one from Python they keep a GPU
waiting nearly all the time; as a CUDA graph they follow each other at once. Knows no network. Windows are the first
axis of every array that goes in.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Function = Callable[..., tuple[Tensor, ...]]
"""To be recorded it must neither read a tensor on the host nor make one of host memory, and its shapes must follow from
those of its arguments alone."""
WARM_UPS = 3
"""Runs before a recording: in the first ones libraries take memory and choose their kernels, which none may record."""


def filled(array: Array, size: int) -> Array:
    """Filled up with zeros to `size` windows: bits may depend on how many stand together; a full one as it is."""
    if len(array) == size and array.flags.writeable:  # torch refuses to share the others
        return array
    full = np.zeros((size, *array.shape[1:]), array.dtype)
    full[: len(array)] = array
    return full


class Launched(Protocol):
    """What has a function computed."""

    def __call__(self, size: int, *arrays: Array) -> tuple[Array, ...]:
        """The function's results for arrays of n windows, filled up to `size` of them; from n on they mean nothing."""
        ...


class Plain:
    """Every operation is launched anew, at each call."""

    def __init__(self, function: Function, device: torch.device) -> None:
        self._function, self._device = function, device

    @torch.inference_mode()
    def __call__(self, size: int, *arrays: Array) -> tuple[Array, ...]:
        there = (torch.from_numpy(filled(array, size)).to(self._device) for array in arrays)
        return tuple(x.cpu().numpy() for x in self._function(*there))


class Recording(NamedTuple):
    """What a function launches on certain tensors."""

    replay: Callable[[], None]
    """Computes the results anew from what now lies in those tensors."""
    results: tuple[Tensor, ...]


Recorder = Callable[[Function, Sequence[Tensor]], Recording]


class Graphed:
    """Launches what was recorded: a recording for each combination of shapes, made when it is first asked for.

    Weights may change in place; a recording sees them where they lie. Threads take turns.
    """

    def __init__(self, function: Function, device: torch.device, record: Recorder) -> None:
        self._function, self._device, self._record = function, device, record
        self._turn = Lock()
        self._known: dict[tuple[Any, ...], Callable[..., tuple[Array, ...]]] = {}

    @torch.inference_mode()
    def __call__(self, size: int, *arrays: Array) -> tuple[Array, ...]:
        shapes = (size, *((array.shape[1:], array.dtype) for array in arrays))
        with self._turn:
            if shapes not in self._known:
                self._known[shapes] = self._begun(size, arrays)
            return self._known[shapes](*arrays)

    def _begun(self, size: int, arrays: Sequence[Array]) -> Callable[..., tuple[Array, ...]]:
        """A recording with its memory, or the plain way where the driver records nothing or memory is short."""
        try:
            return _Replayed(self._function, self._device, self._record, size, arrays)
        except RuntimeError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(
                f"no CUDA graph could be recorded ({reason}); scores are right, but take several times as long",
                RuntimeWarning,
                stacklevel=4,
            )
            return partial(Plain(self._function, self._device), size)


class _Replayed:
    """A recording with what it reads and writes: memory on the device, and pinned memory on the host beside it."""

    def __init__(
        self, function: Function, device: torch.device, record: Recorder, size: int, arrays: Sequence[Array]
    ) -> None:
        self._host = [_pinned(torch.from_numpy(filled(array[:0], size)), device) for array in arrays]
        self._there = [x.to(device) for x in self._host]
        self._recording = record(function, self._there)
        self._results = [_pinned(torch.zeros_like(x, device="cpu"), device) for x in self._recording.results]

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        for host, there, array in zip(self._host, self._there, arrays, strict=True):
            n = len(array)
            host.numpy()[:n] = array
            there[:n].copy_(host[:n], non_blocking=True)
        self._recording.replay()
        for result, there in zip(self._results, self._recording.results, strict=True):
            # Waits until it has come, so that none of this memory is written while it is read.
            result.copy_(there)
        return tuple(result.numpy().copy() for result in self._results)


def _pinned(x: Tensor, device: torch.device) -> Tensor:
    """In memory that a GPU copies at full speed."""
    return x.pin_memory() if device.type == "cuda" else x


class CudaGraphs:
    """Records CUDA graphs that share their working memory, so only one of them may run at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._memory = device, torch.cuda.graph_pool_handle()

    def __call__(self, function: Function, tensors: Sequence[Tensor]) -> Recording:
        """See `Recording`.

        Raises:
            RuntimeError: the driver refuses, or memory is short.
        """
        graph, stream = torch.cuda.CUDAGraph(), _side_stream(self._device)
        with torch.cuda.device(self._device):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    function(*tensors)
            torch.cuda.current_stream().wait_stream(stream)
            # What other threads do on the GPU meanwhile is not recorded, nor does it spoil the recording.
            with torch.cuda.graph(graph, self._memory, stream=stream, capture_error_mode="thread_local"):
                results = function(*tensors)
        return Recording(graph.replay, results)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings: the matrix library keeps 32 MiB for every stream that it has served."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def launched(function: Function, device: torch.device) -> Launched:
    """The fastest way to have `function` computed on `device`."""
    return Graphed(function, device, CudaGraphs(device)) if device.type == "cuda" else Plain(function, device)
