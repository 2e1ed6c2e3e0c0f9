"""A simulated identity provider: OpenID Connect discovery, rotating keys, seeded faults."""
