"""The authorization server as it is served: clients, tokens, keys, metadata."""

from gateway.authorization.book import ClientBook
from gateway.authorization.parts import Authorization
from gateway.authorization.routes import describe_server, router

__all__ = ["Authorization", "ClientBook", "describe_server", "router"]
