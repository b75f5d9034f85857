"""`attendant evaluate`: train on `split == train`, score `split == test`, measure detection and causes.

`cases.py` reads series, `measuring.py` fits and scores one, `rhythmic.py` a breathing one by its cycles, `command.py`
goes through all and writes the report, `scoreboard.py` averages, compares and shows.
"""

from monitor.evaluating.cases import EvaluateError
from monitor.evaluating.command import evaluate_command, peers_asked

__all__ = ["EvaluateError", "evaluate_command", "peers_asked"]
