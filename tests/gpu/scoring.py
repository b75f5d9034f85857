"""Measures of one scorer on its device: its laws, how its scores compare with those of the CPU, and its speed.

Every measure is of the scorer as it is and, where that records what it launches, of one that launches anew (`plain`).
"""

import copy
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.detector import AttentionScorer
from models.launching import Plain
from models.scoring import Score

SCORE_ABS, SHARE_ABS = 2e-2, 2e-2
"""How far the same weights may score from each other on two devices."""
BATCHES = (1, 32, 256, 1024, 4096, 16_384)
ALONE = 64
"""Windows that are scored one by one as well."""

Windows = tuple[NDArray[np.float32], NDArray[np.bool_]]
Bias = NDArray[np.float32]


def measured(scorer: AttentionScorer, windows: Windows, seconds: float) -> dict[str, Any]:
    """Everything there is to say of one scorer; JSON-able. `windows` are at least 1,024 of healthy devices."""
    values, mask = _with_faults(scorer, windows)
    bias = np.random.default_rng(3).normal(0, 0.5, (len(values), values.shape[2])).astype(np.float32)
    first = _seconds(lambda: scorer.score(values[:1], mask[:1]))
    there, here = _unrecorded(scorer), _on_cpu(scorer)
    return {
        "first_score_s": first,
        "scores": _apart(scorer.score(values, mask), here.score(values, mask)),
        "explanations": _explained(scorer, here, values[:40], mask[:40], bias[:40]),
        "recorded_and_plain": {
            "without_bias": _apart(scorer.score(values, mask), there.score(values, mask)),
            "with_bias": _apart(_score(scorer, values, mask, bias), _score(there, values, mask, bias)),
        },
        "bits": {
            "alone_without_bias": _alone(scorer, values, mask, None),
            "alone_with_bias": _alone(scorer, values, mask, bias),
            "elsewhere_in_the_batch": _moved(scorer, values, mask),
            "no_bias_is_a_bias_of_zero": _same(
                scorer.score(values, mask), scorer.score_adapted(values, mask, np.zeros_like(bias))
            ),
            "statistics": bool((scorer.statistics(values, mask) == there.statistics(values, mask)).all()),
        },
        "windows_a_second": {str(b): _speed(scorer, windows, b, seconds) for b in BATCHES},
        "windows_a_second_plain": {str(b): _speed(there, windows, b, seconds) for b in BATCHES},
    }


def problems(found: dict[str, Any]) -> list[str]:
    """Where a scorer disagrees with the CPU, with itself or with its neighbours; empty when all is well."""
    pairs = {"GPU and CPU": found["scores"]}
    pairs |= {f"recorded and plain, {name}": apart for name, apart in found["recorded_and_plain"].items()}
    pairs["explanations on GPU and CPU"] = found["explanations"]
    far = [
        f"{pair}: {name} of the same window differs by {apart[name]:.4f}, at most {most}"
        for pair, apart in pairs.items()
        for name, most in (("anomaly", SCORE_ABS), ("share", SHARE_ABS), ("expected", SCORE_ABS))
        if name in apart and not apart[name] <= most
    ]
    return far + [f"not to the bit: {name}" for name, same in found["bits"].items() if not same]


def many(windows: Windows, count: int) -> Windows:
    """`count` of them, a copy; again from the start where there are fewer."""
    values, mask = windows
    again = np.arange(count) % len(values)
    return values[again], mask[again]


def _with_faults(scorer: AttentionScorer, windows: Windows) -> Windows:
    """So many windows that several chunks are filled and one is not; every second one far off in one channel."""
    values, mask = many(windows, 4096 + 100)
    target = scorer.detector.preparation.targets[0]
    values[::2, :, target] += 10 * np.nanstd(values[..., target])
    return values, mask


def _unrecorded(scorer: AttentionScorer) -> AttentionScorer:
    """The same weights on the same device, everything launched anew."""
    other = copy.copy(scorer)
    for name in ("_found", "_judged"):
        setattr(other, name, Plain(getattr(scorer, name)._function, scorer.device))
    return other


def _on_cpu(scorer: AttentionScorer) -> AttentionScorer:
    return AttentionScorer(
        copy.deepcopy(scorer.detector), scorer.threshold, scorer.identity, torch.device("cpu")
    )


def _score(scorer: AttentionScorer, values: Any, mask: Any, bias: Bias | None) -> Score:
    return scorer.score(values, mask) if bias is None else scorer.score_adapted(values, mask, bias)


def _same(one: Score, other: Score) -> bool:
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in Score.__slots__)


def _apart(one: Score, other: Score) -> dict[str, float | bool]:
    """Largest differences between two scores of the same windows."""
    return {
        "to_the_bit": _same(one, other),
        "anomaly": float(np.abs(one.anomaly - other.anomaly).max()),
        "share": float(np.abs(one.share - other.share).max()),
        "same_top": float((one.share.argmax(1) == other.share.argmax(1)).mean()),
        "same_side": float(((one.anomaly > 1) == (other.anomaly > 1)).mean()),
    }


def _alone(scorer: AttentionScorer, values: Any, mask: Any, bias: Bias | None) -> bool:
    """Does a batch score as its windows do one by one? Those asked for lie all over the first chunks."""
    whole = _score(scorer, values, mask, bias)
    chosen = np.linspace(0, len(values) - 1, ALONE).astype(int)
    return all(
        _same(
            whole.rows(slice(b, b + 1)),
            _score(scorer, values[b : b + 1], mask[b : b + 1], None if bias is None else bias[b : b + 1]),
        )
        for b in chosen
    )


def _moved(scorer: AttentionScorer, values: Any, mask: Any) -> bool:
    """Does every window score the same wherever it stands among the others?"""
    order = np.random.default_rng(5).permutation(len(values))
    here, there = scorer.score(values, mask), scorer.score(values[order], mask[order])
    return all(getattr(here, n)[order].tobytes() == getattr(there, n).tobytes() for n in Score.__slots__)


def _explained(
    scorer: AttentionScorer, here: AttentionScorer, values: Any, mask: Any, bias: Bias
) -> dict[str, float]:
    """Explanations on the device and on the CPU: expected readings in widths of their band, and shares."""
    one, other = (s.explain_adapted(values, mask, bias) for s in (scorer, here))
    off = np.abs(one.expected - other.expected) / np.maximum(other.high - other.low, 1e-6)
    share = scorer.score_adapted(values, mask, bias).share
    return {
        "expected": float(np.nanmax(off)),
        "share": float(np.abs(one.attention.sum(1) - share).max()),
    }


def _seconds(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return round(time.perf_counter() - begun, 3)


def _speed(scorer: AttentionScorer, windows: Windows, batch: int, seconds: float) -> float:
    """Windows a second of `score` in batches of so many, arrays in and arrays out."""
    values, mask = many(windows, batch)
    scorer.score(values, mask)
    rounds, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        scorer.score(values, mask)
        rounds += 1
    return round(rounds * batch / (time.perf_counter() - begun))
