"""The authorization server's routes (RFC 6749, 7009, 7517, 7591, 7662, 8414)."""

from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.routes import HTTPRoute

from canonical.errors import NotFound
from gateway.authorization.parts import Authorization
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from policies.edge import response_headers
from policies.oauth.clients import ACT, INTROSPECT
from policies.oauth.metadata import Metadata, metadata
from policies.oauth.refusals import Reply
from policies.oauth.server import Call


async def call_of(request: Request[Any, Any, State], authorization: Authorization) -> Call:
    """Return a request as the endpoints of OAuth take it."""
    return Call(
        body=await request.body(),
        headers=tuple(request.scope["headers"]),
        now=authorization.clock().timestamp(),
        query=request.scope["query_string"],
        path=request.scope["path"],
        certificate=authorization.certificate_of(request.scope),
        added=response_headers(request.scope),
    )


def shown(reply: Reply) -> Response[bytes]:
    """Return an answer of OAuth as it leaves."""
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    kind = headers.pop("content-type")
    return Response(reply.body, status_code=reply.status, headers=headers, media_type=kind)


async def record(ledger: Ledger, action: str, reply: Reply) -> None:
    """Keep what was decided, and about whom. What was sent is not kept: it may be a secret."""
    good = reply.status < HTTPStatus.BAD_REQUEST
    await ledger.record(
        Evidence(
            kind="access",
            actor=reply.client,
            action=action,
            outcome="granted" if good else "refused",
            object=reply.object,
            detail={"error": reply.error} if reply.error else {},
        )
    )


@post("/token", operation_id="issueToken", public=True, status_code=200)
async def issue_token(
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Response[bytes]:
    """Issue an access token."""
    reply = await authorization.tokens.answer(await call_of(request, authorization))
    await record(ledger, "token request", reply)
    return shown(reply)


@post("/introspect", operation_id="introspectToken", public=True, status_code=200)
async def introspect_token(
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Response[bytes]:
    """Say what a token stands for (RFC 7662)."""
    reply = await authorization.introspection.answer(await call_of(request, authorization))
    await record(ledger, "token introspection", reply)
    return shown(reply)


@post("/revoke", operation_id="revokeToken", public=True, status_code=200)
async def revoke_token(
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Response[bytes]:
    """End a token (RFC 7009)."""
    reply = await authorization.revocation.answer(await call_of(request, authorization))
    await record(ledger, "token revocation", reply)
    return shown(reply)


@post("/register", operation_id="registerClient", public=True)
async def register_client(
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Response[bytes]:
    """Register a client by a signed software statement (RFC 7591)."""
    if authorization.registration is None:
        raise NotFound(
            "clients are not registered here by themselves", fix="ask the operator for a client"
        )
    reply = await authorization.registration.answer(await call_of(request, authorization))
    await record(ledger, "client registration", reply)
    return shown(reply)


@get("/jwks", operation_id="listKeys", public=True)
async def list_keys(
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> dict[str, list[dict[str, str | list[str]]]]:
    """Return the public keys that verify our tokens."""
    return authorization.keys.public()


@get("/.well-known/oauth-authorization-server", operation_id="describeServer", public=True)
async def describe_server(
    request: Request[Any, Any, State],
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Metadata:
    """Return the metadata of this authorization server."""
    return metadata(
        authorization.url,
        authorization.tokens.grants,
        scopes_of(request.app),
        registers=authorization.registration is not None,
    )


def scopes_of(app: Litestar) -> set[str]:
    """Return every scope that a route asks for, and those of the authorization server itself."""
    asked = (
        handler.opt.get("scope")
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    )
    return {INTROSPECT, ACT, *(scope for scope in asked if isinstance(scope, str))}


router = Router(
    "/oauth",
    route_handlers=[issue_token, introspect_token, revoke_token, register_client, list_keys],
)
