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
from numpy.typing import NDArray

from models.scoring import AdaptableScorer, Explainer, Explanation, Score, Scorer
from monitor.metrics import Metrics
from streams.blocks import WindowBatch


class MissingModelError(Exception):
    """A window came due for a device type without a trained model."""

    def __init__(self, device_type: str) -> None:
        super().__init__(f"no trained model for device type {device_type}; train one with `attendant train`")
        self.device_type = device_type


Bias = NDArray[np.float32]
"""(B, C) by how many spreads each window's device differs from its type."""


class Inference:
    """Scores batches of several partitions together, so that small polls don't become small batches."""

    def __init__(self, scorers: Mapping[str, Scorer], metrics: Metrics) -> None:
        self._scorers = scorers
        self._metrics = metrics
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

    async def score(self, batches: Sequence[WindowBatch], biases: Sequence[Bias | None]) -> list[Score]:
        """One `Score` a batch, in the order of `batches`; no bias is a bias of 0."""
        if not batches:
            return []
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._score, batches, biases)

    def _score(self, batches: Sequence[WindowBatch], biases: Sequence[Bias | None]) -> list[Score]:
        scores: list[Score | None] = [None] * len(batches)
        by_type: dict[str, list[int]] = {}
        for position, batch in enumerate(batches):
            by_type.setdefault(batch.profile.type, []).append(position)
        for device_type, positions in by_type.items():
            together = [batches[position] for position in positions]
            found = self._score_type(device_type, together, [biases[position] for position in positions])
            for position, score in zip(positions, found, strict=True):
                scores[position] = score
        return [score for score in scores if score is not None]

    def _score_type(
        self, device_type: str, batches: Sequence[WindowBatch], biases: Sequence[Bias | None]
    ) -> list[Score]:
        started = time.perf_counter()
        values = (
            np.concatenate([batch.values for batch in batches]) if len(batches) > 1 else batches[0].values
        )
        mask = np.concatenate([batch.mask for batch in batches]) if len(batches) > 1 else batches[0].mask
        score = scored(self.scorer(device_type), values, mask, _together(batches, biases))
        self._metrics.record_score(device_type, len(values), time.perf_counter() - started)
        bounds = np.cumsum([0, *(len(batch) for batch in batches)])
        return [score.rows(slice(start, end)) for start, end in itertools.pairwise(bounds)]

    async def explain(
        self, device_type: str, values: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> Explanation | None:
        """Explain a few (B, T, C) windows of a type; None where its scorer explains nothing."""
        scorer = self.scorer(device_type)
        if not isinstance(scorer, Explainer):
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, scorer.explain, values, mask)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def scored(scorer: Scorer, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: Bias | None) -> Score:
    """The score of windows of devices with a bias, if the scorer can be told of one."""
    if bias is None or not isinstance(scorer, AdaptableScorer):
        return scorer.score(values, mask)
    return scorer.score_adapted(values, mask, bias)


def _together(batches: Sequence[WindowBatch], biases: Sequence[Bias | None]) -> Bias | None:
    if all(bias is None for bias in biases):
        return None
    none = [np.zeros((len(batch), batch.values.shape[2]), np.float32) for batch in batches]
    return np.concatenate([none[i] if bias is None else bias for i, bias in enumerate(biases)])
