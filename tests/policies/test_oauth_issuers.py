"""Tokens of other issuers, checked against a real provider that rotates, fails and lies."""

import asyncio

import httpx
import msgspec
import pytest
import pytest_asyncio
from joserfc import jws

from canonical.errors import Forbidden, IssuerUnavailable, Unauthenticated
from gateway.demo.servers import vendor_system
from policies.oauth.issuer_settings import ExternalIssuer, Grant, granted
from policies.oauth.issuers import Issuers

GRANTS = (
    Grant(claim="groups", value="buyers", scopes=("orders:write",), facilities=("1710",)),
    Grant(claim="groups", value="readers", scopes=("orders:read",), facilities=("1720",)),
    Grant(claim="scope", value="audit", scopes=("audit:read",), every_facility=True),
    Grant(
        claim="realm_access.roles",
        value="pharmacist",
        scopes=("charges:read",),
        facilities=("1710",),
        roles=("pharmacy",),
        data_classes=("supply", "phi"),
    ),
)


class Outside:
    """A provider, and a gateway that takes its tokens; `now` is the gateway's clock."""

    def __init__(self, url, http, **settings):
        self.url, self.http, self.now = url, http, 0.0
        self.settings = {"audience": "suture", "grants": GRANTS, "timeout_seconds": 1.0} | settings
        self.issuers = self.another()

    def another(self):
        issuer = ExternalIssuer(name="idp", url=self.url, **self.settings)
        return Issuers(self.nobody, (issuer,), self.http)

    @staticmethod
    def nobody(token, now):
        raise Unauthenticated("none of ours")

    async def token(self, key=0, algorithm="ES256", header=None, **claims):
        told = {"aud": "suture", "sub": "ann", "client_id": "app", "groups": ["buyers"]}
        order = {"claims": told | claims, "key": key, "algorithm": algorithm}
        body = msgspec.json.encode(order | {"header": header or {}})
        answer = await self.http.post(f"{self.url}/sim/token", content=body)
        if not self.now:
            self.now = _issued(answer.text)
        return answer.text.encode()

    async def verify(self, token):
        return await self.issuers.verify(token, self.now)

    async def fate(self, fault, seconds=30.0):
        body = msgspec.json.encode({"fault": fault, "seconds": seconds})
        await self.http.post(f"{self.url}/sim/fate", content=body)

    async def rotate(self, *, retire=False):
        await self.http.post(f"{self.url}/sim/rotate", params={"retire": "1"} if retire else {})

    async def asked(self):
        return (await self.http.get(f"{self.url}/sim/asked")).json()["jwks"]


