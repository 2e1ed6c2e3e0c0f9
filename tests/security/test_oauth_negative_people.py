"""Attacks on the sign-in of people: each row is really tried over HTTP, and must be refused.

`refused` is the OAuth error that the app is told, or the name of the problem on the page that the
person sees; a page never leads anywhere else.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
import pytest_asyncio

from gateway.authorization.book import ClientBook
from gateway.sign_in.book import PersonBook
from gateway.sign_in.endings import Endings
from ledger.ledger import Ledger
from policies.oauth.device import typed_user_code
from tests.security.hospital_site import (
    CALLBACK,
    ISSUER,
    MOBILE,
    PASSWORD,
    PROCUREMENT,
    SCAN,
    VERIFIER,
    Browser,
    Site,
    answer_of,
    challenge_of,
    form_of,
    open_site,
    query_of,
)
from tests.security.negative import Case

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = "short-verifier"
LOOPBACK = "http://127.0.0.1:61023/cb"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(state: Path):
    async with open_site(state) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nurse(site: Site) -> Browser:
    """A browser in which a nurse has signed in, for attacks that leave it as it is."""
    return await site.signed_in("nurse")


def seen(answer: httpx.Response) -> str:
    """Return how an answer refuses; fails for one that lets somebody in or leads astray."""
    kind = answer.headers.get("content-type", "")
    if answer.status_code == 303:
        told = answer_of(answer)
        assert answer.headers["location"].startswith((CALLBACK, "http://127.0.0.1:61023/cb?"))
        assert told["iss"] == ISSUER
        assert "code" not in told
        return told["error"]
    assert answer.status_code >= 400, answer.text
    assert "location" not in answer.headers
    if kind.startswith("text/html"):
        title = re.search(r'<h2 id="title">([^<]*)</h2>', answer.text)
        assert title
        return title[1].lower().replace(" ", "-")
    return msgspec.json.decode(answer.content)["error"]


PAGE = "invalid-request"
# What an app may not ask for: parameters that differ from a sound request, and the refusal.
REQUESTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "pkce-missing": ("pkce", "invalid_request", {"code_challenge": "-"}),
    "pkce-empty": ("pkce", "invalid_request", {"code_challenge": ""}),
    "pkce-method-missing-means-plain": ("pkce", "invalid_request", {"code_challenge_method": "-"}),
    "pkce-method-plain": ("pkce", "invalid_request", {"code_challenge_method": "plain"}),
    "pkce-method-lower-case": ("pkce", "invalid_request", {"code_challenge_method": "s256"}),
    "pkce-method-unknown": ("pkce", "invalid_request", {"code_challenge_method": "S512"}),
    "pkce-challenge-short": ("pkce", "invalid_request", {"code_challenge": "abc"}),
    "pkce-challenge-padded": ("pkce", "invalid_request", {"code_challenge": "a" * 43 + "="}),
    "pkce-missing-for-a-public-client": (
        "pkce",
        "invalid_request",
        {"client_id": "native", "redirect_uri": LOOPBACK, "code_challenge": "-"},
    ),
    "response-type-missing": ("request", "invalid_request", {"response_type": "-"}),
    "response-type-token": ("request", "unsupported_response_type", {"response_type": "token"}),
    "response-type-hybrid": (
        "request",
        "unsupported_response_type",
        {"response_type": "code id_token"},
    ),
    "response-mode-fragment": ("request", "invalid_request", {"response_mode": "fragment"}),
    "request-object": ("request", "request_not_supported", {"request": "eyJhbGciOiJub25lIn0.e30."}),
    "request-uri": (
        "request",
        "request_uri_not_supported",
        {"request_uri": "https://evil.example/r"},
    ),
    "scope-of-nobody": ("scope", "invalid_scope", {"scope": "admin"}),
    "scope-beyond-the-client": ("scope", "invalid_scope", {"scope": f"{MOBILE} {SCAN}"}),
    "scope-look-alike": ("scope", "invalid_scope", {"scope": f"{MOBILE}\u200b"}),
    "scope-empty": ("scope", "invalid_scope", {"scope": ""}),
    "client-without-this-grant": ("client", "unauthorized_client", {"client_id": "machine"}),
    "client-missing": ("client", PAGE, {"client_id": "-"}),
    "client-unknown": ("client", PAGE, {"client_id": "nobody"}),
    "client-disabled": ("client", PAGE, {"client_id": "retired"}),
    "client-id-with-markup": ("client", PAGE, {"client_id": "<script>alert(1)</script>"}),
    "redirect-missing": ("redirect", PAGE, {"redirect_uri": "-"}),
    "redirect-empty": ("redirect", PAGE, {"redirect_uri": ""}),
    "redirect-other-host": ("redirect", PAGE, {"redirect_uri": "https://evil.example/cb"}),
    "redirect-subpath": ("redirect", PAGE, {"redirect_uri": f"{CALLBACK}/more"}),
    "redirect-trailing-slash": ("redirect", PAGE, {"redirect_uri": f"{CALLBACK}/"}),
    "redirect-traversal": ("redirect", PAGE, {"redirect_uri": f"{CALLBACK}/../evil"}),
    "redirect-query-added": ("redirect", PAGE, {"redirect_uri": f"{CALLBACK}?next=//evil.example"}),
    "redirect-other-port": ("redirect", PAGE, {"redirect_uri": "https://app.example:8443/cb"}),
    "redirect-default-port": ("redirect", PAGE, {"redirect_uri": "https://app.example:443/cb"}),
    "redirect-fragment": ("redirect", PAGE, {"redirect_uri": f"{CALLBACK}#x"}),
    "redirect-userinfo": (
        "redirect",
        PAGE,
        {"redirect_uri": "https://app.example@evil.example/cb"},
    ),
    "redirect-backslash": (
        "redirect",
        PAGE,
        {"redirect_uri": "https://app.example\\@evil.example/cb"},
    ),
    "redirect-encoded": ("redirect", PAGE, {"redirect_uri": "https://app.example/%63b"}),
    "redirect-upper-case-host": ("redirect", PAGE, {"redirect_uri": "https://APP.example/cb"}),
    "redirect-longer-host": (
        "redirect",
        PAGE,
        {"redirect_uri": "https://app.example.evil.example/cb"},
    ),
    "redirect-without-tls": ("redirect", PAGE, {"redirect_uri": "http://app.example/cb"}),
    "redirect-white-space": ("redirect", PAGE, {"redirect_uri": f" {CALLBACK}"}),
    "redirect-script": ("redirect", PAGE, {"redirect_uri": "javascript:alert(1)//app.example/cb"}),
    "redirect-of-another-client": ("redirect", PAGE, {"redirect_uri": "https://other.example/cb"}),
    "redirect-loopback-by-name": (
        "redirect",
        PAGE,
        {"client_id": "native", "redirect_uri": "http://localhost:61023/cb"},
    ),
    "redirect-loopback-other-path": (
        "redirect",
        PAGE,
        {"client_id": "native", "redirect_uri": "http://127.0.0.1:61023/evil"},
    ),
    "redirect-loopback-userinfo": (
        "redirect",
        PAGE,
        {"client_id": "native", "redirect_uri": "http://127.0.0.1:61023@evil.example/cb"},
    ),
    "redirect-own-scheme-other-path": (
        "redirect",
        PAGE,
        {"client_id": "native", "redirect_uri": "com.example.scan:/evil"},
    ),
    "too-long": ("request", PAGE, {"state": "s" * 5000}),
}

Attack = Callable[[Site, Browser], Awaitable[str]]


async def redirect_twice(site: Site, nurse: Browser) -> str:
    query = f"{query_of()}&{urlencode({'redirect_uri': 'https://evil.example/cb'})}"
    return seen(await nurse.page("/oauth/authorize", query))


async def client_twice(site: Site, nurse: Browser) -> str:
    return seen(await nurse.page("/oauth/authorize", f"{query_of()}&client_id=other"))


async def not_readable(site: Site, nurse: Browser) -> str:
    return seen(await nurse.page("/oauth/authorize", f"{query_of()}&x=%ff"))


async def consent_for_a_forged_address(site: Site, nurse: Browser) -> str:
    """The hidden request of the form is replaced by one that leads elsewhere."""
    shown = await nurse.authorize()
    forged = query_of(redirect_uri="https://evil.example/cb")
    return seen(await nurse.send(shown, decision="allow", query=forged))


async def open_redirect_after_sign_in(site: Site, nurse: Browser) -> str:
    """Where to go on after the sign-in is replaced by another site."""
    browser = site.browser()
    shown = await browser.authorize()
    filled = {"person": await site.person("nurse"), "password": PASSWORD}
    return seen(await browser.send(shown, place="//evil.example", **filled))


async def header_injected_after_sign_in(site: Site, nurse: Browser) -> str:
    browser = site.browser()
    shown = await browser.authorize()
    filled = {"person": await site.person("nurse"), "password": PASSWORD}
    return seen(await browser.send(shown, query="a=b\r\nset-cookie: x=y", **filled))


async def state_that_adds_a_code(site: Site, nurse: Browser) -> str:
    """A state that would end its own parameter and begin another stays what it was."""
    state = "x&code=evil&iss=https://evil.example#"
    told = await nurse.send(await nurse.authorize(state=state), decision="deny")
    assert answer_of(told)["state"] == state
    return seen(told)


async def declined(site: Site, nurse: Browser) -> str:
    return seen(await nurse.send(await nurse.authorize(), decision="deny"))


async def declined_by_silence(site: Site, nurse: Browser) -> str:
    return seen(await nurse.send(await nurse.authorize()))


async def person_without_rights(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("buyer")
    shown = await browser.authorize()
    assert "Allow" not in shown.text
    return seen(await browser.send(shown, decision="allow"))


async def person_of_another_hospital(site: Site, nurse: Browser) -> str:
    """No facility in common is no facility, never all of them."""
    await site.client(
        "north",
        grant_types=("authorization_code",),
        redirect_uris=(CALLBACK,),
        facilities=("NORTH",),
    )
    browser = await site.signed_in("nurse", facilities=("SOUTH",))
    shown = await browser.authorize(client_id="north")
    return seen(await browser.send(shown, decision="allow"))


async def person_who_is_called_like_the_client(site: Site, nurse: Browser) -> str:
    """A token of this person would read like one of the client itself."""
    person = await site.person("nurse")
    await site.client(person, grant_types=("authorization_code",), redirect_uris=(CALLBACK,))
    browser = site.browser()
    await browser.sign_in(person)
    return seen(await site.exchange(await browser.code(client_id=person), person))


async def wrong_verifier(site: Site, nurse: Browser) -> str:
    return seen(await site.exchange(await nurse.code(), code_verifier="z" * 43))


async def challenge_as_verifier(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    return seen(await site.exchange(code, code_verifier=challenge_of(VERIFIER)))


async def short_verifier(site: Site, nurse: Browser) -> str:
    code = await nurse.code(code_challenge=challenge_of(SHORT))
    return seen(await site.exchange(code, code_verifier=SHORT))


async def verifier_missing(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    return seen(await site.token(**form))


async def second_try_at_the_verifier(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    await site.exchange(code, code_verifier="z" * 43)
    return seen(await site.exchange(code))


async def code_at_another_address(site: Site, nurse: Browser) -> str:
    return seen(await site.exchange(await nurse.code(), redirect_uri=f"{CALLBACK}/x"))


async def code_without_address(site: Site, nurse: Browser) -> str:
    return seen(await site.exchange(await nurse.code(), redirect_uri=""))


async def code_replayed(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    assert (await site.exchange(code)).status_code == 200
    return seen(await site.exchange(code))


async def refresh_after_a_replayed_code(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    given = (await site.exchange(code)).json()
    await site.exchange(code)
    return seen(await site.refresh(given["refresh_token"]))


async def access_token_after_a_replayed_code(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    given = (await site.exchange(code)).json()
    assert await site.call(given["access_token"]) != 401
    await site.exchange(code)
    return {401: "unauthenticated"}.get(await site.call(given["access_token"]), "let in")


async def code_taken_twice_at_once(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    answers = await asyncio.gather(*(site.exchange(code) for _ in range(4)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    return seen(next(answer for answer in answers if answer.status_code != 200))


async def code_of_another_client(site: Site, nurse: Browser) -> str:
    return seen(await site.exchange(await nurse.code(), "other"))


async def code_of_another_client_kills_it(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    await site.exchange(code, "other")
    return seen(await site.exchange(code))


async def code_injected(site: Site, nurse: Browser) -> str:
    """The attacker's code is put into the victim's app, which has a verifier of its own."""
    attacker = await site.signed_in("nurse")
    code = await attacker.code(code_challenge=challenge_of("the-attackers-own-verifier-" * 2))
    return seen(await site.exchange(code))


async def code_too_old(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    async with site.later(seconds=61):
        return seen(await site.exchange(code))


async def code_invented(site: Site, nurse: Browser) -> str:
    return seen(await site.exchange("A" * 43))


async def code_without_the_secret(site: Site, nurse: Browser) -> str:
    code = await nurse.code()
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site.app), base_url=ISSUER) as http:
        sent = form | {"client_id": "app", "redirect_uri": CALLBACK}
        return seen(await http.post("/oauth/token", data=sent))


async def code_in_the_address(site: Site, nurse: Browser) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site.app), base_url=ISSUER) as http:
        answer = await http.post(
            "/oauth/token",
            params={"code": await nurse.code()},
            data={"grant_type": "authorization_code"},
            auth=("app", site.secrets["app"]),
        )
    return seen(answer)


async def code_as_refresh_token(site: Site, nurse: Browser) -> str:
    return seen(await site.refresh(await nurse.code()))


async def session_cookie_as_code(site: Site, nurse: Browser) -> str:
    return seen(await site.exchange(nurse.http.cookies["__Host-suture"]))


async def code_of_a_disabled_person(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person)
    code = await browser.code()
    await disable(site, person)
    return seen(await site.exchange(code))


async def code_after_sign_out(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    code = await browser.code()
    await browser.send(await browser.page("/oauth/sign-out"), what="here")
    return seen(await site.exchange(code))


async def disable(site: Site, person: str) -> None:
    """Do what `suture people disable` does, on another replica."""
    ledger: Ledger = site.parts.ledger
    await PersonBook(ledger.people).change(
        person, lambda now: msgspec.structs.replace(now, active=False)
    )
    await Endings(ledger=ledger, token_seconds=600).shut_out(person, "disabled")


async def given_to(site: Site, browser: Browser, **said: str) -> dict[str, str]:
    client = said.get("client_id", "app")
    target = said.get("redirect_uri", CALLBACK)
    code = await browser.code(**said)
    return (await site.exchange(code, client, redirect_uri=target)).json()


async def refresh_reused(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse)
    assert (await site.refresh(given["refresh_token"])).status_code == 200
    return seen(await site.refresh(given["refresh_token"]))


async def successor_of_a_reused_refresh(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse)
    newer = (await site.refresh(given["refresh_token"])).json()
    await site.refresh(given["refresh_token"])
    return seen(await site.refresh(newer["refresh_token"]))


async def access_token_of_a_reused_refresh(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse)
    newer = (await site.refresh(given["refresh_token"])).json()
    assert await site.call(newer["access_token"]) != 401
    await site.refresh(given["refresh_token"])
    return {401: "unauthenticated"}.get(await site.call(newer["access_token"]), "let in")


async def refresh_used_twice_at_once(site: Site, nurse: Browser) -> str:
    """One wins; because the other one came, what it won has ended as well."""
    given = await given_to(site, nurse)
    answers = await asyncio.gather(*(site.refresh(given["refresh_token"]) for _ in range(4)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    for each in won:
        assert seen(await site.refresh(each["refresh_token"])) == "invalid_grant"
    return seen(next(answer for answer in answers if answer.status_code != 200))


async def refresh_of_another_client(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse)
    return seen(await site.refresh(given["refresh_token"], "other"))


async def refresh_of_a_public_client_by_another(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse, client_id="native", redirect_uri=LOOPBACK)
    return seen(await site.refresh(given["refresh_token"], "app"))


async def refresh_widened(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse)
    return seen(await site.refresh(given["refresh_token"], scope=f"{MOBILE} {PROCUREMENT}"))


async def refresh_widened_after_narrowing_roles(site: Site, nurse: Browser) -> str:
    """The client may have the scope, the person's roles do not: it was never granted."""
    given = await given_to(site, nurse, scope=f"{MOBILE} {PROCUREMENT}")
    assert given["scope"] == MOBILE
    return seen(await site.refresh(given["refresh_token"], scope=PROCUREMENT))


