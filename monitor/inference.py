"""Micro-batches to the scorers, off the event loop. Knows no Kafka and no alert.

One thread, because bit-equal scores need one intra-op thread, and because a heartbeat that waits for a
matrix product gets its consumer evicted.
"""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import structlog

from models.scoring import Explanation, Scorer
from monitor.due import Answer, Asked, Due, answer, explained
from monitor.metrics import Metrics, WindowSkip


class MissingModelError(Exception):
    """A window came due for a device type without a trained model."""

    def __init__(self, device_type: str) -> None:
        super().__init__(f"no trained model for device type {device_type}; train one with `attendant train`")
        self.device_type = device_type


class Inference:
    """Scores batches of several partitions together, so that small polls don't become small batches."""

    def __init__(self, scorers: Mapping[str, Scorer], metrics: Metrics) -> None:
        self._scorers = scorers
        self._metrics = metrics
        self._log = structlog.get_logger(component="inference")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scorer")

    def scorer(self, device_type: str) -> Scorer:
        """The scorer of a device type.

        Raises:
            MissingModelError: there is none.
        """
        try:
            return self._scorers[device_type]
        except KeyError:
            raise MissingModelError(device_type) from None

    def knows(self, device_type: str) -> bool:
        return device_type in self._scorers

    async def score(self, due: Sequence[Due]) -> list[Answer | None]:
        """One answer a batch, in the order of `due`; None where the model of its type failed, which stops no other.

        Windows that were not scored are counted, and the log says why: a model that always fails must not stop the
        devices that are judged by others.
        """
        if not due:
            return []
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._score, due)

    def _score(self, due: Sequence[Due]) -> list[Answer | None]:
        answers: list[Answer | None] = [None] * len(due)
        by_type: dict[str, list[int]] = {}
        for position, one in enumerate(due):
            by_type.setdefault(one.batch.profile.type, []).append(position)
        for device_type, positions in by_type.items():
            scorer, some = self.scorer(device_type), [due[position] for position in positions]
            try:
                found = self._score_type(scorer, device_type, some)
            except Exception:
                windows = sum(len(one.batch) for one in some)
                self._log.exception("a model failed", type=device_type, windows=windows)
                self._metrics.count_skipped(WindowSkip.SCORER_FAILED, windows)
            else:
                for position, told in zip(positions, found, strict=True):
                    answers[position] = told
        return answers

    def _score_type(self, scorer: Scorer, device_type: str, due: Sequence[Due]) -> list[Answer]:
        started = time.perf_counter()
        told = answer(scorer, *Asked.of(due))
        self._metrics.record_score(device_type, len(told.score), time.perf_counter() - started)
        windows = _parts([len(one.batch) for one in due])
        devices = _parts([0 if one.recalled is None else len(one.recalled.memory) for one in due])
        return [told.part(*some) for some in zip(windows, devices, strict=True)]

    async def explain(self, device_type: str, due: Sequence[Due]) -> Explanation | None:
        """Explain the last window of each, a few of one type; None where its scorer explains nothing, or failed."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, explained, self.scorer(device_type), due)
        except Exception:
            self._log.exception("a model failed to explain", type=device_type, windows=len(due))
            return None

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def _parts(lengths: Sequence[int]) -> list[slice]:
    """Where each of several lies that stand one after the other."""
    bounds = np.cumsum([0, *lengths]).tolist()
    return [slice(start, end) for start, end in itertools.pairwise(bounds)]
