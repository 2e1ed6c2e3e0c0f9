"""Signing in and out: the pages, and what is looked at before somebody is let in.

Whoever is unknown, inactive or wrong about the password gets one and the same answer after one and
the same time.
"""

import asyncio
from typing import Final

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.errors import Failure, TooManyRequests
from gateway.sign_in.desk import Desk
from gateway.sign_in.guessing import (
    address_of,
    count_failure,
    require_good_address,
    spend_sign_in,
)
from gateway.sign_in.pages import (
    STYLE,
    Page,
    form,
    page,
    paragraph,
    problem,
    sent_on,
    sign_in_page,
    who_line,
)
from gateway.sign_in.sessions import (
    Asked,
    browser_secret,
    cookie,
    no_cookie,
    own_form,
    require_safe_line,
    session_of,
    signed_in,
)
from policies.edge import facts_of
from policies.oauth.passwords import is_outdated, is_password, password_hash
from policies.oauth.people import Person
from policies.oauth.refresh import new_secret

BACK: Final = ("place", "query")
"""Fields that say where to go on after the sign-in: never more than a page of ours."""
_PLACES: Final = ("authorize", "device", "password", "sign-out")

GivenDesk = NamedDependency[SkipValidation[Desk]]


def ask_to_sign_in(request: Asked, desk: Desk, place: str, query: str = "") -> Page:
    """Show the sign-in, to go on at `place` afterwards."""
    require_safe_line(desk)
    secret = browser_secret(request, desk) or new_secret()
    shown = sign_in_page(secret, {"place": place, "query": query})
    shown.cookies.append(cookie(desk, secret))
    return shown


@post("/sign-in", operation_id="signIn", public=True, status_code=303)
async def sign_in(request: Asked, desk: GivenDesk) -> Response[str]:
    """Let somebody in who knows the password."""
    require_safe_line(desk)
    secret = browser_secret(request, desk)
    filled = await own_form(request, secret, "sign-in", *BACK)
    back = {name: filled.get(name, "") for name in BACK}
    name, address = filled.get("person", "").strip(), address_of(request, desk)
    try:
        person = await _let_in(desk, name, filled.get("password", ""), address)
    except TooManyRequests:
        await desk.record("", "sign in", "refused", address=address, reason="too many tries")
        raise
    if person is None:
        return sign_in_page(secret, back, "The person id or the password is wrong.", name)
    earlier = await session_of(request, desk)
    if earlier is not None:
        await desk.endings.end(earlier.id, "somebody signed in anew")
    session = await signed_in(desk, person)
    await desk.record(person.person_id, "sign in", "done", address=address)
    place = back["place"] if back["place"] in _PLACES else "sign-out"
    sound = back["query"].isascii() and back["query"].isprintable()
    query = f"?{back['query']}" if back["query"] and sound else ""
    return sent_on(f"/oauth/{place}{query}", cookie(desk, session.secret))


async def _let_in(desk: Desk, name: str, password: str, address: str) -> Person | None:
    """Return who this is, None where that was not shown; raises `TooManyRequests`."""
    await require_good_address(desk, address)
    await spend_sign_in(desk, name, address)
    person = await desk.people.find(name) if name.isascii() and name.isprintable() else None
    kept = person.password if person else ""
    knows = await knows_password(desk, kept, password, address)
    if person is None or not knows or not person.active:
        reason = (
            "unknown person" if person is None else "wrong password" if not knows else "inactive"
        )
        known = person.person_id if person else ""
        await desk.record(known, "sign in", "refused", address=address, reason=reason)
        return None
    if is_outdated(kept):
        await _keep_better(desk, person, password)
    return person


async def knows_password(desk: Desk, kept: str, password: str, address: str) -> bool:
    """Look at a password when its turn comes; what went wrong meanwhile counts by then."""
    async with desk.turns:
        await require_good_address(desk, address)
        knows = await asyncio.to_thread(is_password, kept, password)
        if not knows:
            await count_failure(desk, address)
    return knows


async def _keep_better(desk: Desk, person: Person, password: str) -> None:
    """Keep a password with today's settings, unless it was changed meanwhile."""
    better = await asyncio.to_thread(password_hash, password)

    def kept(now: Person) -> Person:
        same = now.password == person.password
        return msgspec.structs.replace(now, password=better) if same else now

    await desk.people.change(person.person_id, kept)


@get("/sign-out", operation_id="askToSignOut", public=True)
async def ask_to_sign_out(request: Asked, desk: GivenDesk) -> Response[str]:
    """Ask what shall end."""
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "sign-out")
    owned = await desk.tickets.owned(session.person.person_id, desk.clock())
    apps = sum(each.id.startswith("grant_") for each in owned)
    buttons = """<div class="choices">
<button type="submit" class="primary" name="what" value="here">Sign out here</button>
<button type="submit" name="what" value="everywhere">Sign out everywhere</button>
</div>"""
    return page(
        "You are signed in",
        who_line(session.person),
        paragraph(
            "«Here» ends this browser's session and the apps that you let in from it. «Everywhere» "
            f"ends all your sessions, apps and devices: {len(owned) - apps} and {apps} at present."
        ),
        form("/oauth/sign-out", session.secret, "sign-out", {}, buttons),
        '<p><a href="/oauth/password">Change your password</a></p>',
    )


@post("/sign-out", operation_id="signOut", public=True, status_code=200)
async def sign_out(request: Asked, desk: GivenDesk) -> Response[str]:
    """End this session, or everything of this person."""
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "sign-out")
    filled = await own_form(request, session.secret, "sign-out")
    everywhere = filled.get("what") == "everywhere"
    if everywhere:
        await desk.endings.end_all_of(session.person.person_id, "signed out everywhere")
    else:
        await desk.endings.end(session.id, "signed out")
    what = "everywhere" if everywhere else "here"
    await desk.record(session.person.person_id, "sign out", "done", where=what)
    shown = page("You are signed out", paragraph("You may close this page."))
    shown.cookies.append(no_cookie(desk))
    return shown


@get("/pages.css", operation_id="readPagesStyle", public=True)
async def read_style() -> Response[str]:
    """Return the style of these pages."""
    return Response(STYLE, media_type="text/css")


def failed_page(request: Asked, failure: Failure) -> Response[str]:
    """Show a failure to a person: what is wrong, and what to do. Nobody is sent anywhere."""
    facts = facts_of(request.scope)
    facts.failure = failure.slug
    return page(
        failure.title,
        problem(failure.detail[:1].upper() + failure.detail[1:] + "."),
        *([paragraph(failure.fix[:1].upper() + failure.fix[1:] + ".")] if failure.fix else []),
        paragraph(f"Number of this incident: {facts.correlation_id}", "soft small"),
        status=failure.status,
        wait=round(failure.retry_after or 0),
    )