async def refresh_after_the_role_was_taken(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person)
    given = await given_to(site, browser)
    await PersonBook(site.parts.ledger.people).change(
        person, lambda now: msgspec.structs.replace(now, roles=())
    )
    return seen(await site.refresh(given["refresh_token"]))


async def refresh_after_the_client_was_narrowed(site: Site, nurse: Browser) -> str:
    people = ("authorization_code", "refresh_token")
    await site.client("narrowed", grant_types=people, redirect_uris=(CALLBACK,))
    given = await given_to(site, nurse, client_id="narrowed")
    book = ClientBook(site.parts.ledger.clients)
    client = await book.find("narrowed")
    assert client is not None
    await book.put(msgspec.structs.replace(client, scopes=(PROCUREMENT,)))
    return seen(await site.refresh(given["refresh_token"], "narrowed"))


async def refresh_left_lying(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse)
    async with site.later(days=7, seconds=1):
        return seen(await site.refresh(given["refresh_token"]))


async def refresh_for_ever(site: Site, nurse: Browser) -> str:
    """Used every few days, and over after thirty all the same."""
    token = (await given_to(site, nurse))["refresh_token"]
    for day in (6, 12, 18, 24, 29):
        async with site.later(days=day):
            token = (await site.refresh(token)).json()["refresh_token"]
    async with site.later(days=30, seconds=1):
        return seen(await site.refresh(token))


