"""Figures of cause: are the channels at fault the ones that the share ranks first?

HitRate@P % is the part of the k true channels among the first round(P · k / 100) ranked; NDCG@P % weights the same
hits by their place (Su et al., "Robust Anomaly Detection for Multivariate Time Series through Stochastic Recurrent
Neural Network", KDD 2019, and Tuli et al., "TranAD", PVLDB 15(6), 2022, use both).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CAUSES = (
    "row_hit_100", "row_hit_150", "row_ndcg_100", "row_ndcg_150", "row_top1", "row_top3",
    "segment_hit_100", "segment_hit_150", "segment_ndcg_100", "segment_ndcg_150", "top1", "top3",
)  # fmt: skip
"""Names of the figures, in order; top1 and top3 are those of the segments."""
_RANKING = ("hit_100", "hit_150", "ndcg_100", "ndcg_150", "top1", "top3")


class Cause(NamedTuple):
    """Rows `start` to `end` (exclusive) of a series, at fault in these channels."""

    start: int
    end: int
    channels: tuple[int, ...]


def cause_figures(
    share: NDArray[np.floating], causes: Sequence[Cause], evidence: NDArray[np.floating] | None = None
) -> dict[str, float | None]:
    """Every figure of `CAUSES`: mean over the rows of all causes, and mean over the causes.

    Args:
        share: (n, C) high means at fault; ranks the channels of a row.
        causes: known ones; without any all figures are None.
        evidence: (n, C) what a row adds to the ranking of its segment; the share without it, and where a segment has
            no evidence at all.

    Raises:
        ValueError: a cause outside of the rows, or without a channel.
    """
    if not causes:
        return dict.fromkeys(CAUSES)
    by_row, by_segment = [], []
    for cause in causes:
        if not 0 <= cause.start < cause.end <= len(share) or not cause.channels:
            raise ValueError(f"{cause} names no channels in {len(share)} rows")
        rows = np.asarray(share[cause.start : cause.end], float)
        by_row.append(ranking(rows, cause.channels))
        added = rows if evidence is None else np.asarray(evidence[cause.start : cause.end], float)
        together = added.sum(0) if added.sum() > 0 else rows.sum(0)
        by_segment.append(ranking(together[None], cause.channels))
    row, segment = np.concatenate(by_row).mean(0), np.concatenate(by_segment).mean(0)
    figures: dict[str, float | None] = {f"row_{n}": float(x) for n, x in zip(_RANKING, row, strict=True)}
    figures |= {
        n if n.startswith("top") else f"segment_{n}": float(x) for n, x in zip(_RANKING, segment, strict=True)
    }
    return figures


def ranking(share: NDArray[np.float64], channels: Sequence[int]) -> NDArray[np.float64]:
    """(R, C) and the true channels → (R, 6) the figures of every row, in the order of `_RANKING`."""
    C, k = share.shape[1], len(channels)
    order = np.argsort(-share, axis=1, kind="stable")
    true = np.isin(order, channels)  # (R, C) by place
    discount = 1 / np.log2(np.arange(2, C + 2))
    asked = [round(percent * k / 100) for percent in (100, 150)]
    hit = [true[:, :n].sum(1) / k for n in asked]
    gain = [true[:, :n] @ discount[:n] / discount[: min(n, k)].sum() for n in asked]
    return np.stack([*hit, *gain, true[:, :1].any(1), true[:, :3].any(1)], 1).astype(float)
