"""Who sits at the browser: one cookie, and forms that only this browser can have been given.

The cookie is 256 random bits, of which the ledger keeps the SHA-256. Before the sign-in it says
nothing and is not kept; whoever signs in gets a new one, so that nobody can hand a known one to
somebody else. A form carries a code made from the cookie and its purpose, which another site cannot
make, and which another form cannot use.
"""

import hashlib
import hmac
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar import Request
from litestar.datastructures import Cookie, State

from canonical.errors import BodyTooLarge, Forbidden, InvalidRequest, UnsupportedMediaType
from gateway.sign_in.desk import Desk
from ledger.ids import new_id
from ledger.tickets import Family, Ticket
from policies.oauth.people import Person
from policies.oauth.refresh import new_secret

Asked = Request[Any, Any, State]

FORM_TOKEN = "form-token"  # noqa: S105 - the name of a field
_KIND = "session"
_LARGEST_FORM = 16_384
_MOST_FIELDS = 20
_LONGEST_REST = timedelta(seconds=60)
"""How long a use of the session may go unwritten."""
_secret = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_FORM = "application/x-www-form-urlencoded"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A browser in which somebody signed in."""

    id: str
    secret: str
    person: Person


async def session_of(request: Asked, desk: Desk) -> Session | None:
    """Return the session of a browser, if it holds and its person is still active."""
    secret = browser_secret(request, desk)
    shown = await desk.tickets.find(_KIND, secret) if secret else None
    now = desk.clock()
    if shown is None or not shown.holds(now):
        return None
    person = await desk.people.find(shown.family.owner)
    if person is None or not person.active:
        return None
    rest = now + timedelta(seconds=desk.settings.lifetimes.session_idle)
    if rest - shown.expires > _LONGEST_REST:
        await desk.tickets.prolong(secret, rest)
    return Session(id=shown.family.id, secret=secret, person=person)


async def signed_in(desk: Desk, person: Person) -> Session:
    """Begin a session with a secret of its own."""
    lifetimes, now = desk.settings.lifetimes, desk.clock()
    secret = new_secret()
    family = Family(
        id=new_id("session"),
        owner=person.person_id,
        body="{}",
        began=now,
        expires=desk.after(lifetimes.session),
    )
    await desk.tickets.open(
        family, Ticket(kind=_KIND, secret=secret, expires=desk.after(lifetimes.session_idle))
    )
    return Session(id=family.id, secret=secret, person=person)


def browser_secret(request: Asked, desk: Desk) -> str:
    """Return what the browser's cookie says, '' where it is none of ours."""
    found = request.cookies.get(_cookie_name(desk), "")
    return found if _secret(found) else ""


def cookie(desk: Desk, secret: str) -> Cookie:
    """Return the cookie of a browser: for our pages alone, gone when the browser closes."""
    return Cookie(
        key=_cookie_name(desk),
        value=secret,
        path="/",
        secure=_is_secure(desk),
        httponly=True,
        samesite="lax",
    )


def no_cookie(desk: Desk) -> Cookie:
    """Return what takes the cookie away."""
    gone = cookie(desk, "")
    gone.max_age = 0
    return gone


def form_token(secret: str, purpose: str) -> str:
    """Return what proves that a form was given to this browser, for this purpose."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


async def own_form(request: Asked, secret: str, purpose: str, *bound: str) -> dict[str, str]:
    """Return a form that this browser was given for `purpose` and the fields `bound`.

    Raises `Forbidden` for every other one: another site's, another session's, another request's.
    """
    form = await _form(request)
    said = request.headers.get("sec-fetch-site", "same-origin")
    whole = "\n".join([purpose, *(form.get(name, "") for name in bound)])
    given = form.get(FORM_TOKEN, "")
    same = hmac.compare_digest(given.encode(), form_token(secret, whole).encode())
    if not secret or not same or said not in ("same-origin", "none"):
        raise Forbidden(
            "this form does not belong to this browser session",
            fix="go back, load the page again and send it once more; cookies have to be allowed",
        )
    return form


def require_safe_line(desk: Desk) -> None:
    """Refuse to take passwords where others can read them on the way (RFC 6749 3.1)."""
    if not (_is_secure(desk) or urlsplit(desk.url).hostname in ("127.0.0.1", "::1", "localhost")):
        raise Forbidden(
            "people sign in over https only",
            where="[server] issuer",
            fix="serve https and set issuer to its address",
        )


async def _form(request: Asked) -> dict[str, str]:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != _FORM:
        raise UnsupportedMediaType("this path takes a form", where="Content-Type", expected=_FORM)
    body = await request.body()
    if len(body) > _LARGEST_FORM:
        raise BodyTooLarge("the form is too long", expected=f"at most {_LARGEST_FORM} bytes")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as exc:
        raise InvalidRequest("the form cannot be read", fix="load the page again") from exc
    return dict(pairs)


def _is_secure(desk: Desk) -> bool:
    return urlsplit(desk.url).scheme == "https"


def _cookie_name(desk: Desk) -> str:
    """Return its name: the prefix keeps other hosts from setting it (RFC 6265bis 4.1.3.2)."""
    return "__Host-suture" if _is_secure(desk) else "suture"
