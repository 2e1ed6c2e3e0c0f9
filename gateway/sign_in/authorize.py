"""The authorization endpoint: who is it, what is asked, and the person's answer.

Until client and address are known to belong together, mistakes are shown on a page; afterwards the
app is told at its address, with `state` and `iss`.
"""

from litestar import Response, get, post

from canonical.errors import InvalidRequest
from gateway.sign_in.desk import Desk, new_grant
from gateway.sign_in.pages import (
    Page,
    asked_for,
    choices,
    form,
    page,
    paragraph,
    sent_on,
    who_line,
)
from gateway.sign_in.sessions import Asked, Session, own_form, session_of
from gateway.sign_in.signing_in import GivenDesk, ask_to_sign_in
from ledger.tickets import Ticket
from policies.oauth.clients import OAuthClient
from policies.oauth.codes import (
    AuthorizationRequest,
    answer_address,
    authorization_request,
    parameters,
    redirect_target,
)
from policies.oauth.people import Allowance, allowance
from policies.oauth.refresh import Consent, new_secret
from policies.oauth.refusals import OAuth2Error

CODE = "code"


@get("/authorize", operation_id="askForConsent", public=True)
async def ask_for_consent(request: Asked, desk: GivenDesk) -> Response[str]:
    """Ask the person at the browser whether an app may act for them."""
    query = request.scope["query_string"].decode("latin-1")
    client, target, said = await _addressed(desk, query)
    try:
        wanted = authorization_request(client, said, target)
    except OAuth2Error as error:
        return _told(desk, target, said.get("state"), str(error.error), str(error.description))
    session = await session_of(request, desk)
    if session is None:
        return ask_to_sign_in(request, desk, "authorize", query)
    return _consent_page(desk, session, client, wanted, query)


@post("/authorize", operation_id="consent", public=True, status_code=303)
async def consent(request: Asked, desk: GivenDesk) -> Response[str]:
    """Take the person's answer, and send the browser back to the app with it."""
    session = await session_of(request, desk)
    if session is None:
        raise InvalidRequest("you were signed out meanwhile", fix="go back to the app, start again")
    filled = await own_form(request, session.secret, "authorize", "query")
    client, target, said = await _addressed(desk, filled["query"])
    try:
        wanted = authorization_request(client, said, target)
    except OAuth2Error as error:
        return _told(desk, target, said.get("state"), str(error.error), str(error.description))
    allowed = _allowed(desk, session, client, wanted)
    person = session.person.person_id
    if filled.get("decision") != "allow" or allowed.is_nothing:
        await desk.record(person, "consent", "declined", app=client.client_id)
        return _told(desk, target, wanted.state, "access_denied", "The person said no.")
    code = await _new_code(desk, session, wanted, allowed)
    await desk.record(
        person, "consent", "given", app=client.client_id, scope=" ".join(allowed.scopes)
    )
    return sent_on(answer_address(target, desk.url, wanted.state, code=code))


async def _addressed(desk: Desk, query: str) -> tuple[OAuthClient, str, dict[str, str]]:
    """Return who asks and where the answer goes, or refuse without sending anybody anywhere."""
    said = parameters(query)
    client = await desk.client(said.get("client_id", ""))
    if client is None:
        raise InvalidRequest(
            "this app is not known here",
            where="client_id",
            fix="go back to the app; if it happens again, tell who runs it",
        )
    return client, redirect_target(client, said), said


def _allowed(
    desk: Desk, session: Session, client: OAuthClient, wanted: AuthorizationRequest
) -> Allowance:
    return allowance(client, session.person, desk.settings.roles, wanted.scopes)


def _consent_page(
    desk: Desk, session: Session, client: OAuthClient, wanted: AuthorizationRequest, query: str
) -> Page:
    allowed = _allowed(desk, session, client, wanted)
    nothing = paragraph("Your roles allow nothing of what this app asks for.", "problem")
    may = not allowed.is_nothing
    return page(
        "Let an app act for you?",
        who_line(session.person),
        asked_for(client, allowed, wanted.redirect_uri) if may else nothing,
        form(
            "/oauth/authorize",
            session.secret,
            "authorize",
            {"query": query},
            choices(may_allow=may),
        ),
        to=wanted.redirect_uri,
    )


async def _new_code(
    desk: Desk, session: Session, wanted: AuthorizationRequest, allowed: Allowance
) -> str:
    lifetimes, code = desk.settings.lifetimes, new_secret()
    agreed = Consent(
        client_id=wanted.client_id,
        scopes=allowed.scopes,
        person_id=session.person.person_id,
        redirect_uri=wanted.redirect_uri,
        challenge=wanted.challenge,
    )
    family = new_grant(
        agreed,
        desk.clock(),
        desk.after(lifetimes.code),
        owner=session.person.person_id,
        session=session.id,
    )
    ticket = Ticket(kind=CODE, secret=code, expires=desk.after(lifetimes.code))
    await desk.tickets.open(family, ticket)
    return code


def _told(desk: Desk, target: str, state: str | None, error: str, words: str) -> Page:
    return sent_on(answer_address(target, desk.url, state, error=error, error_description=words))
