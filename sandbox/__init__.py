"""Simulated outside systems, foreign on purpose."""
