"""Assertions that clients sign to prove who they are (RFC 7523 3, SMART Backend Services).

Nothing in an assertion chooses how it is checked but its `kid`, and that only among the keys the
client registered. It is good once, for this server, for five minutes at most.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from policies.oauth.client_keys import KeySource
from policies.oauth.clients import OAuthClient
from policies.oauth.refusals import InvalidClientError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES384", "RS384", "ES256")
"""Those of SMART App Launch 2.2, and ES256."""

FindKey = Callable[[KeySource, str, str], Awaitable[ECKey | RSAKey | None]]
"""Returns the key with this `kid` that verifies this algorithm; None where there is none."""
UseOnce = Callable[[str, float], Awaitable[bool]]
"""Keeps a name until a time (seconds); returns whether it is new."""

_TYPES = ("JWT", "client-authentication+jwt")
SMUGGLED = frozenset(("crit", "b64", "zip", "cty", "jwk", "x5u", "x5c", "enc"))
"""Members of a header that bring a key, or another way of reading, along."""
_LONGEST = 8192
_LONGEST_LIFE = 300.0
_LONGEST_ID = 256
_SKEW = 5.0


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | tuple[str, ...]
    exp: float
    jti: str
    iat: float | None = None
    nbf: float | None = None


_claims = msgspec.json.Decoder(_Claims)


class Assertions(msgspec.Struct, frozen=True, kw_only=True):
    """Checks assertions. `audiences` are what may be meant with this server: its issuer, and the
    address of its token endpoint.
    """

    audiences: tuple[str, ...]
    find_key: FindKey
    use_once: UseOnce

    async def check(self, assertion: str, client: OAuthClient, now: float) -> None:
        """Raise InvalidClientError unless the client signed this, for us, now and only once."""
        try:
            found = jws.extract_compact(assertion.encode())
            claims = _claims.decode(found.payload)
            kid, algorithm = _chosen(found.headers(), client)
            key = await self.find_key(client, kid, algorithm)
            if key is None or not jws.validate_compact(found, key, [algorithm]):
                raise InvalidClientError
        except (JoseError, msgspec.MsgspecError, ValueError) as exc:
            raise InvalidClientError from exc
        if not self._is_for_us(claims, client) or not _is_timely(claims, now):
            raise InvalidClientError
        if not 0 < len(claims.jti) <= _LONGEST_ID or not await self._is_new(claims):
            raise InvalidClientError

    def _is_for_us(self, claims: _Claims, client: OAuthClient) -> bool:
        audience = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        own = claims.iss == claims.sub == client.client_id
        return own and len(audience) == 1 and audience[0] in self.audiences

    async def _is_new(self, claims: _Claims) -> bool:
        name = hashlib.sha256(f"{claims.iss}\0{claims.jti}".encode()).hexdigest()
        return await self.use_once(f"assertion:{name}", claims.exp + _SKEW)


def claimed_client(assertion: str) -> str:
    """Return who an assertion says it is of, '' where it says nothing. Nothing is proved by it."""
    if len(assertion) > _LONGEST:
        return ""
    try:
        return _claims.decode(jws.extract_compact(assertion.encode()).payload).iss
    except (JoseError, msgspec.MsgspecError, ValueError):
        return ""


def _chosen(header: dict[str, Any], client: OAuthClient) -> tuple[str, str]:
    """Return key id and algorithm of a header that asks for nothing else."""
    kid, algorithm = header.get("kid"), header.get("alg")
    plain = not SMUGGLED & header.keys() and header.get("typ", "JWT") in _TYPES
    own_address = header.get("jku", client.jwks_uri) == client.jwks_uri
    if not plain or not own_address or not isinstance(kid, str) or algorithm not in ALGORITHMS:
        raise InvalidClientError
    return kid, str(algorithm)


def _is_timely(claims: _Claims, now: float) -> bool:
    begins = max(claims.iat or 0.0, claims.nbf or 0.0)
    return begins <= now + _SKEW and now < claims.exp <= now + _LONGEST_LIFE + _SKEW
