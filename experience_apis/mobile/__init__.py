"""For people with a scanner in their hand (EXP-01, EXP-09)."""
