"""What every Scorer must obey; a new one is added to `SCORERS` of its test and gets these for nothing."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from models.scoring import Explainer, Explanation, Score, Scorer

Windows = tuple[NDArray[np.float32], NDArray[np.bool_]]


def fields(score: Score) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Every array of a score with its name; what a scorer may leave out only where it tells it."""
    for name in Score.__slots__:
        if (plane := getattr(score, name)) is not None:
            yield name, plane


def assert_same(one: Score, other: Score) -> None:
    """Bit for bit, NaN equal to NaN."""
    for (name, a), (_, b) in zip(fields(one), fields(other), strict=True):
        assert a.dtype == b.dtype, name
        assert a.tobytes() == b.tobytes(), name


def law_shapes_and_sums(scorer: Scorer, windows: Windows) -> None:
    """Shares and their parts are distributions over channels; everything is finite that is told."""
    values, mask = windows
    score = scorer.score(values, mask)
    B, _, C = values.shape
    assert score.anomaly.shape == (B,)
    assert np.isfinite(score.anomaly).all()
    assert (score.anomaly >= 0).all()
    for name in ("share", "attention", "residual"):
        part = getattr(score, name)
        assert part.shape == (B, C)
        assert (part >= 0).all()
        np.testing.assert_allclose(part.sum(1), 1.0, atol=1e-5, err_msg=name)
    assert (score.imputed == ~mask.any(1)).all()
    told = np.isfinite(score.observed)
    assert (told == np.isfinite(score.expected)).all()
    assert not told[score.imputed].any()
    assert set(np.unique(score.direction)) <= {-1, 0, 1}


def law_input_is_untouched(scorer: Scorer, windows: Windows) -> None:
    """Scoring changes neither readings nor mask, and the score does not share memory with them."""
    values, mask = windows
    before = values.tobytes(), mask.tobytes()
    score = scorer.score(values, mask)
    assert (values.tobytes(), mask.tobytes()) == before
    for _, array in fields(score):
        assert not np.shares_memory(array, values)
        assert not np.shares_memory(array, mask)


def law_batch_equals_one_by_one(scorer: Scorer, windows: Windows) -> None:
    """A window's score is the same to the bit whatever stands beside it."""
    values, mask = windows
    whole = scorer.score(values, mask)
    order = np.random.default_rng(5).permutation(len(values))
    mixed = scorer.score(values[order], mask[order])
    for b in range(0, len(values), 7):
        alone = scorer.score(values[b : b + 1], mask[b : b + 1])
        place = int(np.flatnonzero(order == b)[0])
        for name, array in fields(whole):
            assert array[b : b + 1].tobytes() == getattr(alone, name).tobytes(), name
            assert array[b].tobytes() == getattr(mixed, name)[place].tobytes(), name


def law_masked_cells_do_not_count(scorer: Scorer, windows: Windows) -> None:
    """What stands where the mask says nothing was read has no effect."""
    values, mask = windows
    filled = np.where(mask, values, np.float32(1e9))
    assert_same(scorer.score(values, mask), scorer.score(filled, mask))


def law_no_readings_no_crash(scorer: Scorer, windows: Windows) -> None:
    """A window without any reading, and none at all, are scored without warnings."""
    values, mask = windows
    nothing = scorer.score(np.full_like(values[:2], np.nan), np.zeros_like(mask[:2]))
    assert np.isfinite(nothing.anomaly).all()
    assert len(scorer.score(values[:0], mask[:0])) == 0


def law_wrong_shapes_are_refused(scorer: Scorer, windows: Windows) -> None:
    """A window of another length, another number of channels, or a mask that does not fit."""
    values, mask = windows
    for v, m in ((values[:, 1:], mask[:, 1:]), (values[..., 1:], mask[..., 1:]), (values, mask[:1])):
        with pytest.raises(ValueError, match="shape"):
            scorer.score(v, m)


def law_same_again(scorer: Scorer, windows: Windows) -> None:
    """Scoring has no memory: the same windows get the same bits again."""
    values, mask = windows
    first = scorer.score(values, mask)
    scorer.score(values[::-1].copy(), mask[::-1].copy())
    assert_same(first, scorer.score(values, mask))


def law_strays_are_told_where_there_are_readings(scorer: Scorer, windows: Windows) -> None:
    """How channels stray is told for each with a reading or for none, and since when within the window."""
    values, mask = windows
    score = scorer.score(values, mask)
    if score.deviation is None or score.liveliness is None or score.off_rows is None:
        assert score.deviation is None
        assert score.liveliness is None
        assert score.off_rows is None
        return
    for plane in (score.deviation, score.liveliness, score.off_rows):
        assert plane.shape == score.share.shape
    assert (np.isfinite(score.deviation) == np.isfinite(score.expected)).all()
    assert not np.isfinite(score.liveliness[score.imputed]).any()
    assert (score.off_rows >= 0).all()
    assert (score.off_rows <= values.shape[1]).all()
    assert not score.off_rows[score.imputed].any()


def law_explanations_are_bands_and_a_distribution(scorer: Scorer, windows: Windows) -> None:
    """Low ≤ expected ≤ high wherever anything is expected, and attention sums to the share over time."""
    if not isinstance(scorer, Explainer):
        return
    values, mask = windows
    told = scorer.explain(values, mask)
    assert told.expected.shape == told.low.shape == told.high.shape == values.shape
    known = np.isfinite(told.expected)
    assert known.any()
    assert (np.isfinite(told.low) == known).all()
    assert (np.isfinite(told.high) == known).all()
    assert (told.low[known] <= told.expected[known]).all()
    assert (told.expected[known] <= told.high[known]).all()
    B, _, C = values.shape
    assert told.attention.shape[0] == B
    assert told.attention.shape[2] == C
    assert values.shape[1] % told.attention.shape[1] == 0
    assert (told.attention >= 0).all()
    np.testing.assert_allclose(told.attention.sum((1, 2)), 1.0, atol=1e-4)
    score = scorer.score(values, mask)
    np.testing.assert_allclose(told.attention.sum(1), score.share, atol=1e-4)


def law_explanations_depend_on_their_window_alone(scorer: Scorer, windows: Windows) -> None:
    """To the bit, whatever stands beside it and under the mask; inputs stay as they are; none is explained by none."""
    if not isinstance(scorer, Explainer):
        return
    values, mask = windows
    before = values.tobytes(), mask.tobytes()
    whole = scorer.explain(values, mask)
    filled = np.where(mask, values, np.float32(1e9))
    for b in (0, 3, 5, 9, 11, len(values) - 1):
        alone = scorer.explain(filled[b : b + 1], mask[b : b + 1])
        for name in Explanation.__slots__:
            assert getattr(whole, name)[b].tobytes() == getattr(alone, name)[0].tobytes(), name
    assert (values.tobytes(), mask.tobytes()) == before
    assert len(scorer.explain(values[:0], mask[:0])) == 0
    with pytest.raises(ValueError, match="shape"):
        scorer.explain(values[:, 1:], mask[:, 1:])


LAWS = (
    law_shapes_and_sums,
    law_input_is_untouched,
    law_batch_equals_one_by_one,
    law_masked_cells_do_not_count,
    law_no_readings_no_crash,
    law_wrong_shapes_are_refused,
    law_same_again,
    law_strays_are_told_where_there_are_readings,
    law_explanations_are_bands_and_a_distribution,
    law_explanations_depend_on_their_window_alone,
)
