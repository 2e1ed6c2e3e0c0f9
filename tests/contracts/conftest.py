"""A gateway that is really running, in a thread of its own: the callers here are synchronous."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.app import Parts
from gateway.authorization import ClientBook
from gateway.config import Config, load
from gateway.demo.stage import Stage, open_stage
from gateway.openapi import TIERS, document
from policies.oauth.clients import new_client
from policies.rate_limit import RateLimit

ROOT = Path(__file__).resolve().parents[2]
ALL_SCOPES = tuple(
    scope
    for tier in TIERS
    for scope in document(tier)["components"]["securitySchemes"]["oauth2"]["flows"][
        "clientCredentials"
    ]["scopes"]
)


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway is, what it is made of, and a token that may do everything."""

    parts: Parts
    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, trust_env=False, timeout=20)


@pytest.fixture(scope="session")
def served(state: Path) -> Iterator[Served]:
    """A gateway over real stores and vendor systems, whose quota a fuzzer does not use up."""
    found = list[Served]()
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_stage(_roomy(state), pace=0.05, say=lambda _: None) as stage:
            found.append(await _with_token(stage))
            ready.set()
            await asyncio.to_thread(over.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="gateway")
    thread.start()
    ready.wait(90)
    try:
        assert found, "the gateway did not start: see the thread's traceback"
        yield found[0]
    finally:
        over.set()
        thread.join(60)


def _roomy(state: Path) -> Config:
    told = load(ROOT / "gateway.toml")
    return msgspec.structs.replace(
        told,
        state_folder=str(state),
        server=msgspec.structs.replace(told.server, port=0, token_seconds=3600),
        mllp=msgspec.structs.replace(told.mllp, port=0),
        pipeline=tuple(
            msgspec.structs.replace(policy, limit=10_000_000, burst=10_000_000)
            if isinstance(policy, RateLimit)
            else policy
            for policy in told.pipeline
        ),
    )


async def _with_token(stage: Stage) -> Served:
    client, secret = new_client("contract-tests", ALL_SCOPES)
    await ClientBook(stage.running.parts.ledger.clients).put(client)
    async with httpx.AsyncClient(base_url=stage.running.url, trust_env=False) as http:
        form = {"grant_type": "client_credentials"}
        answer = await http.post("/oauth/token", data=form, auth=(client.client_id, secret))
    running = stage.running
    return Served(parts=running.parts, url=running.url, token=answer.json()["access_token"])
