"""Proofs of possession, on a real Valkey: good ones, used ones, forgotten ones."""

import asyncio
import os
import shutil
from datetime import UTC, datetime

import msgspec
import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey
from redis.asyncio import Redis

from canonical.errors import KeyNotProven, NonceNeeded, StoreUnavailable
from gateway.embedded.place import place_of
from gateway.embedded.valkey import start_valkey
from policies.bearer_token import BearerToken
from policies.oauth.binding import Binding
from policies.oauth.certificates import ClientCertificates
from policies.oauth.dpop import ALGORITHMS, DpopSettings, Proofs, ProvenCall
from policies.oauth.proof_memory import proof_memory
from tests.security.proofs import proof

ROOT = "https://suture.example/gw"
URL = f"{ROOT}/items"
NOW = 1_800_000_000.0
KEY = ECKey.generate_key("P-256")
TOKEN = "a.b.c"


@pytest.fixture
async def memories(valkey_url):
    client = Redis.from_url(valkey_url)
    await client.flushdb()
    pair = [proof_memory(valkey_url), proof_memory(valkey_url)]
    await pair[0].claim("start", 1, NOW - 3600)
    yield [*pair, client]
    for memory in (*pair, client):
        await memory.aclose()


def proofs(memory, **settings):
    return Proofs(memory, ROOT, DpopSettings(**settings))


def call(*sent, path="/items", token=TOKEN, method="GET"):
    return ProvenCall(
        method, path, [one.encode() for one in sent], token.encode() if token else None, []
    )


def fresh(now=NOW, key=KEY, **changed):
    return proof(key, "GET", changed.pop("url", URL), now, token=TOKEN, **changed)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ECKey.generate_key("P-256"), "ES256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (RSAKey.generate_key(2048), "RS256"),
        (RSAKey.generate_key(4096), "PS256"),
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_whoever_has_the_key_shows_it_again_and_again(memories, key, algorithm):
    tested = proofs(memories[0])
    for _ in range(3):
        made = fresh(key=key, header={"alg": algorithm})
        assert await tested.key_of(call(made), NOW) == key.thumbprint()


@pytest.mark.parametrize(
    "url",
    [
        "https://suture.example/gw/items",
        "https://SUTURE.example:443/gw/items",
        "HTTPS://suture.example/gw/items?query=left#out",
        "https://suture.example/gw/%69tems",
    ],
)
async def test_an_address_may_be_spelt_in_more_than_one_way(memories, url):
    assert await proofs(memories[0]).key_of(call(fresh(url=url)), NOW)


async def test_a_proof_is_good_once_among_all_replicas(memories):
    replicas = [proofs(memory) for memory in memories[:2]]
    made = fresh()
    tried = [replicas[n % 2].key_of(call(made), NOW) for n in range(20)]
    answers = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(answer == KEY.thumbprint() for answer in answers) == 1
    assert sum(isinstance(answer, KeyNotProven) for answer in answers) == 19


async def test_the_same_name_by_another_key_is_another_proof(memories):
    tested, other = proofs(memories[0]), ECKey.generate_key("P-256")
    for key in (KEY, other):
        assert await tested.key_of(call(fresh(key=key, claims={"jti": "one"})), NOW)


async def test_what_is_remembered_is_forgotten_when_the_proof_is_too_old_anyway(memories):
    await proofs(memories[0], proof_seconds=60).key_of(call(fresh(NOW - 30)), NOW)
    keys = [key async for key in memories[2].scan_iter("suture:{proofs}:*")]
    lives = [await memories[2].pttl(key) for key in keys if not key.endswith((b"epoch", b"start"))]
    assert len(lives) == 1
    assert 20_000 < lives[0] <= 31_000


async def test_a_proof_from_before_the_memory_was_lost_is_not_good_again(memories):
    tested = proofs(memories[0])
    made = fresh()
    await tested.key_of(call(made), NOW)
    await memories[2].flushdb()
    replayed = call(made)
    with pytest.raises(NonceNeeded):
        await tested.key_of(replayed, NOW + 1)
    [(name, nonce)] = replayed.answer
    assert name == b"dpop-nonce"
    again = call(fresh(NOW + 1, claims={"nonce": nonce.decode()}))
    assert await tested.key_of(again, NOW + 1) == KEY.thumbprint()
    assert again.answer == []
    later = NOW + 60
    assert await tested.key_of(call(fresh(later)), later)  # nobody needs a nonce any more


