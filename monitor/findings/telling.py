"""An episode as it stands → the finding that tells it: severity, evidence by channel, suspected faults.

Decides nothing and changes nothing; when something has to be told, `judge.py` says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scoring import ModelIdentity
from monitor.findings.episodes import Episodes
from monitor.findings.finding import Action, Evidence, Finding, Kind, Reason, Severity
from monitor.findings.hypotheses import Suspicion, Traces, suspicions
from monitor.findings.watched import Watched
from streams.devices import DeviceProfile


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells the episodes of one device type."""

    profile: DeviceProfile
    model: ModelIdentity
    nameable: NDArray[np.bool_]
    """(C,) channels that can be a cause."""
    most: int
    """So many channels are named at most."""

    def finding(
        self, episodes: Episodes, watched: Watched, slot: np.intp | int, action: Action, reason: Reason, at_t: int,
    ) -> Finding:  # fmt: skip
        """What is known at `at_t` of the episode in `slot`, and why that is told."""
        row = int(episodes.row[slot])
        return Finding(
            kind=Kind.FAULT,
            action=action,
            reason=reason,
            severity=Severity.CRITICAL if episodes.critical[slot] else Severity.WARNING,
            device=watched.devices[row],
            device_type=self.profile.type,
            started_t=int(episodes.started[slot]),
            at_t=at_t,
            anomaly=float(watched.anomaly[row]),
            peak=float(episodes.peak[slot]),
            evidence=self._evidence(episodes, slot),
            model=self.model,
            suspicions=self._suspicions(episodes, slot),
        )

    def _suspicions(self, episodes: Episodes, slot: np.intp | int) -> tuple[Suspicion, ...]:
        share = episodes.shares(np.array([slot]), self.nameable)[0, 0]
        return suspicions(self.profile, Traces(share, *episodes.strayed(slot)))

    def _evidence(self, episodes: Episodes, slot: np.intp | int) -> tuple[Evidence, ...]:
        share, attention, residual = episodes.shares(np.array([slot]), self.nameable)[0]
        observed, expected, direction = episodes.view[slot]
        since = episodes.since[slot, 0]
        # A stable sort, so that ties are named in the profile's order and replay gives the same bytes.
        ranked = np.argsort(-share, kind="stable")[: self.most]
        return tuple(
            Evidence(
                channel=self.profile.names[c],
                share=float(share[c]),
                attention=float(attention[c]),
                residual=float(residual[c]),
                observed=float(observed[c]),
                expected=float(expected[c]),
                direction=0 if np.isnan(direction[c]) else int(direction[c]),
                since_t=int(since[c]) or None,
            )
            for c in ranked
            if self.nameable[c] and share[c] > 0
        )
