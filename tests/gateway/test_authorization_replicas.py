"""Two gateways on one database: what one of them, or an operator, changes, holds on both."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from joserfc import jws

from gateway.authorization import ClientBook
from gateway.config import load
from gateway.runtime import Running, Stores, open_stores, running_gateway
from ledger.database import fresh_database
from policies.oauth.clients import new_client
from tests.gateway.installation import Installation
from tests.programs import ROOT
from tests.security.machines import ASSERTION, GUARDED, ISSUER, READ, Keys, Machines, roomy

PATIENCE = 10.0
"""A second is what is promised, and a tenth of it what it takes; this machine may be busy."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Replica:
    """One of the two gateways, as a caller meets it."""

    def __init__(self, running: Running, http: httpx.AsyncClient) -> None:
        self.running = running
        self.http = http

    async def token(self, client: tuple[str, str], **form: str) -> httpx.Response:
        told = {"grant_type": "client_credentials", **form}
        return await self.http.post("/oauth/token", data=told, auth=client)

    async def status(self, token: str) -> int:
        """What a guarded route answers to a token."""
        headers = {"authorization": f"Bearer {token}"}
        return (await self.http.get(GUARDED, headers=headers)).status_code

    async def kids(self) -> set[str]:
        return {key["kid"] for key in (await self.http.get("/oauth/jwks")).json()["keys"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(
    state: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Installation]:
    """An installation on an empty database, and its command line."""
    config = msgspec.structs.replace(load(ROOT / "gateway.toml"), state_folder=str(state))
    async with open_stores(config) as opened:
        dsn = await fresh_database(opened.dsn, f"replicas_{uuid.uuid4().hex}")
        yield Installation(
            tmp_path_factory.mktemp("replicas"), Stores(dsn=dsn, valkey=opened.valkey)
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(installation: Installation) -> AsyncGenerator[tuple[Replica, Replica]]:
    """Two gateways of one installation: one database, one file of signing keys, one issuer."""
    told = load(installation.folder / "gateway.toml")
    server = msgspec.structs.replace(told.server, port=0, issuer=ISSUER)
    shared = msgspec.structs.replace(roomy(told), server=server)
    async with AsyncExitStack() as stack:
        opened = list[Replica]()
        for _ in range(2):
            gateway = running_gateway(shared, ["api"], stores=installation.stores)
            running = await stack.enter_async_context(gateway)
            http = httpx.AsyncClient(base_url=running.url, trust_env=False)
            opened.append(Replica(running, await stack.enter_async_context(http)))
        yield opened[0], opened[1]


async def until(holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Wait until it holds."""
    begun = time.monotonic()
    while not await holds():
        assert time.monotonic() - begun < PATIENCE, otherwise
        await asyncio.sleep(0.01)


async def added(replica: Replica, name: str) -> tuple[str, str]:
    client, secret = new_client(name, (READ,))
    await ClientBook(replica.running.parts.ledger.clients).put(client)
    return name, secret


async def token_of(replica: Replica, client: tuple[str, str]) -> str:
    return str((await replica.token(client)).json()["access_token"])


async def test_a_token_revoked_at_one_replica_is_refused_at_the_other_within_a_second(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = replicas
    client = await added(replicas[0], "partner-0")
    token = await token_of(first, client)
    kept = await token_of(first, client)
    assert [await each.status(token) for each in replicas] == [200, 200]  # remembered by both

    answer = await first.http.post("/oauth/revoke", data={"token": token}, auth=client)
    assert answer.status_code == 200
    assert await first.status(token) == 401

    async def gone() -> bool:
        return await second.status(token) == 401

    await until(gone, "the other replica still takes it")
    assert await second.status(kept) == 200


async def test_a_lost_notification_is_made_up_for_by_reading(
    replicas: tuple[Replica, Replica],
) -> None:
    first, _ = replicas
    token = await token_of(first, await added(replicas[0], "unheard"))
    assert [await each.status(token) for each in replicas] == [200, 200]
    database = first.running.parts.ledger.database
    await database.run(
        "insert into withdrawn (name, given_before, until) values ($1, 'infinity', $2)",
        "party:unheard",
        time.time() + 60,
    )  # nobody is told

    async def gone() -> bool:
        return {await each.status(token) for each in replicas} == {401}

    await until(gone, "a replica waits for news instead of reading")


async def test_a_disabled_client_has_no_good_token_anywhere_until_it_is_enabled_again(
    replicas: tuple[Replica, Replica], installation: Installation
) -> None:
    client = await added(replicas[0], "partner-2")
    tokens = [await token_of(each, client) for each in replicas]
    await installation.answer("clients", "disable", "partner-2")

    async def gone() -> bool:
        answers = [await each.status(token) for each in replicas for token in tokens]
        return set(answers) == {401}

    await until(gone, "a token of a disabled client is taken")
    for each in replicas:
        refused = await each.token(client)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")

    await installation.answer("clients", "enable", "partner-2")
    fresh = await token_of(replicas[0], client)

    async def taken() -> bool:
        return await replicas[1].status(fresh) == 200

    await until(taken, "a new token of the enabled client is refused")
    assert await gone()


async def test_a_key_is_rotated_under_two_replicas_and_no_call_is_refused(
    replicas: tuple[Replica, Replica], installation: Installation
) -> None:
    client = await added(replicas[0], "partner-3")
    old = await token_of(replicas[0], client)
    old_kid = jws.extract_compact(old.encode()).headers()["kid"]
    told = await installation.answer("signing-keys", "rotate", "--lead-seconds", "2")
    assert {row["state"] for row in told} == {"comes", "signs"}
    new = next(row["kid"] for row in told if row["state"] == "comes")

    async def published() -> bool:
        return [await each.kids() for each in replicas] == [{new, old_kid}] * 2

    await until(published, "a replica does not publish the new key")

    async def signs(each: Replica) -> bool:
        token = await token_of(each, client)
        answers = [await other.status(token) for other in replicas]
        assert answers == [200, 200]
        return jws.extract_compact(token.encode()).headers()["kid"] == new

    for each in replicas:
        await until(lambda each=each: signs(each), "a replica signs with the old key")
    assert [await each.status(old) for each in replicas] == [200, 200]

    await installation.answer("signing-keys", "remove", old_kid)

    async def dropped() -> bool:
        known = [await each.kids() for each in replicas]
        return known == [{new}] * 2 and [await e.status(old) for e in replicas] == [401, 401]

    await until(dropped, "a removed key still counts")


async def test_an_assertion_counts_once_on_both_replicas_together(
    replicas: tuple[Replica, Replica], installation: Installation, tmp_path: Path
) -> None:
    keys = Keys()
    (tmp_path / "public.json").write_bytes(keys.public())
    words = ("--scope", READ, "--jwks", str(tmp_path / "public.json"))
    told = await installation.answer("clients", "add", "keyed", *words)
    assert "clientSecret" not in told
    machines = Machines(replicas[0].http, replicas[0].running.parts, keys)
    machines.keys = keys
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
    for _ in range(5):
        sent = form | {"client_assertion": machines.assertion()}
        answers = await asyncio.gather(
            *(each.http.post("/oauth/token", data=sent) for each in replicas * 2)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
