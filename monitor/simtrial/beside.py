"""Ours against a peer, fault by fault: whose lead holds, and how sure it is. Pure."""

from collections.abc import Sequence
from typing import Any

from models.evaluation.comparison import paired_bootstrap
from monitor.simtrial.rates import MEDIUM

Row = dict[str, Any]
COMPARED = ("detected", "top1", "delay_s")
"""Whether a fault was found, of all faults; the true channel first and the delay, of those that both found."""


def beside(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, Any]:
    """Ours minus theirs over the same faults of medium severity or more.

    Returns:
        Figure → mean `difference`, its 95 % bootstrap `interval` over faults, and `of` how many; None without one.

    Raises:
        ValueError: they are not of the same faults.
    """
    one, other = _medium(ours), _medium(theirs)
    if one.keys() != other.keys():
        raise ValueError("a comparison needs the same faults on both sides")
    pairs = [(one[case], other[case]) for case in one]
    both = [pair for pair in pairs if all(row["detected"] for row in pair)]
    return {name: _lead(pairs if name == "detected" else both, name) for name in COMPARED}


def _medium(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    names = ("type", "fault", "severity", "onset", "seed")
    return {tuple(row[name] for name in names): row for row in rows if row["severity"] >= MEDIUM}


def _lead(pairs: Sequence[tuple[Row, Row]], name: str) -> dict[str, Any] | None:
    if not pairs:
        return None
    ours, theirs = ([float(row[name]) for row in side] for side in zip(*pairs, strict=True))
    lead = paired_bootstrap(ours, theirs)
    return {"difference": lead.difference, "interval": [lead.low, lead.high], "of": lead.series}
