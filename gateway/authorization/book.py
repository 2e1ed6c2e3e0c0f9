"""OAuth clients as the ledger keeps them."""

import msgspec

from ledger.clients import Clients
from policies.oauth.clients import OAuthClient

_client = msgspec.json.Decoder(OAuthClient)


class ClientBook:
    """Finds and keeps clients."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def find(self, client_id: str) -> OAuthClient | None:
        body = await self._clients.find(client_id)
        return None if body is None else _client.decode(body)

    async def listed(self) -> list[OAuthClient]:
        return [_client.decode(body) for body in await self._clients.listed()]

    async def put(self, client: OAuthClient) -> None:
        await self._clients.put(client.client_id, msgspec.json.encode(client).decode())
