"""Who calls: the bearer token of the Authorization header (RFC 6750 2.1).

A call without a token goes on without a principal; routes that are not public refuse it. A token
that is there but not good is refused here, whatever the path, and never taken for an absent one.

Order: inside problem-details; outside the rate limit that counts by client.
"""

from collections.abc import Iterable

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from canonical.errors import Unauthenticated
from policies.edge import Edge, Header, facts_of, response_headers

_LONGEST_TOKEN = 8192


class BearerToken(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="bearer-token",
):
    """Check the token of a call and set its principal. `realm` is named in challenges."""

    realm: str = "suture"

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        refused = f'Bearer realm="{self.realm}", error="invalid_token"'.encode()

        async def bearer_token(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                try:
                    token = _token(scope["headers"])
                    if token is not None:
                        facts_of(scope).principal = edge.verify(token, edge.clock().timestamp())
                except Unauthenticated:
                    response_headers(scope).append((b"www-authenticate", refused))
                    raise
            await app(scope, receive, send)

        return bearer_token


def _token(headers: Iterable[Header]) -> bytes | None:
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) > 1:
        raise Unauthenticated("more than one Authorization header", where="Authorization")
    if not found:
        return None
    scheme, _, token = found[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = token.strip()
    if not token or len(token) > _LONGEST_TOKEN:
        raise Unauthenticated("the bearer token is empty or too long", where="Authorization")
    return token
