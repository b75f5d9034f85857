"""What rows before a row say of it: the same whole and in pieces, and never from rows after it."""

import numpy as np
import pytest

from models.series.evidence import movement
from models.series.history import mean_and_spread
from models.series.memory import HISTORY

ROWS = np.random.default_rng(0).normal(size=(120, 3))


@pytest.mark.parametrize("behind", [range(3), range(24, HISTORY + 1), range(1, 2)])
def test_mean_and_spread_are_those_of_the_rows_so_far_behind(behind: range) -> None:
    mean, spread = mean_and_spread(ROWS[:HISTORY], ROWS[HISTORY:], behind)
    for t in (HISTORY, 70, 119):
        some = ROWS[[t - b for b in behind]]
        np.testing.assert_allclose(mean[t - HISTORY], some.mean(0))
        np.testing.assert_allclose(spread[t - HISTORY], some.std(0), atol=1e-12)


def test_movement_is_the_same_to_the_bit_whole_and_in_pieces() -> None:
    whole = movement(ROWS[:HISTORY], ROWS[HISTORY:])
    for begin, end in ((HISTORY, 40), (40, 47), (47, 120)):
        piece = movement(ROWS[begin - HISTORY : begin], ROWS[begin:end])
        for all_of_it, part in zip(whole, piece, strict=True):
            np.testing.assert_array_equal(part, all_of_it[begin - HISTORY : end - HISTORY])


def test_a_reading_that_stands_elsewhere_has_moved_more_where_it_used_to_stand_still() -> None:
    rows = 0.02 * ROWS
    rows[:, 1] *= 50  # restless
    rows[80:, :2] += 1.5
    rows[80:, 2] += np.where(np.arange(40) % 2, 1.5, -1.5)
    moved, relative, shakes = (x[95 - HISTORY] for x in movement(rows[:HISTORY], rows[HISTORY:]))
    assert moved[0] == pytest.approx(np.log(1.6), abs=0.1)
    assert relative[0] > relative[1] + 1
    assert shakes.argmax() == 2
