"""Token exchange (RFC 8693): a token for one hop, with less than the one it came from, never more.

Whoever exchanges acts: `act` names it, and what came of the exchange falls with what it came from.
A client may exchange its own tokens; those of others with the scope `oauth.tokens:act`, and then it
gets nothing that it may not have itself.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from canonical.errors import Unauthenticated
from canonical.request import DataClass
from policies.oauth.clients import ACT, OAuthClient
from policies.oauth.refusals import InvalidRequestError, InvalidTargetError
from policies.oauth.server import Form, Granted, TokenRequest, granted_scopes
from policies.oauth.tokens import AccessClaims, Actor, Rights

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693 3)
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_UNTAKEN = ("actor_token", "actor_token_type", "resource")
_MOST_HOPS = 4
_purpose = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}").fullmatch
_facility = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_seconds = re.compile(r"[1-9][0-9]{0,5}").fullmatch

T = TypeVar("T", bound=str)


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """Answers the grant. `claims` checks a token and returns what it says; `audiences` are the
    names under which this gateway may be asked for.
    """

    claims: Callable[[bytes, float], AccessClaims]
    audiences: tuple[str, ...]

    async def __call__(self, request: TokenRequest) -> Granted:
        """Return the rights of the new token; raise an OAuth2Error where more is wanted."""
        form, client = request.form, request.client
        _check_kinds(form, self.audiences)
        subject = self._subject(request.needed("subject_token"), request)
        if _hops(subject.act) >= _MOST_HOPS:
            raise InvalidRequestError("The token went through too many hands.")
        rights = Rights(
            client=client.client_id,
            subject="" if subject.sub == client.client_id else subject.sub,
            scopes=_scopes(subject, client, form),
            facilities=_facilities(subject, client, form),
            roles=_fewer(subject.roles, form, "roles"),
            data_classes=_classes(subject, client, form),
            purpose=_stated_purpose(subject, form),
            sla=client.sla,
            lifetime_seconds=_lifetime(subject, form, request.now),
            lineage=_lineage(subject, client),
            act=Actor(sub=client.client_id, act=subject.act),
            cnf=subject.cnf,
        )
        return Granted(rights=rights, more={"issued_token_type": ACCESS_TOKEN})

    def _subject(self, token: str, request: TokenRequest) -> AccessClaims:
        try:
            subject = self.claims(token.encode(), request.now)
        except Unauthenticated as exc:
            raise InvalidRequestError("The subject_token is not good.") from exc
        if subject.client_id != request.client.client_id and ACT not in request.client.scopes:
            raise InvalidRequestError("The subject_token is another client's.")
        return subject


def _check_kinds(form: Form, audiences: tuple[str, ...]) -> None:
    if form.get("subject_token_type") not in (ACCESS_TOKEN, _JWT):
        raise InvalidRequestError("The subject_token_type has to be that of an access token.")
    if form.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, _JWT):
        raise InvalidRequestError("Only access tokens are issued.")
    if form.get("audience", audiences[0]) not in audiences:
        raise InvalidTargetError
    untaken = [name for name in _UNTAKEN if name in form]
    if untaken:
        raise InvalidRequestError(f"The parameter {untaken[0]} is not taken here.")


def _scopes(subject: AccessClaims, client: OAuthClient, form: Form) -> tuple[str, ...]:
    both = [scope for scope in subject.scope.split() if scope in client.scopes]
    return granted_scopes(both, form.get("scope"))


def _facilities(subject: AccessClaims, client: OAuthClient, form: Form) -> tuple[str, ...]:
    """Return the facilities that both may see; no limit on either side is the other's limit."""
    both = subject.facilities or client.facilities
    if subject.facilities and client.facilities:
        both = tuple(each for each in subject.facilities if each in client.facilities)
        if not both:  # which must not be read as «every facility»
            raise InvalidRequestError("There is no facility that both may see.")
    asked = _list(form, "facilities")
    if not asked:
        return both
    if not all(_facility(each) for each in asked) or (both and not set(asked) <= set(both)):
        raise InvalidRequestError("More facilities are asked for than the token has.")
    return asked


def _classes(subject: AccessClaims, client: OAuthClient, form: Form) -> tuple[DataClass, ...]:
    asked = _fewer(subject.data_classes, form, "data_classes")
    return tuple(each for each in asked if each in client.data_classes)


def _fewer(owned: Iterable[T], form: Form, name: str) -> tuple[T, ...]:
    known = tuple(owned)
    asked = _list(form, name)
    if not asked:
        return known
    if not set(asked) <= set(known):
        raise InvalidRequestError(f"More {name} are asked for than the token has.")
    return tuple(each for each in known if each in asked)


def _list(form: Form, name: str) -> tuple[str, ...]:
    """Read names with spaces between them; '' is none that could be meant."""
    return tuple(dict.fromkeys(form[name].split(" "))) if name in form else ()


def _stated_purpose(subject: AccessClaims, form: Form) -> str:
    """Return what the token is for: stated once, and then for good."""
    asked = form.get("purpose", subject.purpose)
    if asked and not _purpose(asked):
        raise InvalidRequestError("The purpose is 1 to 64 letters, digits, dots and hyphens.")
    if subject.purpose and asked != subject.purpose:
        raise InvalidRequestError("The token is for another purpose.")
    return asked


def _lifetime(subject: AccessClaims, form: Form, now: float) -> int:
    left = max(1, subject.exp - int(now))
    asked = form.get("lifetime", str(left))
    if not _seconds(asked) or int(asked) > left:
        raise InvalidRequestError(f"The lifetime is 1 to {left} seconds.")
    return int(asked)


def _lineage(subject: AccessClaims, client: OAuthClient) -> tuple[str, ...]:
    """Name what the new token falls with: the token it came from, and whose that was."""
    origins = dict.fromkeys((subject.jti, *subject.lineage))
    if subject.client_id != client.client_id:
        origins[subject.client_id] = None
    return tuple(origins)


def _hops(act: Actor | None) -> int:
    return 0 if act is None else 1 + _hops(act.act)
