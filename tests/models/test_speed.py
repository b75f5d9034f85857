"""The scorer's benchmark measures what it says, and the scorer keeps its bits at every size of a chunk."""

import numpy as np
import pytest

from models.detector import CHUNK, SMALL_CHUNK
from models.speed import BATCHES, CHANNELS, ROWS, measure, synthetic_scorer, synthetic_windows
from tests.checks.scorer_laws import fields


def test_every_batch_is_measured_beside_the_plain_autoencoder() -> None:
    figures = measure(rounds=2)
    assert (figures["channels"], figures["rows"]) == (12, 64)
    assert set(figures["batch"]) == set(figures["series"]) == {str(batch) for batch in BATCHES}
    for pair in (*figures["batch"].values(), *figures["series"].values()):
        assert 0 < pair["windows_per_s"] <= pair["best_windows_per_s"]
        assert pair["us_per_window"] == pytest.approx(1e6 / pair["windows_per_cpu_s"])
        assert pair["ratio"] > 0


def test_the_synthetic_windows_have_gaps_and_the_mask_says_where() -> None:
    values, mask = synthetic_windows(40)
    assert values.shape == (40, ROWS, len(CHANNELS))
    assert (np.isnan(values) == ~mask).all()
    assert 0.9 < mask.mean() < 1.0


@pytest.mark.parametrize("count", [1, SMALL_CHUNK, SMALL_CHUNK + 1, 4 * SMALL_CHUNK + 1, CHUNK, CHUNK + 5])
def test_a_score_has_the_same_bits_in_a_chunk_of_any_size(count: int) -> None:
    scorer, (values, mask) = synthetic_scorer(), synthetic_windows(CHUNK + 5)
    whole, some = scorer.score(values, mask), scorer.score(values[:count], mask[:count])
    for name, array in fields(whole):
        assert array[:count].tobytes() == getattr(some, name).tobytes(), name


def test_a_machine_whose_products_round_by_their_width_gets_one_size_of_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.detector.AttentionScorer._rounds_alike", lambda _: False)
    scorer, (values, mask) = synthetic_scorer(), synthetic_windows(3)
    assert scorer._size(3) == CHUNK
    assert len(scorer.score(values, mask)) == 3
