"""People sign in, let apps and devices act for them, and take that back."""

import asyncio
import hashlib
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from litestar.types import ASGIApp

from canonical.errors import LimiterUnavailable
from gateway.app import create_app
from gateway.config import load
from gateway.sign_in.book import PersonBook
from gateway.sign_in.endings import Endings
from gateway.sign_in.pages import sign_in_page
from ledger.ledger import open_ledger
from policies.edge import Pace, Verdict
from policies.oauth.passwords import is_outdated
from tests.ledger.outside import eventually
from tests.security.hospital_site import (
    ISSUER,
    MOBILE,
    PASSWORD,
    PROCUREMENT,
    ROOT,
    Browser,
    Site,
    answer_of,
    form_of,
    open_site,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(state: Path):
    async with open_site(state) as opened:
        yield opened


async def test_a_person_lets_an_app_act_and_the_app_gets_tokens_for_that_person(site: Site):
    person = await site.person("nurse", facilities=("1710", "1720"), data_classes=("supply", "phi"))
    browser = site.browser()
    asked = await browser.authorize(scope=f"{MOBILE} {PROCUREMENT}")
    assert "Sign in" in asked.text
    on = await browser.send(asked, person=person, password="four small boats at noon")
    assert on.status_code == 303
    consent = await browser.http.get(on.headers["location"])
    assert "Ward app" in consent.text
    assert MOBILE in consent.text
    assert PROCUREMENT not in consent.text
    told = answer_of(await browser.send(consent, decision="allow"))
    assert (told["state"], told["iss"]) == ("af0ifjsldkj", ISSUER)
    given = (await site.exchange(told["code"])).json()
    assert given["scope"] == MOBILE
    now = site.parts.clock().timestamp()
    who = site.parts.authorization.verifier.verify(given["access_token"].encode(), now)
    assert (who.subject, who.client, who.actor) == (person, "app", person)
    assert who.facilities == {"1710", "1720"}
    assert who.data_classes == {"supply"}
    assert who.roles == {"nurse"}
    again = (await site.refresh(given["refresh_token"])).json()
    assert again["scope"] == MOBILE
    assert again["refresh_token"] != given["refresh_token"]


async def test_a_person_lets_a_scanner_act_that_has_no_browser(site: Site):
    person = await site.person("nurse")
    given = (await site.device(scope=MOBILE)).json()
    assert given["verification_uri"] == f"{ISSUER}/oauth/device"
    assert (given["interval"], given["expires_in"]) == (5, 600)
    browser = site.browser()
    asked = await browser.http.get(given["verification_uri_complete"])
    on = await browser.send(asked, person=person, password=PASSWORD)
    typed = await browser.http.get(on.headers["location"])
    assert given["user_code"] in typed.text
    shown = await browser.send(typed, user_code=given["user_code"].lower().replace("-", " "))
    assert MOBILE in shown.text
    assert (await browser.send(shown, decision="allow")).status_code == 200
    tokens = (await site.poll(given["device_code"])).json()
    now = site.parts.clock().timestamp()
    who = site.parts.authorization.verifier.verify(tokens["access_token"].encode(), now)
    assert (who.actor, who.client, who.scopes) == (person, "scanner", {MOBILE})
    assert (await site.refresh(tokens["refresh_token"], "scanner")).status_code == 200


async def test_signing_out_here_leaves_other_browsers_and_devices_alone(site: Site):
    person = await site.person("nurse")
    here, elsewhere = site.browser(), site.browser()
    for browser in (here, elsewhere):
        await browser.sign_in(person)
    mine = (await site.exchange(await here.code())).json()
    theirs = (await site.exchange(await elsewhere.code())).json()
    asked = await here.page("/oauth/sign-out")
    assert "2 and 2 at present" in asked.text
    await here.send(asked, what="here")
    assert (await site.refresh(mine["refresh_token"])).status_code == 400
    assert await site.call(mine["access_token"]) == 401
    assert (await site.refresh(theirs["refresh_token"])).status_code == 200
    assert await site.call(theirs["access_token"]) != 401


async def test_an_app_gives_its_refresh_token_back_and_all_that_came_from_it_ends(site: Site):
    given = (await site.exchange(await (await site.signed_in("nurse")).code())).json()
    auth = ("other", site.secrets["other"])
    form = {"token": given["refresh_token"]}
    async with site.caller() as http:
        assert (await http.post("/oauth/revoke", data=form, auth=auth)).status_code == 200
        assert await site.call(given["access_token"]) != 401
        auth = ("app", site.secrets["app"])
        assert (await http.post("/oauth/revoke", data=form, auth=auth)).status_code == 200
    assert await site.call(given["access_token"]) == 401
    assert (await site.refresh(given["refresh_token"])).status_code == 400


async def test_an_app_without_a_secret_returns_to_any_port_of_its_device(site: Site):
    browser = await site.signed_in("nurse")
    target = "http://127.0.0.1:52001/cb"
    code = await browser.code(client_id="native", redirect_uri=target)
    answer = await site.exchange(code, "native", redirect_uri=target)
    assert answer.status_code == 200, answer.text
    asked = await browser.authorize(client_id="native", redirect_uri="com.example.scan:/cb")
    assert "form-action 'self' com.example.scan:" in asked.headers["content-security-policy"]


async def test_who_signs_in_anew_begins_a_new_session_and_ends_the_old_one(site: Site):
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person)
    old = browser.http.cookies["__Host-suture"]
    shown = sign_in_page(old, {"place": "device", "query": ""})
    answer = await browser.http.post(
        "/oauth/sign-in",
        data=form_of(httpx.Response(200, text=shown.content))[1]
        | {"person": person, "password": PASSWORD},
    )
    assert answer.headers["location"] == "/oauth/device"
    assert browser.http.cookies["__Host-suture"] != old
    browser.http.cookies.set("__Host-suture", old, domain="suture.test")
    assert "Password" in (await browser.page("/oauth/device")).text


