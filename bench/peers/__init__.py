"""Engines of others. They live in an environment of their own, which the product never sees."""