async def test_a_nonce_of_before_the_loss_is_not_good_after_it(memories):
    tested = proofs(memories[0], nonces=True)
    asked = call(fresh())
    with pytest.raises(NonceNeeded):
        await tested.key_of(asked, NOW)
    nonce = asked.answer[0][1].decode()
    await memories[2].flushdb()
    with pytest.raises(NonceNeeded):
        await tested.key_of(call(fresh(claims={"nonce": nonce})), NOW)


async def test_with_nonces_each_proof_has_one_and_the_next_is_sent_in_time(memories):
    replicas = [proofs(memory, nonces=True, nonce_seconds=100) for memory in memories[:2]]
    asked = call(fresh())
    with pytest.raises(NonceNeeded):
        await replicas[0].key_of(asked, NOW)
    nonce = asked.answer[0][1].decode()

    young = call(fresh(NOW + 10, claims={"nonce": nonce}))
    assert await replicas[1].key_of(young, NOW + 10)
    assert young.answer == []
    elderly = call(fresh(NOW + 60, claims={"nonce": nonce}))
    assert await replicas[1].key_of(elderly, NOW + 60)
    assert elderly.answer[0][1].decode() != nonce
    for wrong, now in ((nonce, NOW + 101), ("made-up", NOW), (nonce[:-4] + "AAAA", NOW)):
        refused = call(fresh(now, claims={"nonce": wrong}))
        with pytest.raises(NonceNeeded):
            await replicas[0].key_of(refused, now)
        assert refused.answer


async def test_without_valkey_nothing_is_proven(tmp_path):
    server = await start_valkey(tmp_path)
    memory = proof_memory(server.url)
    await memory.claim("start", 1, NOW - 3600)
    tested = proofs(memory)
    assert await tested.key_of(call(fresh()), NOW)
    await server.stop()
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="replays"):
            await tested.key_of(call(fresh()), NOW)
    again = await start_valkey(tmp_path)
    async with asyncio.timeout(10):
        while True:
            try:
                await tested.key_of(call(fresh()), NOW)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            except NonceNeeded:
                break  # it began to remember anew: that is what has to be said
    await memory.aclose()
    await again.stop()
    if os.geteuid() == 0:
        shutil.rmtree(place_of("valkey", tmp_path, "").folder.parent, ignore_errors=True)


async def test_without_valkey_bound_tokens_wait_and_plain_ones_go_on(gateway, hello):
    gateway.now = datetime.fromtimestamp(NOW, UTC)
    memory = proof_memory("unix:///nowhere/valkey.sock")
    binding = Binding(proofs(memory), ClientCertificates(), lambda: gateway.now)
    edge = gateway.edge
    gateway.edge = lambda: msgspec.structs.replace(edge(), confirm=binding.confirm)
    gateway.principal = msgspec.structs.replace(gateway.principal, expires=NOW + 600)
    plain = await gateway.ask(hello, BearerToken(), headers={"authorization": "Bearer good"})
    assert plain.status_code == 200

    gateway.principal = msgspec.structs.replace(gateway.principal, key=KEY.thumbprint())
    made = proof(KEY, "GET", f"{ROOT}/items", NOW, token="good")
    bound = await gateway.ask(
        hello, BearerToken(), headers={"authorization": "DPoP good", "dpop": made}
    )
    assert (bound.status_code, bound.json()["type"]) == (503, "store-unavailable")
    assert bound.headers["retry-after"] == "1"
    await memory.aclose()


async def test_a_refused_proof_is_answered_with_what_would_be_taken(gateway, hello, memories):
    gateway.now = datetime.fromtimestamp(NOW, UTC)
    binding = Binding(proofs(memories[0], nonces=True), ClientCertificates(), lambda: gateway.now)
    edge = gateway.edge
    gateway.edge = lambda: msgspec.structs.replace(edge(), confirm=binding.confirm)
    gateway.principal = msgspec.structs.replace(
        gateway.principal, expires=NOW + 600, key=KEY.thumbprint()
    )

    async def ask(**changed):
        made = proof(KEY, "GET", f"{ROOT}/items", NOW, token="good", **changed)
        headers = {"authorization": "DPoP good", "dpop": made}
        return await gateway.ask(hello, BearerToken(), headers=headers)

    asked = await ask()
    assert asked.status_code == 401
    assert 'DPoP realm="suture", error="use_dpop_nonce"' in asked.headers["www-authenticate"]
    assert f'algs="{" ".join(ALGORITHMS)}"' in asked.headers["www-authenticate"]
    nonce = asked.headers["dpop-nonce"]
    assert (await ask(claims={"nonce": nonce})).status_code == 200
    wrong = await ask(claims={"nonce": nonce, "htm": "PUT"})
    assert 'error="invalid_dpop_proof"' in wrong.headers["www-authenticate"]
