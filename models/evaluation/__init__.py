"""How good are scores and shares against labels? Arrays → figures; knows no model, no file and no terminal.

Rows are the rows of one labelled series in time order. A high score means anomalous; labels are True at fault. What
cannot be told (a series without a fault has no recall) is None, never a number.
"""

from models.evaluation.carriers import Spoilt, spoilt_wave
from models.evaluation.causes import CAUSES, Cause, cause_figures
from models.evaluation.comparison import Interval, paired_bootstrap
from models.evaluation.detection import DETECTION, MERGED, detection_figures
from models.evaluation.vus import Volumes, label_segments, volumes_under_surface

__all__ = [
    "CAUSES",
    "DETECTION",
    "MERGED",
    "Cause",
    "Interval",
    "Spoilt",
    "Volumes",
    "cause_figures",
    "detection_figures",
    "label_segments",
    "paired_bootstrap",
    "spoilt_wave",
    "volumes_under_surface",
]