def _issued(token):
    return float(msgspec.json.decode(jws.extract_compact(token.encode()).payload)["iat"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider():
    async with vendor_system("issuer") as url:
        yield url


@pytest.fixture
async def outside(provider):
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(f"{provider}/sim/anew")
        opened = Outside(provider, http)
        yield opened
        await opened.issuers.aclose()


async def test_a_token_of_theirs_stands_for_theirs_with_what_is_granted(outside):
    principal = await outside.verify(await outside.token(jti="t1", exp=4_000_000_000))
    assert principal.client == "idp:app"
    assert principal.subject == "idp:ann"
    assert principal.token_id == "idp:t1"
    assert principal.scopes == {"orders:write"}
    assert principal.facilities == {"1710"}
    assert principal.data_classes == frozenset()
    token = await outside.token(algorithm="RS256")
    assert await outside.verify(token) is await outside.verify(token)


async def test_a_client_of_theirs_is_never_taken_for_one_of_ours(outside):
    for claims in ({"client_id": "app", "sub": "app"}, {"client_id": None, "azp": "app"}):
        principal = await outside.verify(await outside.token(**claims))
        assert ":" in principal.client
        assert principal.client == "idp:app"


def test_grants_add_up_and_nothing_is_given_without_one():
    total = granted(
        GRANTS,
        {
            "groups": ["buyers", "readers", "admins", 7],
            "realm_access": {"roles": ["pharmacist"]},
            "scope": "openid audit",
            "facilities": ["1730"],
            "data_classes": ["financial"],
        },
    )
    assert total.scopes == {"orders:write", "orders:read", "audit:read", "charges:read"}
    assert (total.facilities, total.every_facility) == ({"1710", "1720"}, True)
    assert (total.roles, total.data_classes) == ({"pharmacy"}, {"supply", "phi"})
    nothing = granted(GRANTS, {"groups": "buyers readers", "realm_access": ["roles"]})
    assert (nothing.scopes, nothing.facilities, nothing.every_facility) == (set(), set(), False)


async def test_who_is_known_but_granted_nothing_is_told_so(outside):
    with pytest.raises(Forbidden, match="no grant"):
        await outside.verify(await outside.token(groups=["cooks"]))


async def test_a_new_key_is_found_in_flight_and_an_old_one_stays_until_it_is_retired(outside):
    old = await outside.token()
    await outside.verify(old)
    asked = await outside.asked()
    await outside.rotate()
    new = await outside.token()
    outside.now += 6
    principals = await asyncio.gather(*(outside.verify(new) for _ in range(20)))
    assert {one.client for one in principals} == {"idp:app"}
    assert await outside.asked() == asked + 1  # all of them waited for one answer
    assert await outside.verify(await outside.token(key=1))

    await outside.rotate(retire=True)
    newest = await outside.token()
    outside.now += 6
    assert await outside.verify(newest)
    for gone in (old, new):  # also what was remembered
        with pytest.raises(Unauthenticated, match="no such key"):
            await outside.verify(gone)


async def test_a_crowd_of_unknown_keys_does_not_make_us_ask_more_often(outside):
    await outside.verify(await outside.token())
    before = await outside.asked()
    unknown = [await outside.token(header={"kid": f"made-up-{n}"}) for n in range(30)]
    outside.now += 6
    answers = await asyncio.gather(*map(outside.verify, unknown), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    assert await outside.asked() == before + 1


async def test_keys_are_asked_for_again_without_anybody_waiting(outside):
    token = await outside.token()
    await outside.verify(token)
    before = await outside.asked()
    await outside.fate("slow", 0.2)
    outside.now += 301
    fresh = await outside.token(iat=int(outside.now), exp=int(outside.now) + 600)
    async with asyncio.timeout(0.15):
        assert await outside.verify(fresh)
    async with asyncio.timeout(10):
        while await outside.asked() == before:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", ["down", "garbled", "another-issuer", "no-keys", "redirect"])
async def test_known_keys_are_good_for_a_while_when_the_issuer_is_away(outside, fault):
    known = await outside.token(exp=4_000_000_000)
    await outside.verify(known)
    await outside.rotate()
    await outside.fate(fault)
    new = await outside.token(exp=4_000_000_000)
    outside.now += 3600
    assert await outside.verify(known)
    with pytest.raises(IssuerUnavailable, match="idp") as unavailable:
        await outside.verify(new)
    assert 1 <= unavailable.value.retry_after <= 5
    before = await outside.asked()
    with pytest.raises(IssuerUnavailable):
        await outside.verify(new)  # and it is not asked again for a while
    assert await outside.asked() == before

    outside.now += 86_400
    with pytest.raises(IssuerUnavailable):
        await outside.verify(known)  # too long: the issuer may have withdrawn it meanwhile
    await outside.fate("")
    outside.now += 6
    assert await outside.verify(known)
    assert await outside.verify(new)


async def test_an_issuer_that_is_silent_holds_up_nobody_for_long(outside):
    token = await outside.token()
    await outside.fate("slow")
    for _ in range(2):
        async with asyncio.timeout(5):
            with pytest.raises(IssuerUnavailable):
                await outside.verify(token)


async def test_an_issuer_that_is_not_there_at_the_start_is_there_later(outside):
    await outside.fate("down")
    token = await outside.token()
    with pytest.raises(IssuerUnavailable):
        await outside.verify(token)
    await outside.fate("")
    outside.now += 6
    assert await outside.verify(token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://idp.example"},
        {"url": "https://idp.example/?tenant=1"},
        {"url": "https://"},
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"algorithms": ()},
        {"types": ()},
        {"audience": ""},
        {"name": "North:1"},
        {"surprise": 1},
    ],
)
def test_an_issuer_that_could_not_be_trusted_is_refused_at_the_start(wrong):
    good = {"name": "idp", "url": "https://idp.example", "audience": "suture"}
    assert msgspec.convert(good, ExternalIssuer)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | wrong, ExternalIssuer)
