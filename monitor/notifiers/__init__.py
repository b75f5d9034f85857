"""Ways to tell somebody: one file a target behind one small Protocol."""

from monitor.notifiers.base import Answer, Notifier, Outcome

__all__ = ["Answer", "Notifier", "Outcome"]
