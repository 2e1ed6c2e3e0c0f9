"""Access tokens: JWTs of type at+jwt (RFC 9068), signed with ES256 and nothing else (RFC 8725)."""

import hashlib
import secrets
from collections.abc import Callable, Iterator

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from canonical.errors import Unauthenticated
from canonical.request import DataClass, Principal
from policies.oauth.clients import OAuthClient
from policies.oauth.confirmation import bound_to
from policies.oauth.keys import SigningKeys

_ALGORITHM = "ES256"
_TYPES = ("at+jwt", "application/at+jwt")
_SKEW = 5.0
"""Seconds by which the clocks of two replicas may differ when a token is young."""


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acts, and for whom that one acted in turn: the claim `act` of RFC 8693 4.1."""

    sub: str
    act: "Actor | None" = None


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What a token shall stand for. `subject` is the person (or system) that `client` speaks for,
    '' where it speaks for itself. `lineage` are the ids of what the token came from: whoever
    revokes one of them revokes this token too. `cnf` says what proves its possession (RFC 7800).
    """

    client: str
    scopes: tuple[str, ...]
    subject: str = ""
    facilities: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ()
    purpose: str = ""
    sla: str = "standard"
    lifetime_seconds: int | None = None
    lineage: tuple[str, ...] = ()
    act: Actor | None = None
    cnf: dict[str, str] = {}


def own_rights(client: OAuthClient, scopes: tuple[str, ...]) -> Rights:
    """Return what a client may do in its own name."""
    return Rights(
        client=client.client_id,
        scopes=scopes,
        facilities=client.facilities,
        roles=client.roles,
        data_classes=client.data_classes,
        sla=client.sla,
    )


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
    lineage: tuple[str, ...] = ()
    act: Actor | None = None
    cnf: dict[str, str] = {}


class TokenIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """What issues tokens. A token lives for `lifetime_seconds`, or as long as its rights say where
    that is shorter.
    """

    keys: SigningKeys
    issuer: str
    audience: str
    lifetime_seconds: int = 600

    def issue(self, client: OAuthClient, scopes: tuple[str, ...], now: float) -> str:
        """Return a token by which a client acts in its own name."""
        return self.signed(own_rights(client, scopes), now)

    def lifetime_of(self, rights: Rights) -> int:
        """Return for how many seconds a token with these rights is good."""
        asked = rights.lifetime_seconds
        return self.lifetime_seconds if asked is None else min(asked, self.lifetime_seconds)

    def signed(self, rights: Rights, now: float) -> str:
        """Return a token that stands for these rights."""
        claims = AccessClaims(
            iss=self.issuer,
            aud=self.audience,
            sub=rights.subject or rights.client,
            client_id=rights.client,
            scope=" ".join(rights.scopes),
            iat=int(now),
            exp=int(now) + self.lifetime_of(rights),
            jti=secrets.token_urlsafe(16),
            facilities=rights.facilities,
            roles=rights.roles,
            data_classes=rights.data_classes,
            purpose=rights.purpose,
            sla=rights.sla,
            lineage=rights.lineage,
            act=rights.act,
            cnf=rights.cnf,
        )
        header = {"alg": _ALGORITHM, "typ": _TYPES[0], "kid": self.keys.signing_id}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, self.keys.signing, [_ALGORITHM])


class _Seen(msgspec.Struct, frozen=True):
    principal: Principal
    at: float


def _never(_: Principal) -> bool:
    return False


def _no_others() -> SigningKeys | None:
    return None


_claims = msgspec.json.Decoder(AccessClaims)


class TokenVerifier:
    """Checks tokens, and remembers the good ones for `max_age` seconds under their SHA-256.

    A remembered token is still refused once it has expired or `is_revoked` says so; new keys make
    everything forgotten. Nothing is remembered of a bad token, so that nobody can fill the memory.
    Where a token names a key that is not known, `other_keys` is asked once whether there are new
    ones by now.
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
        self.other_keys: Callable[[], SigningKeys | None] = _no_others

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
            seen = _Seen(self._principal(self._signed_claims(token), now), now)
            if len(self._seen) >= self._capacity:
                del self._seen[next(iter(self._seen))]  # the oldest
            self._seen[digest] = seen
        self._still_good(seen.principal, now)
        return seen.principal

    def claims(self, token: bytes, now: float) -> AccessClaims:
        """Return all that a good token says; raise Unauthenticated where `verify` does."""
        claims = self._signed_claims(token)
        self._still_good(self._principal(claims, now), now)
        return claims

    def _still_good(self, principal: Principal, now: float) -> None:
        if principal.expires <= now:
            raise Unauthenticated("the access token has expired", fix="ask for a new one")
        if self._is_revoked(principal):
            raise Unauthenticated("the access token was revoked", fix="ask for a new one")

    def _principal(self, claims: AccessClaims, now: float) -> Principal:
        if claims.iss != self._issuer or claims.aud != self._audience:
            raise Unauthenticated("the access token was not issued for this gateway")
        if max(claims.nbf or 0, claims.iat) > now + _SKEW:
            raise Unauthenticated("the access token is not valid yet")
        if claims.exp <= now:
            raise Unauthenticated("the access token has expired", fix="ask for a new one")
        key, certificate = bound_to(claims.cnf)
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
            issued=float(claims.iat),
            lineage=tuple(_origins(claims)),
            key=key,
            certificate=certificate,
        )

    def _signed_claims(self, token: bytes) -> AccessClaims:
        """Trust the header for nothing but the choice among our own keys."""
        try:
            found = jws.extract_compact(token)
            header = found.headers()
            kid, kind = header.get("kid"), header.get("typ")
            key = self._key(kid) if isinstance(kid, str) else None
            if key is None or not isinstance(kind, str) or kind.lower() not in _TYPES:
                raise Unauthenticated("the access token is none of ours")
            if not jws.validate_compact(found, key, [_ALGORITHM]):
                raise Unauthenticated("the signature of the access token is wrong")
            return _claims.decode(found.payload)
        except (JoseError, msgspec.MsgspecError, ValueError) as exc:
            raise Unauthenticated("the access token cannot be read") from exc

    def _key(self, kid: str) -> ECKey | None:
        key = self._keys.verifying(kid)
        if key is None and (newer := self.other_keys()) is not None:
            self.use(newer)
            key = newer.verifying(kid)
        return key


def _origins(claims: AccessClaims) -> Iterator[str]:
    """Name what this token came from: ids of tokens and sessions, and everybody who acted."""
    yield from claims.lineage
    actor = claims.act
    while actor is not None:
        yield actor.sub
        actor = actor.act
