"""One folder per kind of system: translates, never decides."""
