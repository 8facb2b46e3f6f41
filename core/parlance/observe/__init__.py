"""Logs, metrics and timings."""
