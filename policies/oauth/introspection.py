"""What a token says, for who received it (RFC 7662), and the end of a token (RFC 7009).

Clients authenticate as they do for tokens. A client learns of its own tokens only, unless it has
the scope `oauth.tokens:introspect`; a token of others looks to it as one that never was.
"""

from collections.abc import Awaitable, Callable

import msgspec

from canonical.errors import Unauthenticated
from policies.oauth.clients import INTROSPECT, OAuthClient
from policies.oauth.refusals import (
    InvalidClientError,
    InvalidRequestError,
    OAuth2Error,
    Reply,
    UnauthorizedClientError,
    answered,
    refused,
)
from policies.oauth.revoked import token_name
from policies.oauth.server import Authenticate, Call, Form, read_form
from policies.oauth.tokens import AccessClaims

_SKEW = 60.0
"""Seconds by which a replica's clock may be behind: a withdrawal outlives its token by so much."""

ReadClaims = Callable[[bytes, float], AccessClaims]
"""Returns what a good token says; raises `Unauthenticated`."""
Withdraw = Callable[[str, float], Awaitable[None]]
"""Has a name count no more, until a time (seconds)."""
OtherToken = Callable[[OAuthClient, str, float], Awaitable[bool]]
"""Ends a token of another kind, where it is one of this client's; returns whether it was."""


class Introspection(msgspec.Struct, frozen=True, kw_only=True):
    """The introspection endpoint. An app that cannot prove who it is learns nothing."""

    authenticate: Authenticate
    claims: ReadClaims

    async def answer(self, call: Call) -> Reply:
        """Say what a token stands for, or only that it is not active."""
        client = ""
        try:
            form = read_form(call)
            known = await self.authenticate(call, form)
            client = known.client_id
            if known.auth_method == "none":
                raise InvalidClientError
            return self._told(known, _needed_token(form), call.now)
        except OAuth2Error as error:
            return refused(error, client=client)

    def _told(self, client: OAuthClient, token: str, now: float) -> Reply:
        try:
            claims = self.claims(token.encode(), now)
        except Unauthenticated:
            return answered({"active": False}, client=client.client_id)
        if claims.client_id != client.client_id and INTROSPECT not in client.scopes:
            return answered({"active": False}, client=client.client_id)
        said = {
            "active": True,
            "token_type": "DPoP" if "jkt" in claims.cnf else "Bearer",
            **msgspec.to_builtins(claims),
        }
        return answered(said, client=client.client_id, about=claims.jti)


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """The revocation endpoint. `others` end what is no access token."""

    authenticate: Authenticate
    claims: ReadClaims
    withdraw: Withdraw
    others: tuple[OtherToken, ...] = ()

    async def answer(self, call: Call) -> Reply:
        """End a token of the caller's; one that is no good already is as good as ended."""
        client = ""
        try:
            form = read_form(call)
            known = await self.authenticate(call, form)
            client = known.client_id
            token = _needed_token(form)
            for end in self.others:
                if await end(known, token, call.now):
                    return answered({}, client=client)
            return await self._ended(known, token, call.now)
        except OAuth2Error as error:
            return refused(error, client=client)

    async def _ended(self, client: OAuthClient, token: str, now: float) -> Reply:
        try:
            claims = self.claims(token.encode(), now)
        except Unauthenticated:
            return answered({}, client=client.client_id)
        if claims.client_id != client.client_id:
            raise UnauthorizedClientError("The token is another client's.")
        await self.withdraw(token_name(claims.jti), claims.exp + _SKEW)
        return answered({}, client=client.client_id, about=claims.jti)


def _needed_token(form: Form) -> str:
    token = form.get("token", "")
    if not token:
        raise InvalidRequestError("The parameter token is missing.")
    return token
