"""Findings → alerts: the payload that people and systems receive, and the book that numbers its events.

`alert.py` says what an alert and its events are, `book.py` makes them of findings, `summary.py` puts them into a
sentence. Knows no database and no network.
"""

from monitor.alerts.alert import (
    MAX_BODY,
    Acknowledgement,
    Alert,
    AlertEvent,
    ChannelEvidence,
    DeviceInfo,
    EventType,
    Hypothesis,
    Links,
    Model,
    Origin,
    Status,
    alert_id,
    body,
    milliseconds,
    moment,
)
from monitor.alerts.book import AlertBook, LinkSettings
from monitor.alerts.summary import summarize

__all__ = [
    "MAX_BODY",
    "Acknowledgement",
    "Alert",
    "AlertBook",
    "AlertEvent",
    "ChannelEvidence",
    "DeviceInfo",
    "EventType",
    "Hypothesis",
    "LinkSettings",
    "Links",
    "Model",
    "Origin",
    "Status",
    "alert_id",
    "body",
    "milliseconds",
    "moment",
    "summarize",
]
