"""A gateway in a process of its own: it shares no clock, no lock and no chance with the tests."""

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import msgspec

from gateway.authorization import ClientBook
from gateway.config import Config, load
from gateway.demo.hospital import CLIENT
from gateway.demo.stage import Stage, open_stage
from gateway.openapi import TIERS, document
from policies.oauth.clients import new_client
from policies.rate_limit import RateLimit

ROOT = Path(__file__).resolve().parents[2]


def serve(folder: str, line: Connection) -> None:
    """Serve until the other end hangs up; say where, and with which token."""
    asyncio.run(_serve(folder, line))


async def _serve(folder: str, line: Connection) -> None:
    async with open_stage(_roomy(folder), pace=0.05, say=lambda _: None) as stage:
        line.send((stage.running.url, await _token(stage)))
        while not await asyncio.to_thread(line.poll, 1):
            pass


def _roomy(folder: str) -> Config:
    """Return the committed configuration with a quota that a fuzzer does not use up."""
    told = load(ROOT / "gateway.toml")
    return msgspec.structs.replace(
        told,
        state_folder=folder,
        server=msgspec.structs.replace(told.server, port=0, token_seconds=3600),
        mllp=msgspec.structs.replace(told.mllp, port=0),
        pipeline=tuple(
            msgspec.structs.replace(policy, limit=10_000_000, burst=10_000_000)
            if isinstance(policy, RateLimit)
            else policy
            for policy in told.pipeline
        ),
    )


async def _token(stage: Stage) -> str:
    """Return a token for everything, of the client that may speak for the suppliers."""
    client, secret = new_client(CLIENT, _all_scopes())
    await ClientBook(stage.running.parts.ledger.clients).put(client)
    async with httpx.AsyncClient(base_url=stage.running.url, trust_env=False) as http:
        form = {"grant_type": "client_credentials"}
        answer = await http.post("/oauth/token", data=form, auth=(client.client_id, secret))
    return str(answer.json()["access_token"])


def _all_scopes() -> tuple[str, ...]:
    schemes = [document(tier)["components"]["securitySchemes"]["oauth2"] for tier in TIERS]
    return tuple(
        scope for scheme in schemes for scope in scheme["flows"]["clientCredentials"]["scopes"]
    )
