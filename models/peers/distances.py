"""k-means over windows and isolation forest over rows, both from scikit-learn (optional extra `evaluation`)."""

import importlib
import warnings
from typing import Any

import numpy as np

from models.peers.common import (
    QUANTILE,
    Array,
    PeerMissingError,
    PeerScores,
    Residuals,
    Rows,
    Standard,
    windows,
)

WINDOW = 20
CLUSTERS = 10
TREES = 100
_PASS = 4096


def kmeans(rows: Standard, seed: int) -> Residuals:
    """Squared distance of every window from its nearest center, mean over its rows.

    Raises:
        PeerMissingError: scikit-learn is not installed.
    """
    cluster = _library("kmeans", "sklearn.cluster")
    fitted = cluster.MiniBatchKMeans(CLUSTERS, random_state=seed, n_init=3, batch_size=2048)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct windows than centers: then fewer centers are used
        fitted.fit(_flat(rows.train))
    return Residuals(*(_from_center(fitted, z) for z in rows))


def _from_center(fitted: Any, z: Rows) -> Array:
    parts = []
    for i in range(0, len(z), _PASS):
        y = np.ascontiguousarray(windows(z, WINDOW)[i : i + _PASS].reshape(-1, WINDOW * z.shape[1]))
        off = (y - fitted.cluster_centers_[fitted.predict(y)]) ** 2
        parts.append(off.reshape(-1, WINDOW, z.shape[1]).mean(1, dtype=np.float64))
    return np.concatenate(parts)


def _flat(z: Rows) -> Rows:
    flat: Rows = windows(z, WINDOW).reshape(len(z), -1)
    return flat


def isolation_forest(rows: Standard, seed: int) -> PeerScores:
    """How few random cuts isolate a row (Liu, Ting, Zhou, ICDM 2008); tells nothing of channels.

    Raises:
        PeerMissingError: scikit-learn is not installed.
    """
    ensemble = _library("iforest", "sklearn.ensemble")
    forest = ensemble.IsolationForest(n_estimators=TREES, random_state=seed).fit(rows.train)
    train, test = (-forest.score_samples(z) for z in rows)
    return PeerScores("isolation_forest", test, test > np.quantile(train, QUANTILE))


def _library(peer: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise PeerMissingError(peer, "scikit-learn") from None
