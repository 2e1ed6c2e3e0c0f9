"""What a caller may do: each route names the scope it takes, or that it is public.

To be called in a guard, not wrapped around the app: only inside Litestar the route is known.
"""

from collections.abc import Mapping
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from canonical.errors import Forbidden, Unauthenticated
from policies.edge import challenge, facts_of


def declared_scope(opt: Mapping[str, Any]) -> str | None:
    """Return the scope a route asks for; '' when it is public; None when it says neither."""
    if opt.get("public") is True:
        return ""
    scope = opt.get("scope")
    return scope if isinstance(scope, str) and scope else None


def require_scope(
    connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler
) -> None:
    """Let a call through when its token has the route's scope (RFC 6750 3.1)."""
    wanted = declared_scope(route_handler.opt)
    if wanted == "":
        return
    principal = facts_of(connection.scope).principal
    if principal is None:
        challenge(connection.scope, "Bearer", {"realm": "suture"})
        raise Unauthenticated(
            "this path needs an access token", fix="send Authorization: Bearer with a token"
        )
    if wanted is None:
        raise Forbidden("this path names no scope, so that nobody may use it")
    if wanted not in principal.scopes:
        challenge(
            connection.scope,
            "Bearer",
            {"realm": "suture", "error": "insufficient_scope", "scope": wanted},
        )
        raise Forbidden("the token does not have the scope of this path", expected=wanted)