async def refresh_of_a_disabled_person(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person)
    given = await given_to(site, browser)
    await disable(site, person)
    assert await site.call(given["access_token"]) == 401
    return seen(await site.refresh(given["refresh_token"]))


async def refresh_after_sign_out_everywhere(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    phone, desk = site.browser(), site.browser()
    await phone.sign_in(person)
    await desk.sign_in(person)
    given = await given_to(site, phone)
    await desk.send(await desk.page("/oauth/sign-out"), what="everywhere")
    assert await site.call(given["access_token"]) == 401
    return seen(await site.refresh(given["refresh_token"]))


async def refresh_where_none_was_granted(site: Site, nurse: Browser) -> str:
    given = await given_to(site, nurse, client_id="once")
    assert "refresh_token" not in given
    return seen(await site.refresh("A" * 43, "once"))


async def public_client_as_itself(site: Site, nurse: Browser) -> str:
    return seen(await site.token("native", grant_type="client_credentials"))


async def password_grant(site: Site, nurse: Browser) -> str:
    form = {"username": "p-1", "password": PASSWORD}
    return seen(await site.token(grant_type="password", **form))


async def consent_without_its_token(site: Site, nurse: Browser) -> str:
    fields = {"query": query_of(), "decision": "allow"}
    return seen(await nurse.http.post("/oauth/authorize", data=fields))


async def consent_with_the_token_of_another_session(site: Site, nurse: Browser) -> str:
    attacker = await site.signed_in("nurse")
    _, fields = form_of(await attacker.authorize())
    return seen(await nurse.http.post("/oauth/authorize", data=fields | {"decision": "allow"}))


async def consent_with_the_token_of_another_request(site: Site, nurse: Browser) -> str:
    shown = await nurse.authorize(scope=MOBILE)
    other = query_of(client_id="other")
    return seen(await nurse.send(shown, decision="allow", query=other))


async def consent_with_the_token_of_another_form(site: Site, nurse: Browser) -> str:
    _, fields = form_of(await nurse.page("/oauth/sign-out"))
    sent = fields | {"query": query_of(), "decision": "allow"}
    return seen(await nurse.http.post("/oauth/authorize", data=sent))


async def consent_from_another_site(site: Site, nurse: Browser) -> str:
    action, fields = form_of(await nurse.authorize())
    return seen(
        await nurse.http.post(
            action, data=fields | {"decision": "allow"}, headers={"sec-fetch-site": "cross-site"}
        )
    )


async def consent_without_a_session(site: Site, nurse: Browser) -> str:
    _, fields = form_of(await nurse.authorize())
    stranger = site.browser()
    return seen(await stranger.http.post("/oauth/authorize", data=fields | {"decision": "allow"}))


async def consent_as_json(site: Site, nurse: Browser) -> str:
    return seen(await nurse.http.post("/oauth/authorize", json={"decision": "allow"}))


async def consent_by_get(site: Site, nurse: Browser) -> str:
    """An address alone never consents, whatever it says."""
    shown = await nurse.authorize(decision="allow")
    assert shown.status_code == 200
    return seen(await nurse.send(shown, decision="no"))


async def sign_in_from_another_site(site: Site, nurse: Browser) -> str:
    """Somebody is to be signed in as the attacker, without noticing."""
    browser = site.browser()
    filled = {"person": await site.person("nurse"), "password": PASSWORD, "form-token": "0" * 64}
    return seen(await browser.http.post("/oauth/sign-in", data=filled))


async def session_fixed_before_sign_in(site: Site, nurse: Browser) -> str:
    """The cookie that was there before the sign-in opens nothing after it."""
    victim, attacker = site.browser(), site.browser()
    planted = "planted-by-the-attacker-planted-by-the-atta"
    victim.http.cookies.set("__Host-suture", planted, domain="suture.test")
    await victim.sign_in(await site.person("nurse"))
    assert victim.http.cookies["__Host-suture"] != planted
    attacker.http.cookies.set("__Host-suture", planted, domain="suture.test")
    shown = await attacker.authorize()
    assert 'id="password"' in shown.text
    return seen(await attacker.send(shown, person="nobody", password="none"))


async def session_after_sign_out(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    kept = browser.http.cookies["__Host-suture"]
    shown = await browser.authorize()
    await browser.send(await browser.page("/oauth/sign-out"), what="here")
    browser.http.cookies.set("__Host-suture", kept, domain="suture.test")
    return seen(await browser.send(shown, decision="allow"))


async def session_left_open(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    shown = await browser.authorize()
    async with site.later(minutes=15, seconds=1):
        return seen(await browser.send(shown, decision="allow"))


async def session_longer_than_a_shift(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    for minutes in range(10, 12 * 60, 10):
        async with site.later(minutes=minutes):
            shown = await browser.authorize()
            assert shown.status_code == 200
    async with site.later(hours=12, seconds=1):
        return seen(await browser.send(shown, decision="allow"))


async def session_of_a_disabled_person(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person)
    shown = await browser.authorize()
    await disable(site, person)
    return seen(await browser.send(shown, decision="allow"))


async def cookie_invented(site: Site, nurse: Browser) -> str:
    browser = site.browser()
    browser.http.cookies.set("__Host-suture", "x' or 1=1 --", domain="suture.test")
    shown = await browser.authorize()
    return seen(await browser.send(shown, person="nobody", password="none"))


async def consent_page_framed(site: Site, nurse: Browser) -> str:
    """No page can be framed, scripted, kept or sent elsewhere."""
    for shown in (await nurse.authorize(), await site.browser().authorize()):
        headers = shown.headers
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"<script|\son[a-z]+=|style=", shown.text)
    return seen(await nurse.send(await nurse.authorize(), decision="deny"))


async def cookie_for_everybody(site: Site, nurse: Browser) -> str:
    """Scripts, other hosts and plain http never get the cookie."""
    shown = await site.browser().authorize()
    said = shown.headers["set-cookie"].lower()
    assert said.startswith("__host-suture=")
    for part in ("httponly", "secure", "samesite=lax", "path=/"):
        assert part in said.split("; "), said
    assert "domain" not in said
    return seen(await nurse.send(await nurse.authorize(), decision="deny"))


async def markup_in_the_name_of_an_app(site: Site, nurse: Browser) -> str:
    name = '"><script>alert(1)</script>'
    people = ("authorization_code",)
    await site.client("markup", name=name, grant_types=people, redirect_uris=(CALLBACK,))
    shown = await nurse.authorize(client_id="markup", state="'><img src=x>")
    assert "<script" not in shown.text
    assert "<img" not in shown.text
    return seen(await nurse.send(shown, decision="deny"))


async def markup_in_the_name_of_a_person(site: Site, nurse: Browser) -> str:
    browser = site.browser()
    shown = await browser.authorize()
    answer = await browser.send(shown, person='"><script>alert(1)</script>', password="none")
    assert "<script" not in answer.text
    return seen(answer)


async def wrong_password(site: Site, nurse: Browser) -> str:
    return seen(await site.browser().sign_in(await site.person("nurse"), "not the password"))


async def no_password_kept(site: Site, nurse: Browser) -> str:
    return seen(await site.browser().sign_in(await site.person("nurse", password=""), ""))


async def person_disabled(site: Site, nurse: Browser) -> str:
    return seen(await site.browser().sign_in(await site.person("nurse", active=False)))


async def person_unknown(site: Site, nurse: Browser) -> str:
    """Nothing in the answer says whether there is such a person."""
    known, unknown = await site.person("nurse"), f"q-{uuid.uuid4().hex[:12]}"
    told = list[str]()
    for name in (known, unknown):
        answer = await site.browser().sign_in(name, "not the password")
        plain = re.sub(r'value="[0-9a-f]{64}"', "", answer.text).replace(name, "")
        told.append(f"{answer.status_code} {sorted(answer.headers)} {plain}")
    assert told[0] == told[1]
    return seen(await site.browser().sign_in(unknown))


async def passwords_guessed(site: Site, nurse: Browser) -> str:
    """After five tries even the right one has to wait."""
    browser, person = site.browser(), await site.person("nurse")
    for _ in range(5):
        assert seen(await browser.sign_in(person, "not the password")) == "sign-in"
    answer = await browser.sign_in(person)
    assert int(answer.headers["retry-after"]) >= 1
    return seen(answer)


async def passwords_guessed_at_once(site: Site, nurse: Browser) -> str:
    browser, person = site.browser(), await site.person("nurse")
    shown = await browser.page("/oauth/sign-out")
    tries = (browser.send(shown, person=person, password=f"guess {n}") for n in range(12))
    told = [seen(answer) for answer in await asyncio.gather(*tries)]
    assert told.count("sign-in") == 5
    return max(told)


async def passwords_guessed_from_everywhere(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    told = [seen(await site.browser().sign_in(person, "")) for _ in range(8)]
    return told[-1]


async def one_password_for_many_people(site: Site, nurse: Browser) -> str:
    browser = site.browser()
    told = [seen(await browser.sign_in(f"q-{n}", "Summer2026!Summer2026!")) for n in range(9)]
    return told[-1]


async def new_password_without_the_old(site: Site, nurse: Browser) -> str:
    """Somebody at an open screen does not make the account their own."""
    browser = await site.signed_in("nurse")
    asked = await browser.page("/oauth/password")
    new = "a password of the attacker"
    return seen(await browser.send(asked, current="a guess", new=new, again=new))


async def new_password_from_another_site(site: Site, nurse: Browser) -> str:
    new = {"current": PASSWORD, "new": "a password of the attacker"}
    sent = new | {"again": new["new"]}
    return seen(await nurse.http.post("/oauth/password", data=sent))


async def new_password_too_easy(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    asked = await browser.page("/oauth/password")
    return seen(await browser.send(asked, current=PASSWORD, new="short", again="short"))


async def new_password_mistyped(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    asked = await browser.page("/oauth/password")
    new = "seven grey geese at dawn"
    return seen(await browser.send(asked, current=PASSWORD, new=new, again=new + "!"))


async def session_of_somebody_else_after_a_new_password(site: Site, nurse: Browser) -> str:
    person = await site.person("nurse")
    browser, thief = site.browser(), site.browser()
    for each in (browser, thief):
        await each.sign_in(person)
    shown = await thief.authorize()
    new = "seven grey geese at dawn"
    asked = await browser.page("/oauth/password")
    changed = await browser.send(asked, current=PASSWORD, new=new, again=new)
    assert changed.status_code == 200
    assert "Change your password" in (await browser.page("/oauth/password")).text
    assert (await site.browser().sign_in(person, new)).status_code == 303
    return seen(await thief.send(shown, decision="allow"))


async def waiting_device(site: Site) -> dict[str, str]:
    return (await site.device()).json()


async def answered(site: Site, browser: Browser, code: str, decision: str = "allow") -> None:
    asked = await browser.page("/oauth/device")
    shown = await browser.send(asked, user_code=code)
    answer = await browser.send(shown, decision=decision)
    assert answer.status_code == 200


async def device_that_is_none(site: Site, nurse: Browser) -> str:
    return seen(await site.device("native"))


async def device_unknown(site: Site, nurse: Browser) -> str:
    return seen(await site.device("nobody"))


async def device_that_asks_too_much(site: Site, nurse: Browser) -> str:
    return seen(await site.device(scope="admin"))


async def device_before_its_person(site: Site, nurse: Browser) -> str:
    return seen(await site.poll((await waiting_device(site))["device_code"]))


async def device_that_asks_too_fast(site: Site, nurse: Browser) -> str:
    code = (await waiting_device(site))["device_code"]
    await site.poll(code)
    return seen(await site.poll(code))


async def device_code_of_another_client(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    await answered(site, nurse, given["user_code"])
    return seen(await site.poll(given["device_code"], "scanner-2"))


async def device_code_invented(site: Site, nurse: Browser) -> str:
    return seen(await site.poll("A" * 43))


async def device_code_too_old(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    async with site.later(seconds=601):
        return seen(await site.poll(given["device_code"]))


async def device_code_twice(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    await answered(site, nurse, given["user_code"])
    assert (await site.poll(given["device_code"])).status_code == 200
    return seen(await site.poll(given["device_code"]))


async def refresh_after_a_device_code_twice(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    await answered(site, nurse, given["user_code"])
    tokens = (await site.poll(given["device_code"])).json()
    await site.poll(given["device_code"])
    return seen(await site.refresh(tokens["refresh_token"], "scanner"))


async def device_denied(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    await answered(site, nurse, given["user_code"], "deny")
    return seen(await site.poll(given["device_code"]))


async def user_code_as_device_code(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    await answered(site, nurse, given["user_code"])
    return seen(await site.poll(typed_user_code(given["user_code"])))


async def user_code_too_old(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    browser = await site.signed_in("nurse")
    asked = await browser.page("/oauth/device")
    async with site.later(seconds=601):
        return seen(await browser.send(asked, user_code=given["user_code"]))


async def user_code_twice(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    await answered(site, nurse, given["user_code"])
    browser = await site.signed_in("nurse")
    asked = await browser.page("/oauth/device")
    return seen(await browser.send(asked, user_code=given["user_code"]))


async def user_codes_guessed(site: Site, nurse: Browser) -> str:
    browser = await site.signed_in("nurse")
    asked = await browser.page("/oauth/device")
    told = [seen(await browser.send(asked, user_code="BBBB-BBBB")) for _ in range(11)]
    assert told.count("connect-a-device") == 10
    return told[-1]


async def device_answer_without_its_token(site: Site, nurse: Browser) -> str:
    given = await waiting_device(site)
    fields = {"user_code": typed_user_code(given["user_code"]), "decision": "allow"}
    return seen(await nurse.http.post("/oauth/device/answer", data=fields))


async def device_answer_for_another_code(site: Site, nurse: Browser) -> str:
    seen_one, other = await waiting_device(site), await waiting_device(site)
    asked = await nurse.page("/oauth/device")
    shown = await nurse.send(asked, user_code=seen_one["user_code"])
    swapped = typed_user_code(other["user_code"])
    return seen(await nurse.send(shown, decision="allow", user_code=swapped))


async def device_answered_by_two(site: Site, nurse: Browser) -> str:
    """Two people look at the same device: the second answer counts for nothing."""
    given, other = await waiting_device(site), await site.signed_in("nurse")
    shown = [
        await browser.send(await browser.page("/oauth/device"), user_code=given["user_code"])
        for browser in (nurse, other)
    ]
    assert (await nurse.send(shown[0], decision="allow")).status_code == 200
    return seen(await other.send(shown[1], decision="allow"))


GRANT, REQUEST = "invalid_grant", "invalid_request"
DENIED, FORM, SIGN_IN, SLOW = "access_denied", "forbidden", "sign-in", "too-many-requests"
ATTACKS: dict[Attack, tuple[str, str]] = {
    redirect_twice: ("redirect", PAGE),
    client_twice: ("client", PAGE),
    not_readable: ("request", PAGE),
    consent_for_a_forged_address: ("redirect", FORM),
    open_redirect_after_sign_in: ("redirect", FORM),
    header_injected_after_sign_in: ("redirect", FORM),
    state_that_adds_a_code: ("mix-up", DENIED),
    declined: ("consent", DENIED),
    declined_by_silence: ("consent", DENIED),
    person_without_rights: ("scope", DENIED),
    person_of_another_hospital: ("scope", DENIED),
    person_who_is_called_like_the_client: ("client", GRANT),
    wrong_verifier: ("pkce", GRANT),
    challenge_as_verifier: ("pkce", GRANT),
    short_verifier: ("pkce", GRANT),
    verifier_missing: ("pkce", REQUEST),
    second_try_at_the_verifier: ("pkce", GRANT),
    code_at_another_address: ("redirect", GRANT),
    code_without_address: ("redirect", REQUEST),
    code_replayed: ("code", GRANT),
    refresh_after_a_replayed_code: ("code", GRANT),
    access_token_after_a_replayed_code: ("code", "unauthenticated"),
    code_taken_twice_at_once: ("code", GRANT),
    code_of_another_client: ("code", GRANT),
    code_of_another_client_kills_it: ("code", GRANT),
    code_injected: ("code", GRANT),
    code_too_old: ("code", GRANT),
    code_invented: ("code", GRANT),
    code_without_the_secret: ("code", "invalid_client"),
    code_in_the_address: ("code", REQUEST),
    code_as_refresh_token: ("code", GRANT),
    session_cookie_as_code: ("code", GRANT),
    code_of_a_disabled_person: ("code", GRANT),
    code_after_sign_out: ("code", GRANT),
    refresh_reused: ("refresh", GRANT),
    successor_of_a_reused_refresh: ("refresh", GRANT),
    access_token_of_a_reused_refresh: ("refresh", "unauthenticated"),
    refresh_used_twice_at_once: ("refresh", GRANT),
    refresh_of_another_client: ("refresh", GRANT),
    refresh_of_a_public_client_by_another: ("refresh", GRANT),
    refresh_widened: ("refresh", "invalid_scope"),
    refresh_widened_after_narrowing_roles: ("refresh", "invalid_scope"),
    refresh_after_the_role_was_taken: ("refresh", GRANT),
    refresh_after_the_client_was_narrowed: ("refresh", GRANT),
    refresh_left_lying: ("refresh", GRANT),
    refresh_for_ever: ("refresh", GRANT),
    refresh_of_a_disabled_person: ("refresh", GRANT),
    refresh_after_sign_out_everywhere: ("refresh", GRANT),
    refresh_where_none_was_granted: ("refresh", "unauthorized_client"),
    public_client_as_itself: ("client", "unauthorized_client"),
    password_grant: ("client", "unsupported_grant_type"),
    consent_without_its_token: ("consent", FORM),
    consent_with_the_token_of_another_session: ("consent", FORM),
    consent_with_the_token_of_another_request: ("consent", FORM),
    consent_with_the_token_of_another_form: ("consent", FORM),
    consent_from_another_site: ("consent", FORM),
    consent_without_a_session: ("consent", PAGE),
    consent_as_json: ("consent", "unsupported-media-type"),
    consent_by_get: ("consent", DENIED),
    consent_page_framed: ("consent", DENIED),
    cookie_for_everybody: ("session", DENIED),
    sign_in_from_another_site: ("session", FORM),
    session_fixed_before_sign_in: ("session", SIGN_IN),
    session_after_sign_out: ("session", PAGE),
    session_left_open: ("session", PAGE),
    session_longer_than_a_shift: ("session", PAGE),
    session_of_a_disabled_person: ("session", PAGE),
    cookie_invented: ("session", SIGN_IN),
    markup_in_the_name_of_an_app: ("markup", DENIED),
    markup_in_the_name_of_a_person: ("markup", SIGN_IN),
    wrong_password: ("password", SIGN_IN),
    no_password_kept: ("password", SIGN_IN),
    person_disabled: ("password", SIGN_IN),
    person_unknown: ("password", SIGN_IN),
    new_password_without_the_old: ("password", "change-your-password"),
    new_password_from_another_site: ("password", FORM),
    new_password_too_easy: ("password", "change-your-password"),
    new_password_mistyped: ("password", "change-your-password"),
    session_of_somebody_else_after_a_new_password: ("session", PAGE),
    passwords_guessed: ("password", SLOW),
    passwords_guessed_at_once: ("password", SLOW),
    passwords_guessed_from_everywhere: ("password", SLOW),
    one_password_for_many_people: ("password", SLOW),
    device_that_is_none: ("device", "unauthorized_client"),
    device_unknown: ("device", "invalid_client"),
    device_that_asks_too_much: ("device", "invalid_scope"),
    device_before_its_person: ("device", "authorization_pending"),
    device_that_asks_too_fast: ("device", "slow_down"),
    device_code_of_another_client: ("device", GRANT),
    device_code_invented: ("device", GRANT),
    device_code_too_old: ("device", "expired_token"),
    device_code_twice: ("device", GRANT),
    refresh_after_a_device_code_twice: ("device", GRANT),
    device_denied: ("device", DENIED),
    user_code_as_device_code: ("device", GRANT),
    user_code_too_old: ("device", "connect-a-device"),
    user_code_twice: ("device", "connect-a-device"),
    user_codes_guessed: ("device", SLOW),
    device_answer_without_its_token: ("device", FORM),
    device_answer_for_another_code: ("device", FORM),
    device_answered_by_two: ("device", "not-found"),
}


def _name(attack: Attack) -> str:
    return attack.__name__.replace("_", "-")


CASES = (
    *(Case(name, kind, refused) for name, (kind, refused, _) in REQUESTS.items()),
    *(Case(_name(attack), kind, refused) for attack, (kind, refused) in ATTACKS.items()),
)
_ATTACKS = {_name(attack): attack for attack in ATTACKS}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_an_attack_on_the_sign_in_is_refused(case: Case, site: Site, nurse: Browser):
    if case.name in REQUESTS:
        told = seen(await nurse.authorize(**REQUESTS[case.name][2]))
    else:
        told = await _ATTACKS[case.name](site, nurse)
    assert told == case.refused
