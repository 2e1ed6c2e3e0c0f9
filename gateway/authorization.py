"""The authorization server's routes: token, keys, metadata (RFC 6749, 7517, 8414)."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.clock import Clock
from ledger.audit_trail import Evidence
from ledger.clients import Clients
from ledger.ledger import Ledger
from policies.oauth.clients import OAuthClient
from policies.oauth.keys import SigningKeys
from policies.oauth.server import metadata, token_response
from policies.oauth.tokens import TokenIssuer

_client = msgspec.json.Decoder(OAuthClient)


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """Keys and issuer of this server's tokens, and who may have them."""

    keys: SigningKeys
    issuer: TokenIssuer
    url: str
    clock: Clock


class ClientBook:
    """OAuth clients as the ledger keeps them."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def find(self, client_id: str) -> OAuthClient | None:
        body = await self._clients.find(client_id)
        return None if body is None else _client.decode(body)

    async def listed(self) -> list[OAuthClient]:
        return [_client.decode(body) for body in await self._clients.listed()]

    async def put(self, client: OAuthClient) -> None:
        await self._clients.put(client.client_id, msgspec.json.encode(client).decode())


@post("/token", operation_id="issueToken", public=True, status_code=200)
async def issue_token(
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Response[bytes]:
    """Issue an access token for client_credentials."""
    status, headers, body = await token_response(
        await request.body(),
        request.scope["headers"],
        ClientBook(ledger.clients).find,
        authorization.issuer,
        authorization.clock().timestamp(),
    )
    if status != HTTPStatus.OK:
        await ledger.record(
            Evidence(kind="access", actor="", action="token request", outcome="refused")
        )
    shown = {name.decode(): value.decode() for name, value in headers}
    kind = shown.pop("content-type", shown.pop("Content-Type", MediaType.JSON))
    return Response(body, status_code=status, headers=shown, media_type=kind)


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
    return metadata(authorization.url)


router = Router("/oauth", route_handlers=[issue_token, list_keys])
