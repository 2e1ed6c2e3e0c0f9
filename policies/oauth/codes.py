"""Authorization code with PKCE (OAuth 2.1, 4.1; RFC 7636; RFC 9207; RFC 9700).

An address to return to is one that is registered, character for character; only the port of an
address of this device itself may differ (RFC 8252 7.3). Who names another one is never sent there.
The only proof is S256, and everybody needs it.
"""

import base64
import hashlib
import hmac
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from canonical.errors import InvalidRequest
from policies.oauth.clients import OAuthClient
from policies.oauth.refusals import OAuth2Error

_LONGEST_QUERY = 4096
_MOST_PARAMETERS = 20
_challenge = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_verifier = re.compile(r"[A-Za-z0-9._~-]{43,128}").fullmatch
_loopback = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::\d{1,5})?(/.*)?").fullmatch
_scheme = re.compile(r"[a-z][a-z0-9+.-]*").fullmatch
_plain_host = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?").fullmatch
_unusable = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\<>\"'`{}|^;,*]").search


class AuthorizationRequest(NamedTuple):
    """What an app asks of a person. `state` is None where none was sent."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str
    state: str | None


def parameters(query: str) -> dict[str, str]:
    """Read an address' query; what is said twice or cannot be read is refused."""
    if len(query) > _LONGEST_QUERY:
        raise InvalidRequest("the request of the app is too long", fix=_FIX)
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"
        )
    except ValueError as exc:
        raise InvalidRequest("the request of the app cannot be read", fix=_FIX) from exc
    read = dict(pairs)
    if len(read) != len(pairs):
        raise InvalidRequest("the app says one thing twice", fix=_FIX)
    return read


def redirect_target(client: OAuthClient, said: dict[str, str]) -> str:
    """Return where answers go, or refuse: nobody is sent to an address that is not registered."""
    uri = said.get("redirect_uri", "")
    if not any(_is_same(uri, known) for known in client.redirect_uris):
        raise InvalidRequest(
            "the address to return to is not registered for this app",
            where="redirect_uri",
            fix=_FIX,
        )
    return uri


def authorization_request(
    client: OAuthClient, said: dict[str, str], redirect_uri: str
) -> AuthorizationRequest:
    """Return what is asked; raises `OAuth2Error`, of which the app may be told at its address."""
    if "request" in said:
        raise OAuth2Error("Parameters are sent in the address.", error="request_not_supported")
    if "request_uri" in said:
        raise OAuth2Error("Parameters are sent in the address.", error="request_uri_not_supported")
    if "authorization_code" not in client.grant_types:
        raise OAuth2Error("This client may not ask people.", error="unauthorized_client")
    if not said.get("response_type"):
        raise OAuth2Error("The parameter response_type is missing.", error="invalid_request")
    if said["response_type"] != "code":
        raise OAuth2Error("The response type is code.", error="unsupported_response_type")
    if said.get("response_mode", "query") != "query":
        raise OAuth2Error("The response mode is query.", error="invalid_request")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        scopes=requested_scopes(client, said.get("scope")),
        challenge=_proof(said),
        state=said.get("state"),
    )


def _proof(said: dict[str, str]) -> str:
    challenge = said.get("code_challenge", "")
    if not challenge:
        raise OAuth2Error(
            "The parameter code_challenge is missing (RFC 7636).", error="invalid_request"
        )
    if said.get("code_challenge_method") != "S256":
        raise OAuth2Error("The parameter code_challenge_method is S256.", error="invalid_request")
    if not _challenge(challenge):
        raise OAuth2Error("The code_challenge is no SHA-256 in base64url.", error="invalid_request")
    return challenge


def requested_scopes(client: OAuthClient, scope: str | None) -> tuple[str, ...]:
    """Return what is asked for: all the client has when it asks for nothing in particular."""
    wanted = client.scopes if scope is None else tuple(dict.fromkeys(scope.split()))
    if not wanted or not set(wanted) <= set(client.scopes):
        raise OAuth2Error(
            "The client may not have a scope that it asks for.", error="invalid_scope"
        )
    return wanted


def proves(verifier: str, challenge: str) -> bool:
    """Say whether who shows the verifier made the challenge (RFC 7636 4.6)."""
    if not _verifier(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(made, challenge)


def answer_address(redirect_uri: str, issuer: str, state: str | None, **answer: str) -> str:
    """Return where the browser goes with an answer. `iss` says who answers (RFC 9207)."""
    said = {name: value for name, value in answer.items() if value}
    if state is not None:
        said["state"] = state
    said["iss"] = issuer
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(said)}"


def refuse_unusable(redirect_uri: str) -> None:
    """Refuse an address that may not be registered: not absolute, readable by others, or odd.

    https anywhere; http on this device itself; a scheme of an app's own, which has a dot
    (RFC 8252 7.1).
    """
    try:
        parts = urlsplit(redirect_uri)
        odd = bool(_unusable(redirect_uri) or parts.fragment or "#" in redirect_uri)
        private = parts.username is not None or parts.password is not None
    except ValueError:
        odd, private, parts = True, True, urlsplit("")
    own = "." in parts.scheme and _scheme(parts.scheme) is not None
    known = (parts.scheme == "https" and parts.hostname) or _loopback(redirect_uri) or own
    if odd or private or not known or ".." in parts.path.split("/"):
        raise InvalidRequest(
            "an address to return to cannot be used",
            where="redirectUris",
            expected="https://…, http://127.0.0.1/… or com.example.app:/…, without # or user",
        )


def origin(redirect_uri: str) -> str:
    """Return the origin of a registered address as a source of Content-Security-Policy."""
    parts = urlsplit(redirect_uri)
    if parts.scheme in ("https", "http"):
        return (
            f"{parts.scheme}://{parts.netloc}" if _plain_host(parts.netloc) else parts.scheme + ":"
        )
    return f"{parts.scheme}:" if _scheme(parts.scheme) else "'none'"


def _is_same(uri: str, known: str) -> bool:
    """Compare as text; of a loopback address, without its port."""
    if uri == known:
        return True
    one, other = _loopback(uri), _loopback(known)
    return one is not None and other is not None and one.groups() == other.groups()


_FIX = "go back to the app and start again; if it happens again, tell who runs the app"
