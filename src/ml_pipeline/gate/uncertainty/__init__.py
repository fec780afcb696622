"""Intervals of metrics and of their differences to a baseline."""
