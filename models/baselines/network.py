"""The deep autoencoder of `models.peers` on a device type's windows. Letters as in `methods.py`."""

import numpy as np
import torch

from models.baselines.methods import flattened, in_chunks, unflattened
from models.baselines.reading import Floats, Inputs, Spread
from models.compute import Compute
from models.descent import Descent, drawn, rounds
from models.peers.autoencoders import MlpAutoencoder
from models.peers.fitting import seeded

STEPS = 2000
BATCH = 128
RATE = 2e-3


class Autoencoder:
    """Reconstructs a window and what settings and states say of it through sixteen numbers."""

    def __init__(self, x: Inputs, seed: int = 0) -> None:
        self.spread = Spread.of(x)
        flat = torch.from_numpy(flattened(self.spread, x))
        with seeded(seed):
            self._net = MlpAutoencoder(flat.shape[1])
        _descend(self._net, flat, seed)
        self._net.requires_grad_(requires_grad=False)

    def residuals(self, x: Inputs) -> Floats:
        """See `models.baselines.methods.Method.residuals`."""
        flat = flattened(self.spread, x)
        return unflattened(flat - in_chunks(self._net, flat), x)


def _descend(net: MlpAutoencoder, flat: torch.Tensor, seed: int) -> None:
    """Fit in place, by the descent of the shipped networks."""
    compute, rng = Compute(), np.random.default_rng(seed)
    descent = Descent([{"params": list(net.parameters())}], RATE, STEPS, compute)
    for _, steps in rounds(STEPS):
        for rows in drawn(rng, len(flat), (steps, BATCH), compute.device):
            batch = flat[rows]
            descent.step(((net(batch) - batch) ** 2).mean())
