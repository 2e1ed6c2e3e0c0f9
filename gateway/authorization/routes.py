"""The authorization server's routes: token, keys, metadata (RFC 6749, 7517, 8414)."""

from http import HTTPStatus
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.authorization.parts import Authorization
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from policies.oauth.metadata import metadata
from policies.oauth.refusals import Reply
from policies.oauth.server import Call


async def call_of(request: Request[Any, Any, State], authorization: Authorization) -> Call:
    """Return a request as the endpoints of OAuth take it."""
    return Call(
        body=await request.body(),
        headers=tuple(request.scope["headers"]),
        now=authorization.clock().timestamp(),
        query=request.scope["query_string"],
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


@get("/jwks", operation_id="listKeys", public=True)
async def list_keys(
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> dict[str, list[dict[str, str | list[str]]]]:
    """Return the public keys that verify our tokens."""
    return authorization.keys.public()


@get("/.well-known/oauth-authorization-server", operation_id="describeServer", public=True)
async def describe_server(
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> dict[str, str | list[str]]:
    """Return the metadata of this authorization server."""
    return metadata(authorization.url, tuple(authorization.tokens.grants))


router = Router("/oauth", route_handlers=[issue_token, list_keys])
