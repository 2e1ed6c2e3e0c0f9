"""Who calls: the token of the Authorization header (RFC 6750 2.1, RFC 9449 7.1).

A call without a token goes on without a principal; routes that are not public refuse it. A token
that is there but not good is refused here, whatever the path, and never taken for an absent one. A
token that is bound to a key or a certificate is good only with what shows that the caller has it.

Order: inside problem-details; outside the rate limit that counts by client.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from canonical.errors import KeyNotProven, NonceNeeded, Unauthenticated
from canonical.request import Principal
from policies.edge import Edge, Header, Presented, challenge, facts_of, response_headers

_LONGEST_TOKEN = 8192
_BEARER, _DPOP = "bearer", "dpop"
_ALGORITHMS = "ES256 ES384 Ed25519 PS256 RS256"
"""What proofs may be signed with, as policies/oauth/dpop.py takes them."""
_CODES: dict[type[Exception], str] = {
    KeyNotProven: "invalid_dpop_proof",
    NonceNeeded: "use_dpop_nonce",
}


class _Sent(NamedTuple):
    scheme: str
    token: bytes


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
        async def bearer_token(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                scope["state"]["resource_metadata"] = edge.resource_metadata
                scheme = _BEARER
                try:
                    sent = _sent(scope["headers"])
                    if sent is not None:
                        scheme = sent.scheme
                        facts_of(scope).principal = await _proven(scope, sent, edge)
                except (Unauthenticated, NonceNeeded) as refusal:
                    self._challenge(scope, scheme, refusal)
                    raise
            await app(scope, receive, send)

        return bearer_token

    def _challenge(self, scope: Scope, scheme: str, refusal: Exception) -> None:
        if scheme == _DPOP:
            code = _CODES.get(type(refusal), "invalid_token")
            said = {"realm": self.realm, "error": code, "algs": _ALGORITHMS}
            challenge(scope, "DPoP", said)
        else:
            challenge(scope, "Bearer", {"realm": self.realm, "error": "invalid_token"})


async def _proven(scope: HTTPScope, sent: _Sent, edge: Edge) -> Principal:
    """Return whom the token stands for, once the caller has shown what it is bound to."""
    principal = await edge.verify(sent.token, edge.clock().timestamp())
    if sent.scheme == _DPOP or principal.key or principal.certificate:
        answer = response_headers(scope)
        presented = Presented(
            scheme=sent.scheme, token=sent.token, principal=principal, answer=answer
        )
        await edge.confirm(scope, presented)
    return principal


def _sent(headers: Iterable[Header]) -> _Sent | None:
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) > 1:
        raise Unauthenticated("more than one Authorization header", where="Authorization")
    if not found:
        return None
    scheme, _, token = found[0].partition(b" ")
    named = scheme.lower()
    if named not in (b"bearer", b"dpop"):
        return None
    token = token.strip()
    if not token or len(token) > _LONGEST_TOKEN:
        raise Unauthenticated("the token is empty or too long", where="Authorization")
    return _Sent(named.decode(), token)
