"""The ledger under torture: real processes, real signals, and an outside that keeps account."""
