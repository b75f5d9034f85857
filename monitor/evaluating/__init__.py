"""`attendant evaluate`: train on `split == train`, score `split == test`, measure detection and causes.

`cases.py` reads series, `measuring.py` fits and scores one, `command.py` goes through all and writes the report.
"""

from monitor.evaluating.cases import EvaluateError
from monitor.evaluating.command import evaluate_command, peers_asked

__all__ = ["EvaluateError", "evaluate_command", "peers_asked"]
