"""CloudEvents 1.0: the envelope of an event, in structured JSON."""
