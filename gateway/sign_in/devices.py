"""Devices without a browser: they get two codes, and a person who types one of them answers.

Somebody else may have sent the person here (RFC 8628 5.4), so the page says what to look for before
it asks.
"""

from typing import Final

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.errors import NotFound
from gateway.authorization import Authorization
from gateway.authorization.routes import call_of, record
from gateway.authorization.routes import shown as answer_of
from gateway.sign_in.desk import Desk, consent_of, encoded, new_grant
from gateway.sign_in.guessing import spend_user_code
from gateway.sign_in.pages import (
    Page,
    asked_for,
    choices,
    code_field,
    form,
    page,
    paragraph,
    who_line,
)
from gateway.sign_in.sessions import Asked, Session, own_form, session_of
from gateway.sign_in.signing_in import GivenDesk, ask_to_sign_in
from gateway.sign_in.token_grants import DEVICE
from ledger.tickets import Family, Shown, Ticket
from policies.oauth.clients import OAuthClient
from policies.oauth.codes import parameters, requested_scopes
from policies.oauth.device import (
    DEVICE_CODE,
    INTERVAL_SECONDS,
    new_user_code,
    shown_user_code,
    typed_user_code,
)
from policies.oauth.people import Allowance, allowance
from policies.oauth.refresh import Consent, new_secret
from policies.oauth.refusals import OAuth2Error, Reply, answered, refused
from policies.oauth.server import read_form

_USER_CODE: Final = "user-code"
_FIELD: Final = "user_code"


@post("/device_authorization", operation_id="authorizeDevice", public=True, status_code=200)
async def authorize_device(
    request: Asked,
    desk: GivenDesk,
    authorization: NamedDependency[SkipValidation[Authorization]],
) -> Response[bytes]:
    """Give a device the codes with which it asks for a person (RFC 8628 3.1, 3.2)."""
    call = await call_of(request, authorization)
    try:
        sent = read_form(call)
        client = await authorization.tokens.authenticate(call, sent)
        reply = await _codes(desk, client, sent.get("scope"))
    except OAuth2Error as error:
        reply = refused(error)
    await record(desk.ledger, "device request", reply)
    return answer_of(reply)


async def _codes(desk: Desk, client: OAuthClient, scope: str | None) -> Reply:
    if DEVICE_CODE not in client.grant_types:
        raise OAuth2Error("This client is no device.", error="unauthorized_client")
    scopes = requested_scopes(client, scope)
    seconds = desk.settings.lifetimes.device
    device_code, user_code, ends = new_secret(), new_user_code(), desk.after(seconds)
    family = new_grant(Consent(client_id=client.client_id, scopes=scopes), desk.clock(), ends)
    await desk.tickets.open(
        family,
        Ticket(kind=DEVICE, secret=device_code, expires=ends),
        Ticket(kind=_USER_CODE, secret=user_code, expires=ends),
    )
    place, shown = f"{desk.url.rstrip('/')}/oauth/device", shown_user_code(user_code)
    return answered(
        {
            "device_code": device_code,
            _FIELD: shown,
            "verification_uri": place,
            "verification_uri_complete": f"{place}?{_FIELD}={shown}",
            "expires_in": seconds,
            "interval": INTERVAL_SECONDS,
        },
        client=client.client_id,
    )


@get("/device", operation_id="askForDeviceCode", public=True)
async def ask_for_device_code(request: Asked, desk: GivenDesk) -> Response[str]:
    """Ask for the code that the device shows."""
    query = request.scope["query_string"].decode("latin-1")
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "device", query)
    return _code_page(session, typed_user_code(parameters(query).get(_FIELD, "")))


@post("/device", operation_id="showDevice", public=True, status_code=200)
async def show_device(request: Asked, desk: GivenDesk) -> Response[str]:
    """Show what the device with this code asks for."""
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "device")
    filled = await own_form(request, session.secret, "device")
    await spend_user_code(desk, session.person.person_id)
    code = typed_user_code(filled.get(_FIELD, ""))
    shown, client = await _waiting(desk, code)
    if shown is None or client is None:
        await desk.record(session.person.person_id, "device code", "refused", reason="no such code")
        return _code_page(session, trouble="No device waits with this code. It may have expired.")
    allowed = _allowed(desk, session, client, shown.family)
    may = not allowed.is_nothing
    return page(
        "Let a device act for you?",
        who_line(session.person),
        paragraph(
            f"Go on only if you are holding the device and it shows {shown_user_code(code)}. "
            "If somebody sent you here, deny."
        ),
        asked_for(client, allowed)
        if may
        else paragraph("Your roles allow nothing of what this device asks for.", "problem"),
        form(
            "/oauth/device/answer",
            session.secret,
            "device-answer",
            {_FIELD: code},
            choices(may_allow=may),
        ),
    )


@post("/device/answer", operation_id="answerDevice", public=True, status_code=200)
async def answer_device(request: Asked, desk: GivenDesk) -> Response[str]:
    """Take the person's answer; the device learns of it when it asks next."""
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "device")
    filled = await own_form(request, session.secret, "device-answer", _FIELD)
    shown, client = await _waiting(desk, filled[_FIELD])
    if shown is None or client is None:
        raise NotFound("no device waits with this code any more", fix="start again at the device")
    allowed = _allowed(desk, session, client, shown.family)
    person = session.person.person_id
    if filled.get("decision") != "allow" or allowed.is_nothing:
        await desk.endings.end(shown.family.id, "declined")
        await desk.record(person, "consent", "declined", app=client.client_id)
        return page("The device was denied", paragraph("It gets nothing. You may close this page."))
    agreed = Consent(client_id=client.client_id, scopes=allowed.scopes, person_id=person)
    now = desk.clock()
    family = Family(
        id=shown.family.id,
        owner=person,
        body=encoded(agreed),
        began=shown.family.began,
        expires=shown.family.expires,
    )
    spent = await desk.tickets.spend(_USER_CODE, filled[_FIELD], now) == "spent"
    if not spent or not await desk.tickets.settle(family, now):
        raise NotFound("no device waits with this code any more", fix="start again at the device")
    await desk.record(
        person, "consent", "given", app=client.client_id, scope=" ".join(allowed.scopes)
    )
    return page("The device may go on", paragraph("You may close this page."))


async def _waiting(desk: Desk, code: str) -> tuple[Shown | None, OAuthClient | None]:
    """Return the device that waits for somebody with this code, and its client."""
    shown = await desk.tickets.find(_USER_CODE, code) if code else None
    if shown is None or not shown.holds(desk.clock()) or shown.family.owner:
        return None, None
    return shown, await desk.client(consent_of(shown.family).client_id)


def _allowed(desk: Desk, session: Session, client: OAuthClient, family: Family) -> Allowance:
    wanted = consent_of(family).scopes
    return allowance(client, session.person, desk.settings.roles, wanted)


def _code_page(session: Session, code: str = "", trouble: str = "") -> Page:
    return page(
        "Connect a device",
        who_line(session.person),
        form(
            "/oauth/device",
            session.secret,
            "device",
            {},
            code_field(_FIELD, shown_user_code(code) if code else "", trouble),
        ),
        status=404 if trouble else 200,
    )
