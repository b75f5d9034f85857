"""Scores over time → findings: what is wrong with which device, since when, and why we say so.

Pure decisions: no clock, no broker, no database. Knows nothing about alerts.
"""

from monitor.findings.baseline import AdaptationSettings, Baseline, hindrance
from monitor.findings.blob import SnapshotError
from monitor.findings.finding import (
    SILENCE,
    SITE,
    SITE_TYPE,
    Action,
    Evidence,
    Finding,
    JudgeSettings,
    Kind,
    Reason,
    Severity,
    SilenceSettings,
)
from monitor.findings.hypotheses import Suspicion
from monitor.findings.judge import Judge, Standing, Verdict
from monitor.findings.learning import BaselineReason, Learning, Missed
from monitor.findings.memory import Memories, Recalled
from monitor.findings.sights import Sight
from monitor.findings.silence import Silence, check_together

__all__ = [
    "SILENCE",
    "SITE",
    "SITE_TYPE",
    "Action",
    "AdaptationSettings",
    "Baseline",
    "BaselineReason",
    "Evidence",
    "Finding",
    "Judge",
    "JudgeSettings",
    "Kind",
    "Learning",
    "Memories",
    "Missed",
    "Reason",
    "Recalled",
    "Severity",
    "Sight",
    "Silence",
    "SilenceSettings",
    "SnapshotError",
    "Standing",
    "Suspicion",
    "Verdict",
    "check_together",
    "hindrance",
]
