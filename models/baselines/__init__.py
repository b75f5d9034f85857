"""What people would use instead, for device types: plain methods behind the same Protocol as the shipped model.

They read a window as the model does (`models.preparation`: scaled, gaps carried, counters by their slope) and are
calibrated as it is (`models.calibration`), so that what is between them and the model is the model alone: no
expectation by settings, no evidence taught on faults, no attention. `reading.py` is what they see, `methods.py` and
`network.py` what they expect, `modes.py` one of them for each mode of the device, `scorer.py` the Protocol around
them, `fitting.py` their road from a fleet to a threshold.
"""

from models.baselines.fitting import PLAIN, fit_plain, fit_scorers
from models.baselines.scorer import PlainScorer

__all__ = ["PLAIN", "PlainScorer", "fit_plain", "fit_scorers"]