async def test_a_session_that_is_used_goes_on(site: Site):
    browser = await site.signed_in("nurse")
    for minutes in (10, 20, 30):
        async with site.later(minutes=minutes):
            assert "Allow" in (await browser.authorize()).text


async def test_a_password_kept_with_older_settings_is_kept_better_after_the_sign_in(site: Site):
    salt = bytes(16)
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    person = await site.person("nurse", password=f"scrypt$1024$8$1${salt.hex()}${key.hex()}")
    assert (await site.browser().sign_in(person)).status_code == 303
    kept = await PersonBook(site.parts.ledger.people).find(person)
    assert kept
    assert not is_outdated(kept.password)
    assert (await site.browser().sign_in(person)).status_code == 303


async def test_what_was_decided_is_recorded_with_who_and_for_which_app_and_without_secrets(
    site: Site,
):
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person, "open sesame, please")
    await browser.sign_in(person)
    code = await browser.code()
    given = (await site.exchange(code)).json()
    await site.refresh(given["refresh_token"])
    await site.refresh(given["refresh_token"])
    await site.browser().sign_in("somebody", "abracadabra to you")
    found = await site.parts.ledger.audit.recent(limit=30, kind="access")
    seen = [each.evidence for each in found]
    told = {(each.actor, each.action, each.outcome, each.object) for each in seen}
    assert (person, "sign in", "refused", "") in told
    assert (person, "sign in", "done", "") in told
    assert (person, "consent", "given", "app") in told
    assert (person, "token request", "revoked", "app") in told
    assert ("anonymous", "sign in", "refused", "") in told
    text = msgspec.json.encode(seen).decode()
    for secret in (code, given["refresh_token"], "sesame", "abracadabra", "somebody"):
        assert secret not in text


async def test_a_person_who_is_disabled_elsewhere_is_out_everywhere_within_a_second(site: Site):
    person = await site.person("nurse")
    browser = site.browser()
    await browser.sign_in(person)
    given = (await site.exchange(await browser.code())).json()
    dsn = site.parts.ledger.database.dsn
    async with open_ledger(dsn, secret=b"a secret of these tests, 32 byte") as other:
        await PersonBook(other.people).change(
            person, lambda now: msgspec.structs.replace(now, active=False)
        )
        await Endings(ledger=other, token_seconds=600).shut_out(person, "disabled")

    async def is_out() -> bool:
        return await site.call(given["access_token"]) == 401

    async with asyncio.timeout(1):
        await eventually(is_out)
    assert (await site.refresh(given["refresh_token"])).status_code == 400
    assert "Password" in (await browser.authorize()).text


def app_with(site: Site, **facts: object) -> ASGIApp:
    """Return the gateway with another desk."""
    served = site.parts.authorization
    desk = msgspec.structs.replace(served.desk, **facts)
    served = msgspec.structs.replace(served, desk=desk)
    return create_app(msgspec.structs.replace(site.parts, authorization=served))


async def test_nobody_guesses_while_the_counter_is_away(site: Site):
    person, browser = await site.person("nurse"), site.browser()
    shown = await browser.page("/oauth/sign-out")

    async def away(key: str, pace: Pace, cost: int) -> Verdict:
        raise LimiterUnavailable("the rate limiter does not answer")

    browser = Browser(site, "10.9.9.9", app_with(site, limiter=away))
    shown = await browser.page("/oauth/sign-out")
    answer = await browser.send(shown, person=person, password=PASSWORD)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    assert "Nobody can sign in at this moment." in answer.text


async def test_passwords_are_not_taken_where_others_can_read_them(site: Site):
    for url, status in (("http://gateway.example", 403), ("http://127.0.0.1:8420", 200)):
        browser = Browser(site, "10.9.9.8", app_with(site, url=url))
        answer = await browser.page("/oauth/sign-out")
        assert answer.status_code == status, answer.text


async def test_the_metadata_leads_to_everything_that_an_app_of_people_needs(site: Site):
    async with site.caller() as http:
        said = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert said["authorization_endpoint"] == f"{ISSUER}/oauth/authorize"
    assert said["device_authorization_endpoint"] == f"{ISSUER}/oauth/device_authorization"
    assert {"authorization_code", "refresh_token"} <= set(said["grant_types_supported"])
    assert "none" in said["token_endpoint_auth_methods_supported"]


async def test_the_roles_of_the_committed_configuration_use_scopes_that_there_are(site: Site):
    async with site.caller() as http:
        said = (await http.get("/.well-known/oauth-authorization-server")).json()
    roles = load(ROOT / "gateway.toml").people.roles
    assert roles
    used = {scope for scopes in roles.values() for scope in scopes}
    assert used <= set(said["scopes_supported"])
