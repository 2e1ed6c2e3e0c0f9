"""Process APIs: one folder per business capability; they decide and coordinate."""
