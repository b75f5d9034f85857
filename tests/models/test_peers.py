"""The peers find a plain fault and name its channel, never look ahead, and say what they miss."""

import importlib

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import detection_figures
from models.peers import PEERS, PLAINEST, PeerMissingError, PeerScores, Standard, standardized
from models.peers.common import Post, Residuals, judged, smoothed
from models.peers.linear import by_root_of_usual

FAULT = slice(150, 200)
METHODS = {
    "pca": {"windowed_pca", "windowed_pca_max", "windowed_pca_raw", "simple_residual"}, "mlp": {"mlp_autoencoder"},
    "cnn": {"cnn_forecaster"}, "lstm": {"lstm_forecaster"}, "usad": {"usad"}, "tranad": {"tranad"},
    "kmeans": {"kmeans_windows"}, "iforest": {"isolation_forest"}, "abs_z": {"abs_z"}, "random": {"random"},
}  # fmt: skip


def rows(n: int, seed: int) -> NDArray[np.float32]:
    """Four channels, the second twice the first."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(n) / 6) + rng.normal(0, 0.1, n)
    return np.stack([wave, 2 * wave + rng.normal(0, 0.1, n), *rng.normal(0, 0.3, (2, n))], 1).astype(
        np.float32
    )


def series() -> Standard:
    test = rows(300, 1)
    test[FAULT, 1] += 6
    return standardized(rows(500, 0), test)


def scores(name: str, standard: Standard) -> list[PeerScores]:
    if name in ("kmeans", "iforest"):
        pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `evaluation`")
    return list(PEERS[name](standard, 0, lambda _done, _total: None))


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_finds_a_plain_fault_names_its_channel_and_never_looks_ahead(name: str) -> None:
    standard = series()
    label = np.zeros(300, bool)
    label[FAULT] = True
    told = scores(name, standard)
    assert {one.method for one in told} == METHODS[name]
    cut = scores(name, Standard(standard.train, standard.test[:180]))
    for one, shorter in zip(told, cut, strict=True):
        if one.score is not None:
            assert one.alarming is not None
            figures = detection_figures(one.score, label, one.alarming, None, 10)
            if name == "random":
                continue  # draws other numbers for other lengths, and finds nothing
            assert figures["auc_roc"] is not None
            assert figures["auc_roc"] > 0.8
            assert shorter.score is not None
            np.testing.assert_allclose(one.score[:180], shorter.score, rtol=1e-4, atol=1e-6)
        if one.channels is not None and name != "random":
            assert one.channels[FAULT].mean(0).argmax() == 1


def test_the_plainest_peers_are_peers() -> None:
    assert set(PLAINEST) < set(PEERS)
    assert set(METHODS) == set(PEERS)


def test_a_missing_library_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    for name in ("kmeans", "iforest"):
        with pytest.raises(PeerMissingError, match=r"scikit-learn.*pip install 'attendant\[evaluation\]'"):
            list(PEERS[name](series(), 0, lambda _done, _total: None))


def test_residuals_become_a_score_as_the_treatment_says() -> None:
    train, test = np.full((10, 4), 2.0), np.array([[2.0, 0.0, 6.0, 14.0], [2.0, 2.0, 2.0, 2.0]])
    of = Residuals(train, test)
    raw, cal = judged("m", of, Post("raw")), judged("m", of, Post("cal"))
    largest = judged("m", of, Post("max"), Post("raw"))
    assert raw.score is not None
    assert raw.alarming is not None
    assert raw.score == pytest.approx([5.5, 2.0])
    assert raw.alarming.tolist() == [True, False]
    logs = np.log1p(test / 2)
    assert cal.score == pytest.approx(logs.mean(1))
    assert largest.score == pytest.approx([logs[0, [0, 2, 3]].mean(), np.log(2)])
    assert largest.channels is not None
    assert largest.channels.tolist() == test.tolist()
    assert by_root_of_usual(of).test == pytest.approx(test / np.sqrt(2))


def test_smoothing_looks_back_only() -> None:
    x = np.array([[4.0], [0.0], [8.0], [0.0]])
    assert smoothed(x, 3)[:, 0].tolist() == pytest.approx([4.0, 2.0, 4.0, 8 / 3])
    assert smoothed(x, 1) is x


def test_missing_readings_repeat_the_last_one_and_a_channel_that_stood_still_may_move_a_little() -> None:
    train = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [2.0, 5.0]], np.float32)
    test = np.array([[np.nan, 5.0], [4.0, np.nan], [np.nan, 5.1]], np.float32)
    z = standardized(train, test)
    assert z.test[1, 0] == z.test[2, 0] == pytest.approx(2 / np.sqrt(2), rel=1e-5)
    assert z.test[1, 1] == 0
    assert 0 < z.test[2, 1] < 1
    assert np.isfinite(z.test).all()
