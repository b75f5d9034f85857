"""Two next-row forecasters: a convolutional one and a recurrent one. Letters: B windows, T rows, C channels.

The first after Munir et al., "DeepAnT", IEEE Access 7, 2019, hyper-parameters of TSB-AD-M; the residual of a row
is the squared error of what the rows before it let expect.
"""

from torch import Tensor, nn

from models.peers.common import Notice, Residuals, Standard
from models.peers.fitting import Course, Net, descend, residuals, seeded

CONVOLUTIONAL = Course(window=51, epochs=30, batch=128, rate=8e-4)
RECURRENT = Course(window=31, epochs=15)
"""Windows hold the row to be forecast behind those it is forecast from."""


class CnnForecaster(nn.Module):
    """Three convolutions with pooling, then two dense layers."""

    def __init__(self, C: int, rows: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = C
        for width in (32, 32, 40):
            layers += [nn.Conv1d(before, width, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2)]
            before = width
        head = (
            nn.Flatten(),
            nn.Linear(before * (rows // 8), 64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, C),
        )
        self.layers = nn.Sequential(*layers, *head)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) → (B, C)"""
        return self.layers(x.transpose(1, 2))  # type: ignore[no-any-return]  # torch


class LstmForecaster(nn.Module):
    """One recurrent layer of 64, one dense layer."""

    def __init__(self, C: int) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(C, 64, batch_first=True), nn.Linear(64, C)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) → (B, C)"""
        return self.head(self.recurrent(x)[0][:, -1])  # type: ignore[no-any-return]  # torch


def cnn_forecaster(rows: Standard, seed: int, notice: Notice) -> Residuals:
    """Squared forecast error of every row."""
    with seeded(seed):
        net = CnnForecaster(rows.train.shape[1], CONVOLUTIONAL.window - 1)
        return _forecast(net, rows, CONVOLUTIONAL, seed, notice)


def lstm_forecaster(rows: Standard, seed: int, notice: Notice) -> Residuals:
    """Squared forecast error of every row."""
    with seeded(seed):
        return _forecast(LstmForecaster(rows.train.shape[1]), rows, RECURRENT, seed, notice)


def _forecast(net: Net, rows: Standard, course: Course, seed: int, notice: Notice) -> Residuals:
    descend(net, lambda net, x, _: _error(net, x).mean(), rows.train, course, seed, notice)
    return residuals(net, _error, rows, course.window)


def _error(net: nn.Module, x: Tensor) -> Tensor:
    error: Tensor = (net(x[:, :-1]) - x[:, -1]) ** 2
    return error
