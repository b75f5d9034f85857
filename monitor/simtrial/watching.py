"""The same runs once more, of devices that were watched for hours of their own before: what they taught is told.

The baseline is the service's own, step by step as a lane of the service does it: begin, score, judge, learn. It goes on
learning while the run is judged. Simulates nothing, and counts nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.scoring import Score, Scorer
from monitor.due import answer
from monitor.findings import Baseline, Finding, Judge, JudgeSettings
from monitor.simtrial.scoring import Scored, Windows, joined_windows
from monitor.turns import in_turns
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile

_Spans = Mapping[str, Windows]
"""Device → a stretch of its windows, oldest first."""


class Played(NamedTuple):
    """What was said of some devices' windows, and what was decided."""

    scored: dict[str, Scored]
    findings: list[Finding]


class Watch:
    """Devices of one type whose own biases are learned."""

    def __init__(
        self, profile: DeviceProfile, scorer: Scorer, settings: JudgeSettings, baseline: Baseline
    ) -> None:
        self.baseline = baseline
        self._profile, self._scorer, self._settings = profile, scorer, settings

    def learn(self, histories: Mapping[str, Sequence[Windows]]) -> None:
        """Watch each device through its uses, one after the other; the devices side by side."""
        for uses in zip_longest(*histories.values()):
            spans = {d: use for d, use in zip(histories, uses, strict=True) if use is not None and len(use)}
            if spans:
                self.play(spans)

    def play(self, spans: _Spans) -> Played:
        """Score and judge windows that come next, learning from them.

        The Judge begins anew: what was open before is no matter of these windows.
        """
        judge = Judge(self._profile, self._scorer.identity, self._settings)
        said: dict[str, list[tuple[Score, NDArray[np.float32]]]] = defaultdict(list)
        findings: list[Finding] = []
        batch = joined_windows(self._profile, spans)
        for turn in in_turns([batch], [self.baseline.steps(batch.end_t)], [False]):
            for part in turn:
                self.baseline.begin(part.devices, part.end_t)
                bias = self.baseline.biases(part)
                score = answer(self._scorer, part.values, part.mask, bias).score
                verdict = judge.assess(part, score)
                self.baseline.learn(part, score, verdict.calm, verdict.alarming)
                findings += verdict.findings
                _sort_out(said, part, score, bias)
        scored = {
            device: Scored(Score.joined([one for one, _ in own]), None, np.concatenate([b for _, b in own]))
            for device, own in said.items()
        }
        return Played(scored, findings)


def _sort_out(
    said: Mapping[str, list[tuple[Score, NDArray[np.float32]]]], part: WindowBatch, score: Score,
    bias: NDArray[np.float32] | None,
) -> None:  # fmt: skip
    """Give every device what is its own; its windows stand side by side in a part."""
    told = np.zeros((len(part), part.values.shape[2]), np.float32) if bias is None else bias
    names = np.asarray(part.devices)
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    for first, last in pairwise(edges):
        own = slice(first, last)
        said[part.devices[first]].append((score.rows(own), told[own]))
