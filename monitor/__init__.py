"""Scores → findings → alerts → deliveries."""

__version__ = "0.1.0"
