"""Simulated faults and fault-free days through a scorer and the real Judge: what an operator would have been told.

`runs.py` simulates, `scoring.py` scores, `judging.py` judges, `watching.py` lets devices teach what is usual for them,
`rates.py` counts, `pairs.py` compares new devices and watched ones, `peers.py` fits what people would use instead,
`beside.py` compares ours with it, `benchmark.py` goes through all device types, `reporting.py` makes its report of the
rows, `tables.py` shows.
The simulator's faults are not those that training injects (`models.injection`), and the seeds here are in
`BENCHMARK_SEEDS`, which training data may not use.
"""

from monitor.simtrial.benchmark import BenchmarkError, simulated_command
from monitor.simtrial.judging import Subject, evaluate_simulated
from monitor.simtrial.peers import PeerError, peers_named
from monitor.simtrial.runs import Trial

__all__ = [
    "BenchmarkError", "PeerError", "Subject", "Trial", "evaluate_simulated", "peers_named", "simulated_command",
]  # fmt: skip
