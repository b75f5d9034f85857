"""What goes to a scorer and what comes back: windows, with what is known of their devices. Knows no lane, no thread."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.scoring import (
    AdaptableExplainer,
    AdaptableScorer,
    Explainer,
    Explanation,
    RememberingExplainer,
    RememberingScorer,
    Score,
    Scorer,
)
from monitor.findings import Recalled
from streams.blocks import WindowBatch

Bias = NDArray[np.float32]
"""(B, C) by how many spreads each window's device differs from its type."""


class Due(NamedTuple):
    """Windows as they are to be scored."""

    batch: WindowBatch
    bias: Bias | None
    """None where no device differs from its type."""
    recalled: Recalled | None
    """What the scorer remembers of the devices; None where it is none that remembers."""

    def leading_to(self, place: int) -> "Due":
        """One of the windows, after those of its device that were scored together with it from what was remembered."""
        if self.recalled is None:
            return Due(self.batch.part([place]), None if self.bias is None else self.bias[[place]], None)
        memory, new_rows, of = self.recalled
        places = np.flatnonzero(of[: place + 1] == of[place])
        own = Recalled(memory[[of[place]]], new_rows[places], np.zeros(len(places), np.intp))
        return Due(self.batch.part(places.tolist()), None if self.bias is None else self.bias[places], own)


class Asked(NamedTuple):
    """Windows of one type, from wherever they come, as a scorer takes them."""

    values: NDArray[np.float32]
    """(B, T, C)"""
    mask: NDArray[np.bool_]
    bias: Bias | None
    recalled: Recalled | None

    @classmethod
    def of(cls, due: Sequence[Due]) -> "Asked":
        """All of them, one after the other; a scorer remembers the devices of every partition, or of none."""
        if len(due) == 1:
            [(batch, bias, recalled)] = due
            return cls(batch.values, batch.mask, bias, recalled)
        values = np.concatenate([one.batch.values for one in due])
        mask = np.concatenate([one.batch.mask for one in due])
        known = [one.recalled for one in due if one.recalled is not None]
        return cls(values, mask, _biases(due), Recalled.joined(known) if known else None)


def _biases(due: Sequence[Due]) -> Bias | None:
    """No bias is a bias of 0."""
    if all(one.bias is None for one in due):
        return None
    none = [np.zeros((len(one.batch), one.batch.values.shape[2]), np.float32) for one in due]
    return np.concatenate(
        [zero if one.bias is None else one.bias for one, zero in zip(due, none, strict=True)]
    )


class Answer(NamedTuple):
    """What a scorer said of windows."""

    score: Score
    memory: NDArray[np.float32] | None
    """(D, M) what is to be remembered of the devices; None where the scorer remembers nothing."""

    def part(self, windows: slice, devices: slice) -> "Answer":
        """What it said of some of the windows and devices: views."""
        return Answer(self.score.rows(windows), None if self.memory is None else self.memory[devices])


def answer(
    scorer: Scorer, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: Bias | None = None,
    recalled: Recalled | None = None,
) -> Answer:  # fmt: skip
    """Ask for the score of (B, T, C) windows, telling of their devices what the scorer can be told.

    Raises:
        TypeError: something is recalled for a scorer that remembers nothing.
        ValueError: shapes that don't fit the model.
    """
    if recalled is not None:
        if not isinstance(scorer, RememberingScorer):
            raise TypeError(f"the scorer of {scorer.identity.name} remembers nothing")
        return Answer(*scorer.score_remembering(values, mask, *recalled))
    if bias is None or not isinstance(scorer, AdaptableScorer):
        return Answer(scorer.score(values, mask), None)
    return Answer(scorer.score_adapted(values, mask, bias), None)


def explained(scorer: Scorer, due: Sequence[Due]) -> Explanation | None:
    """What a scorer shows of the last window of each, each of one device; None where it explains nothing.

    Raises:
        ValueError: shapes that don't fit the model.
    """
    asked = Asked.of(due)
    if asked.recalled is not None and isinstance(scorer, RememberingExplainer):
        return scorer.explain_remembering(asked.values, asked.mask, *asked.recalled)
    last = np.cumsum([len(one.batch) for one in due]) - 1
    values, mask = asked.values[last], asked.mask[last]
    if asked.bias is not None and isinstance(scorer, AdaptableExplainer):
        return scorer.explain_adapted(values, mask, asked.bias[last])
    return scorer.explain(values, mask) if isinstance(scorer, Explainer) else None
