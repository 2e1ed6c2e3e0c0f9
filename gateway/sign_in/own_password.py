"""A person's own password: who knows the old one sets a new one, and signs in anew everywhere."""

import asyncio

import msgspec
from litestar import Response, get, post

from canonical.errors import InvalidRequest
from gateway.sign_in.desk import Desk
from gateway.sign_in.guessing import address_of, require_good_address, spend_sign_in
from gateway.sign_in.pages import Page, form, page, paragraph, problem, who_line
from gateway.sign_in.sessions import Asked, Session, cookie, own_form, session_of, signed_in
from gateway.sign_in.signing_in import GivenDesk, ask_to_sign_in, knows_password
from policies.oauth.passwords import password_hash, refuse_weak
from policies.oauth.people import Person

_FIELDS = (
    ("current", "Password so far", "current-password"),
    ("new", "New password", "new-password"),
    ("again", "New password once more", "new-password"),
)


@get("/password", operation_id="askForNewPassword", public=True)
async def ask_for_new_password(request: Asked, desk: GivenDesk) -> Response[str]:
    """Ask for the password so far and a new one."""
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "password")
    return _asked(session)


@post("/password", operation_id="changePassword", public=True, status_code=200)
async def change_password(request: Asked, desk: GivenDesk) -> Response[str]:
    """Keep a new password; all sessions, apps and devices of the person end."""
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "password")
    filled = await own_form(request, session.secret, "password")
    person, address = session.person, address_of(request, desk)
    await require_good_address(desk, address)
    await spend_sign_in(desk, person.person_id, address)
    if not await knows_password(desk, person.password, filled.get("current", ""), address):
        await desk.record(person.person_id, "set password", "refused", address=address)
        return _asked(session, "The password so far is wrong.")
    try:
        refuse_weak(filled.get("new", ""), person.person_id, person.display_name)
    except InvalidRequest as weak:
        return _asked(session, f"The new password is too easy to guess; expected {weak.expected}.")
    if filled.get("new") != filled.get("again"):
        return _asked(session, "The new password and its repetition differ.")
    return await _changed(desk, person, filled["new"], address)


async def _changed(desk: Desk, person: Person, password: str, address: str) -> Page:
    async with desk.turns:
        kept = await asyncio.to_thread(password_hash, password)
    await desk.people.change(
        person.person_id, lambda now: msgspec.structs.replace(now, password=kept)
    )
    await desk.endings.shut_out(person.person_id, "new password")
    await desk.record(person.person_id, "set password", "done", address=address)
    shown = page(
        "The new password counts",
        paragraph("Your other sessions, apps and devices have ended: sign in there again."),
    )
    shown.cookies.append(cookie(desk, (await signed_in(desk, person)).secret))
    return shown


def _asked(session: Session, trouble: str = "") -> Page:
    fields = [
        f'<label for="{name}">{label}</label>\n<input id="{name}" name="{name}" type="password"'
        f' autocomplete="{kind}" maxlength="256" required>'
        for name, label, kind in _FIELDS
    ]
    return page(
        "Change your password",
        who_line(session.person),
        *([problem(trouble)] if trouble else []),
        paragraph("At least 15 characters: a few words that belong together for you alone."),
        form(
            "/oauth/password",
            session.secret,
            "password",
            {},
            *fields,
            '<button type="submit" class="primary">Change</button>',
        ),
        status=403 if trouble else 200,
    )
