"""For buyers (EXP-02)."""
