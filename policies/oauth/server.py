"""The token endpoint (RFC 6749 3.2): who asks has to prove it first, then a grant answers.

    Call ─▶ authenticate ─▶ TokenRequest ─▶ grants[grant_type] ─▶ Granted ─▶ confirm ─▶ token

A new kind of grant is one async function from `TokenRequest` to `Granted`, and a line in the table
that is given to `TokenServer`. What binds a token to its holder (`cnf`, RFC 7800) is a `Confirm`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import parse_qsl

import msgspec

from policies.oauth.clients import CLIENT_CREDENTIALS, OAuthClient
from policies.oauth.refusals import (
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    Reply,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    answered,
    refused,
)
from policies.oauth.tokens import Rights, TokenIssuer, own_rights

Header = tuple[bytes, bytes]
Form = Mapping[str, str]
_FORM = b"application/x-www-form-urlencoded"
_MOST_PARAMETERS = 30
_LONGEST_BODY = 65_536


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call to an endpoint that clients authenticate at, as it came in. `certificate` (DER) is
    what the caller showed; `added` are further headers of the answer.
    """

    body: bytes
    headers: tuple[Header, ...]
    now: float
    query: bytes = b""
    path: str = "/oauth/token"
    certificate: bytes | None = None
    added: list[Header] = []

    def header(self, name: bytes) -> bytes | None:
        """Return the one header of this name (lower case); more than one is refused."""
        found = [value for key, value in self.headers if key.lower() == name]
        if len(found) > 1:
            raise InvalidRequestError(f"The header {name.decode()} is sent more than once.")
        return found[0] if found else None


Authenticate = Callable[[Call, Form], Awaitable[OAuthClient]]
"""Returns the client that proved who it is; raises an OAuth2Error where none did. An app without
a proof of its own (`auth_method` none) is returned as well: its grant has to demand one.
"""


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a token by a client that is known, active, and may use this grant."""

    client: OAuthClient
    form: Form
    call: Call

    @property
    def now(self) -> float:
        return self.call.now

    def needed(self, name: str) -> str:
        """Return a parameter that has to be there."""
        value = self.form.get(name, "")
        if not value:
            raise InvalidRequestError(f"The parameter {name} is missing.")
        return value


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant gives: the rights of the access token, and further members of the answer."""

    rights: Rights
    more: dict[str, str] = {}


Grant = Callable[[TokenRequest], Awaitable[Granted]]
Confirm = Callable[[TokenRequest], Awaitable[Mapping[str, str]]]
"""Returns members of `cnf` that bind the token to what the caller holds; none where it holds
nothing. Raises an OAuth2Error for a proof that does not hold.
"""


class TokenServer(msgspec.Struct, frozen=True, kw_only=True):
    """The token endpoint. `grants` says how each grant_type is answered, `issuer` which keys sign
    now.
    """

    authenticate: Authenticate
    issuer: Callable[[], TokenIssuer]
    grants: Mapping[str, Grant]
    confirm: tuple[Confirm, ...] = ()

    async def answer(self, call: Call) -> Reply:
        """Answer with a token, or with an error of RFC 6749 5.2."""
        client = ""
        try:
            form = read_form(call)
            grant_type = _needed_grant_type(form)
            known = await self.authenticate(call, form)
            client = known.client_id
            grant = self._grant(grant_type, known)
            request = TokenRequest(client=known, form=form, call=call)
            return await self._issued(request, await grant(request))
        except OAuth2Error as error:
            return refused(error, client=client)

    def _grant(self, grant_type: str, client: OAuthClient) -> Grant:
        grant = self.grants.get(grant_type)
        if grant is None:
            raise UnsupportedGrantTypeError(grant_type)
        if grant_type not in client.grant_types:
            raise UnauthorizedClientError
        return grant

    async def _issued(self, request: TokenRequest, granted: Granted) -> Reply:
        cnf: dict[str, str] = {}
        for confirm in self.confirm:
            cnf |= await confirm(request)
        if granted.rights.cnf and not cnf:
            raise InvalidRequestError("Show that you hold the key that the token is bound to.")
        rights = msgspec.structs.replace(granted.rights, cnf=cnf)
        issuer = self.issuer()
        token: dict[str, str | int] = {
            "access_token": issuer.signed(rights, request.now),
            "token_type": "DPoP" if "jkt" in cnf else "Bearer",
            "expires_in": issuer.lifetime_of(rights),
            "scope": " ".join(rights.scopes),
        }
        return answered({**token, **granted.more}, client=request.client.client_id)


def read_form(call: Call) -> dict[str, str]:
    """Return the parameters of a call; raises InvalidRequestError for what is not a plain form."""
    kind = (call.header(b"content-type") or b"").split(b";")[0].strip().lower()
    if kind != _FORM:
        raise InvalidRequestError("The body is application/x-www-form-urlencoded.")
    if call.query:
        raise InvalidRequestError("Parameters are sent in the body, never in the address.")
    if len(call.body) > _LONGEST_BODY:
        raise InvalidRequestError("The body is too long.")
    try:
        pairs = parse_qsl(call.body.decode(), max_num_fields=_MOST_PARAMETERS, errors="strict")
    except ValueError as exc:
        raise InvalidRequestError("The body cannot be read.") from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequestError("A parameter is sent more than once.")
    return form


def granted_scopes(owned: Iterable[str], asked: str | None) -> tuple[str, ...]:
    """Return what was asked for, or all there is where nothing in particular was.

    Asking for more is refused, never silently narrowed (RFC 6749 3.3).
    """
    known = tuple(owned)
    wanted = known if asked is None else tuple(dict.fromkeys(asked.split(" ")))
    if not wanted or not set(wanted) <= set(known):
        raise InvalidScopeError
    return wanted


async def client_credentials(request: TokenRequest) -> Granted:
    """Grant a client what it owns (RFC 6749 4.4)."""
    if request.client.auth_method == "none":
        raise UnauthorizedClientError
    scopes = granted_scopes(request.client.scopes, request.form.get("scope"))
    return Granted(rights=own_rights(request.client, scopes))


GRANTS: Mapping[str, Grant] = {CLIENT_CREDENTIALS: client_credentials}
"""The grants that need nothing but the client."""


def _needed_grant_type(form: Form) -> str:
    if "grant_type" not in form:
        raise InvalidRequestError("The parameter grant_type is missing.")
    return form["grant_type"]
