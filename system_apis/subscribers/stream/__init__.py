"""Valkey streams, read by consumer groups."""
