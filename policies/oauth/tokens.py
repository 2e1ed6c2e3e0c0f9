"""Access tokens: JWTs of type at+jwt (RFC 9068), signed with ES256 and nothing else (RFC 8725)."""

import hashlib
import secrets
from collections.abc import Callable

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from canonical.errors import Unauthenticated
from canonical.request import DataClass, Principal
from policies.oauth.clients import OAuthClient
from policies.oauth.keys import SigningKeys

_ALGORITHM = "ES256"
_TYPES = ("at+jwt", "application/at+jwt")
_SKEW = 5.0
"""Seconds by which the clocks of two replicas may differ when a token is young."""


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of RFC 9068 2.2, and what the client is limited to."""

    iss: str
    aud: str
    sub: str
    client_id: str
    scope: str
    iat: int
    exp: int
    jti: str
    nbf: int | None = None
    facilities: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ()
    purpose: str = ""
    sla: str = "standard"


class TokenIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """What issues tokens. A token lives for `lifetime_seconds`."""

    keys: SigningKeys
    issuer: str
    audience: str
    lifetime_seconds: int = 600

    def issue(self, client: OAuthClient, scopes: tuple[str, ...], now: float) -> str:
        claims = AccessClaims(
            iss=self.issuer,
            aud=self.audience,
            sub=client.client_id,
            client_id=client.client_id,
            scope=" ".join(scopes),
            iat=int(now),
            exp=int(now) + self.lifetime_seconds,
            jti=secrets.token_urlsafe(16),
            facilities=client.facilities,
            roles=client.roles,
            data_classes=client.data_classes,
            sla=client.sla,
        )
        header = {"alg": _ALGORITHM, "typ": _TYPES[0], "kid": self.keys.signing_id}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, self.keys.signing, [_ALGORITHM])


class _Seen(msgspec.Struct, frozen=True):
    principal: Principal
    at: float


def _never(_: Principal) -> bool:
    return False


_claims = msgspec.json.Decoder(AccessClaims)


class TokenVerifier:
    """Checks tokens, and remembers the good ones for `max_age` seconds under their SHA-256.

    A remembered token is still refused once it has expired or `is_revoked` says so; new keys make
    everything forgotten. Nothing is remembered of a bad token, so that nobody can fill the memory.
    """

    def __init__(
        self,
        keys: SigningKeys,
        *,
        issuer: str,
        audience: str,
        is_revoked: Callable[[Principal], bool] = _never,
        max_age: float = 60.0,
        capacity: int = 50_000,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._is_revoked = is_revoked
        self._max_age = max_age
        self._capacity = capacity
        self._seen: dict[bytes, _Seen] = {}

    def use(self, keys: SigningKeys) -> None:
        """Verify with another key set from now on."""
        self._keys = keys
        self._seen.clear()

    def verify(self, token: bytes, now: float) -> Principal:
        """Return whom the token stands for; raise Unauthenticated when it stands for nobody."""
        digest = hashlib.sha256(token).digest()
        seen = self._seen.get(digest)
        if seen is None or not 0 <= now - seen.at < self._max_age:
            self._seen.pop(digest, None)
            seen = _Seen(self._principal(token, now), now)
            if len(self._seen) >= self._capacity:
                del self._seen[next(iter(self._seen))]  # the oldest
            self._seen[digest] = seen
        principal = seen.principal
        if principal.expires <= now:
            raise Unauthenticated("the access token has expired", fix="ask for a new one")
        if self._is_revoked(principal):
            raise Unauthenticated("the access token was revoked", fix="ask for a new one")
        return principal

    def _principal(self, token: bytes, now: float) -> Principal:
        claims = self._signed_claims(token)
        if claims.iss != self._issuer or claims.aud != self._audience:
            raise Unauthenticated("the access token was not issued for this gateway")
        if max(claims.nbf or 0, claims.iat) > now + _SKEW:
            raise Unauthenticated("the access token is not valid yet")
        if claims.exp <= now:
            raise Unauthenticated("the access token has expired", fix="ask for a new one")
        return Principal(
            client=claims.client_id,
            scopes=frozenset(claims.scope.split()),
            token_id=claims.jti,
            expires=float(claims.exp),
            subject="" if claims.sub == claims.client_id else claims.sub,
            facilities=frozenset(claims.facilities),
            roles=frozenset(claims.roles),
            data_classes=frozenset(claims.data_classes),
            purpose=claims.purpose,
            sla=claims.sla,
        )

    def _signed_claims(self, token: bytes) -> AccessClaims:
        """Trust the header for nothing but the choice among our own keys."""
        try:
            found = jws.extract_compact(token)
            header = found.headers()
            kid, kind = header.get("kid"), header.get("typ")
            key = self._keys.verifying(kid) if isinstance(kid, str) else None
            if key is None or not isinstance(kind, str) or kind.lower() not in _TYPES:
                raise Unauthenticated("the access token is none of ours")
            if not jws.validate_compact(found, key, [_ALGORITHM]):
                raise Unauthenticated("the signature of the access token is wrong")
            return _claims.decode(found.payload)
        except (JoseError, msgspec.MsgspecError, ValueError) as exc:
            raise Unauthenticated("the access token cannot be read") from exc
