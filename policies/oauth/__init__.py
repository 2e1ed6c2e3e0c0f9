"""The authorization server: keys, tokens, clients and the token endpoint, without routes."""
