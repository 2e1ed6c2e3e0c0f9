"""For security reviewers (EXP-13)."""
