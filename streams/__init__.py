"""Bytes → records → windows. Knows no model and no alert."""
