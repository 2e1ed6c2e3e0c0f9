"""Pure translation between canonical objects and S/4HANA's messages, split by noun."""

VERSION = "s4hana/1"
"""Kept with each step, so that a replay knows which translation ran."""
