"""What people would use instead of the detector, to measure it against: plain, linear, and learnt methods.

Each standardizes with the training rows, fits on them, and gives every channel of every row a residual (`common.py`
says how those become a score and a ranking). Rows are scored causally. One file a family; knows no terminal.
"""

from models.peers.common import PeerMissingError, PeerScores, Standard, standardized
from models.peers.registry import PEERS, PLAINEST, Peer

__all__ = ["PEERS", "PLAINEST", "Peer", "PeerMissingError", "PeerScores", "Standard", "standardized"]
