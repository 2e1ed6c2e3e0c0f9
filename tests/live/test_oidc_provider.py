"""A certified OpenID provider that is not ours, as an external issuer: `make test-live`."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from canonical.clock import utc_now
from gateway.config import load
from gateway.runtime import open_parts, open_stores
from ledger.database import fresh_database
from policies.oauth.issuer_settings import ExternalIssuer, Grant
from tests.conftest import ROOT as PROJECT
from tests.security.binding_stage import KEY, ROOT, SCOPE, Clock, Field
from tests.security.proofs import proof

INSTALLED = PROJECT / ".suture" / "live" / "oidc-provider"
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        NODE is None or not (INSTALLED / "node_modules" / "oidc-provider").exists(),
        reason="not run: oidc-provider is not installed (make test-live needs node and npm)",
    ),
]


@asynccontextmanager
async def provider() -> AsyncGenerator[str]:
    source = PROJECT / "tests" / "live" / "oidc-provider" / "server.mjs"
    shutil.copy(source, INSTALLED / source.name)
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        source.name,
        cwd=INSTALLED,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while line := (await process.stdout.readline()).decode():
                if line.startswith("ready on "):
                    break
        assert line, "the provider ended before it was ready"
        yield line.removeprefix("ready on ").strip()
    finally:
        process.terminate()
        await process.wait()


class Live:
    def __init__(self, field: Field, issuer: str, clock: Clock) -> None:
        self.field, self.issuer, self.clock = field, issuer, clock

    async def token(self, client: str = "buyer", **headers: str) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                f"{self.issuer}/token",
                data={"grant_type": "client_credentials"},
                auth=(client, "a-secret-of-the-test"),
                headers=headers,
            )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def rotate(self, *, retire: bool = False) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.post(f"{self.issuer}/sim/rotate{'?retire=1' if retire else ''}")
        self.clock.forward(6)

    async def status(self, token: str, *proofs: str, scheme: str = "Bearer") -> int:
        return (await self.field.read(token, *proofs, scheme=scheme)).status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(state: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Live]:
    told = msgspec.structs.replace(load(PROJECT / "gateway.toml"), state_folder=str(state))
    async with open_stores(told) as stores, provider() as issuer:
        grant = Grant(claim="groups", value="buyers", scopes=(SCOPE,), every_facility=True)
        config = msgspec.structs.replace(
            told,
            server=msgspec.structs.replace(told.server, issuer=ROOT),
            issuers=(ExternalIssuer(name="live", url=issuer, audience=ROOT, grants=(grant,)),),
        )
        dsn = await fresh_database(stores.dsn, f"live_{uuid.uuid4().hex}")
        clock = Clock()
        own = msgspec.structs.replace(stores, dsn=dsn)
        async with open_parts(config, clock, own) as parts:
            clock.forward(6)
            yield Live(Field(parts, ("", ""), tmp_path_factory.mktemp("live")), issuer, clock)


async def test_its_tokens_are_taken_for_what_is_granted(live: Live):
    told = await live.token()
    assert told["token_type"] == "Bearer"
    assert await live.status(told["access_token"]) == 200
    assert await live.status((await live.token("guest"))["access_token"]) == 403
    assert await live.status(told["access_token"][:-6] + "AAAAAA") == 401


async def test_its_bound_tokens_need_a_proof_by_the_key_it_bound_them_to(live: Live):
    made = proof(KEY, "POST", f"{live.issuer}/token", utc_now().timestamp())
    told = await live.token(dpop=made)
    assert told["token_type"] == "DPoP"
    token = told["access_token"]
    assert await live.status(token, live.field.proof(token), scheme="DPoP") == 200
    assert await live.status(token) == 401


async def test_its_keys_rotate_in_flight(live: Live):
    old = (await live.token())["access_token"]
    assert await live.status(old) == 200
    await live.rotate()
    new = (await live.token())["access_token"]
    assert await live.status(new) == 200
    assert await live.status(old) == 200
    await live.rotate(retire=True)
    newest = (await live.token())["access_token"]
    assert await live.status(newest) == 200
    assert (await live.status(old), await live.status(new)) == (401, 401)
