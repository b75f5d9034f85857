"""The peers by name, each with the treatment of its residuals that served it best on the development sets.

Score and ranking are treated each in their own best way, so that no peer is made weaker than it is.
"""

from collections.abc import Callable, Iterator, Mapping

from models.peers.autoencoders import mlp_autoencoder, usad
from models.peers.common import Notice, PeerScores, Post, Standard, judged, ranked
from models.peers.distances import isolation_forest, kmeans
from models.peers.forecasters import cnn_forecaster, lstm_forecaster
from models.peers.linear import by_root_of_usual, windowed_pca
from models.peers.plain import abs_z, chance
from models.peers.tranad import tranad

RAW, CAL, MAX = Post("raw"), Post("cal"), Post("max")
Peer = Callable[[Standard, int, Notice], Iterator[PeerScores]]


def _pca(rows: Standard, _seed: int, _notice: Notice) -> Iterator[PeerScores]:
    whole, newest = windowed_pca(rows)
    yield judged("windowed_pca", whole, CAL)
    yield judged("windowed_pca_max", whole, MAX)
    yield judged("windowed_pca_raw", whole, RAW)
    yield ranked("simple_residual", by_root_of_usual(newest))


def _mlp(rows: Standard, seed: int, notice: Notice) -> Iterator[PeerScores]:
    yield judged("mlp_autoencoder", mlp_autoencoder(rows, seed, notice), MAX, RAW)


def _cnn(rows: Standard, seed: int, notice: Notice) -> Iterator[PeerScores]:
    yield judged("cnn_forecaster", cnn_forecaster(rows, seed, notice), Post("cal", 10), RAW)


def _lstm(rows: Standard, seed: int, notice: Notice) -> Iterator[PeerScores]:
    yield judged("lstm_forecaster", lstm_forecaster(rows, seed, notice), Post("max", 10), RAW)


def _usad(rows: Standard, seed: int, notice: Notice) -> Iterator[PeerScores]:
    yield judged("usad", usad(rows, seed, notice), RAW)


def _tranad(rows: Standard, seed: int, notice: Notice) -> Iterator[PeerScores]:
    yield judged("tranad", tranad(rows, seed, notice), RAW, CAL)


def _kmeans(rows: Standard, seed: int, _notice: Notice) -> Iterator[PeerScores]:
    yield judged("kmeans_windows", kmeans(rows, seed), RAW)


def _iforest(rows: Standard, seed: int, _notice: Notice) -> Iterator[PeerScores]:
    yield isolation_forest(rows, seed)


def _abs_z(rows: Standard, _seed: int, _notice: Notice) -> Iterator[PeerScores]:
    yield judged("abs_z", abs_z(rows), RAW)


def _random(rows: Standard, seed: int, _notice: Notice) -> Iterator[PeerScores]:
    yield judged("random", chance(rows, seed), RAW)


PEERS: Mapping[str, Peer] = {
    "pca": _pca, "mlp": _mlp, "cnn": _cnn, "lstm": _lstm, "usad": _usad, "tranad": _tranad, "kmeans": _kmeans,
    "iforest": _iforest, "abs_z": _abs_z, "random": _random,
}  # fmt: skip
"""Name on the command line → what yields its methods, given both splits, a seed and whom to tell of progress.

A peer whose library is not installed raises `PeerMissingError` when its first method is asked for."""
PLAINEST = ("pca", "abs_z", "random")
"""Those that cost next to nothing and run beside every method."""
