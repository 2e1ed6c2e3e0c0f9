"""Usage reversal: what was reported as used and was not is taken back, in every book."""
