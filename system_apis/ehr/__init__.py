"""The electronic health record: cases, usage, charge review."""
