"""A scorer trained in seconds on a tiny fleet, once a session."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.autoencoder import ModelConfig
from models.calibration import AlarmRule
from models.training import Progress, Series, Trained, TrainingConfig, train, windows_of
from tests.models.fleet import CHANNELS, ROW_S, ROWS, STRIDE, device

TINY_MODEL = ModelConfig(
    width=16, latent=8, channel_width=8, context_hidden=32, time_blocks=1, max_components=40
)
TINY = TrainingConfig(
    windows=2000,
    steps=120,
    evidence_windows=3000,
    evidence_steps=300,
    budget=2.0,
    min_rows=16,
    rule=AlarmRule(3, 5),
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As in service; beside other processes a second thread costs more than it brings."""
    torch.set_num_threads(1)


class TinyFleet(NamedTuple):
    """What the training gave, what it was given, and every progress it told."""

    trained: Trained
    series: list[Series]
    told: list[Progress]


@pytest.fixture(scope="session")
def tiny() -> TinyFleet:
    """Trained on 16 devices with a seed of its own."""
    series = [device(serial, 1500) for serial in range(16)]
    told: list[Progress] = []
    trained = train("tiny-pump", "1", CHANNELS, ROWS, STRIDE, ROW_S, series, TINY, TINY_MODEL, told.append)
    return TinyFleet(trained, series, told)


@pytest.fixture(scope="session")
def windows() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """150 windows of a device the model never saw; some partial, one channel silent in some."""
    due = windows_of(device(900, 1400), ROWS, 8)
    values, mask = due[0].copy(), due[1].copy()
    mask[3, :40] = False
    mask[5, :, 2] = False
    mask[9, :, 5] = False
    mask[11, :63] = False
    values[np.logical_not(mask)] = np.nan
    return values[:150], mask[:150]
