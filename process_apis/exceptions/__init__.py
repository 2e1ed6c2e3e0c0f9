"""Exceptions: tasks that people resolve (MID-15, EXP-15)."""
