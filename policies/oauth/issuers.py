"""Whose tokens are taken: our own, and those of the issuers that gateway.toml names.

The `iss` of a token chooses the issuer before anything of it is believed; that issuer's keys, types
and audience then decide alone. No token is tried with a second issuer.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx
import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from canonical.errors import Forbidden, Unauthenticated
from canonical.request import Principal
from policies.oauth.confirmation import bound_to
from policies.oauth.issuer_keys import IssuerKeys
from policies.oauth.issuer_settings import ExternalIssuer, granted

_SKEW = 5.0
_MAX_AGE = 60.0
_CAPACITY = 50_000
_LONGEST_NAME = 256


class _Named(msgspec.Struct, frozen=True):
    iss: str


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    typ: str
    crit: list[str] | None = None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str | list[str]
    sub: str
    exp: float
    iat: float = 0.0
    nbf: float = 0.0
    jti: str = ""
    client_id: str = ""
    azp: str = ""
    cnf: dict[str, str] = {}


class _Seen(NamedTuple):
    principal: Principal
    at: float
    generation: int


_named = msgspec.json.Decoder(_Named)
_header = msgspec.json.Decoder(_Header)
_claims = msgspec.json.Decoder(_Claims)
_all_claims = msgspec.json.Decoder(dict[str, object])


class Issuers:
    """Every issuer there is. Calling it checks a token of any of them."""

    def __init__(
        self,
        own: Callable[[bytes, float], Principal],
        external: tuple[ExternalIssuer, ...],
        http: httpx.AsyncClient,
    ) -> None:
        self._own = own
        self._external = {
            issuer.url: ExternalVerifier(issuer, IssuerKeys(issuer, http)) for issuer in external
        }

    async def verify(self, token: bytes, now: float) -> Principal:
        """Return whom the token stands for; raise Unauthenticated when it stands for nobody."""
        if self._external:
            verifier = self._external.get(_said_issuer(token))
            if verifier is not None:
                return await verifier.verify(token, now)
        return self._own(token, now)

    async def aclose(self) -> None:
        for verifier in self._external.values():
            await verifier.keys.aclose()


class ExternalVerifier:
    """Checks tokens of one other issuer; good ones are remembered as our own are."""

    def __init__(self, issuer: ExternalIssuer, keys: IssuerKeys) -> None:
        self._issuer = issuer
        self.keys = keys
        self._types = frozenset(_plain_type(kind) for kind in issuer.types)
        self._registry = jws.JWSRegistry(algorithms=issuer.algorithms, strict_check_header=False)
        self._registry.max_header_length = 4096  # some send their certificates along
        self._seen: dict[bytes, _Seen] = {}

    async def verify(self, token: bytes, now: float) -> Principal:
        digest = hashlib.sha256(token).digest()
        seen = self._seen.get(digest)
        if seen is None or not self._holds(seen, now):
            self._seen.pop(digest, None)
            seen = _Seen(await self._principal(token, now), now, self.keys.generation)
            if len(self._seen) >= _CAPACITY:
                del self._seen[next(iter(self._seen))]  # the oldest
            self._seen[digest] = seen
        if seen.principal.expires <= now:
            raise Unauthenticated("the access token has expired", fix="ask for a new one")
        return seen.principal

    def _holds(self, seen: _Seen, now: float) -> bool:
        return 0 <= now - seen.at < _MAX_AGE and seen.generation == self.keys.generation

    async def _principal(self, token: bytes, now: float) -> Principal:
        payload = await self._signed(token, now)
        try:
            claims, everything = _claims.decode(payload), _all_claims.decode(payload)
        except msgspec.MsgspecError as exc:
            raise Unauthenticated("the access token cannot be read") from exc
        self._check(claims, now)
        return self._known_as(claims, everything, token)

    async def _signed(self, token: bytes, now: float) -> bytes:
        try:
            found = jws.extract_compact(token, registry=self._registry)
            header = _header.decode(_unpadded(token.partition(b".")[0]))
            if header.alg not in self._issuer.algorithms or header.crit is not None:
                raise Unauthenticated("the access token is signed another way")
            if _plain_type(header.typ) not in self._types:
                raise Unauthenticated("this is no access token")
            known = await self.keys.find(header.kid, now)
            if known is None or known.algorithm not in ("", header.alg):
                raise Unauthenticated("the issuer of the access token has no such key")
            if not jws.validate_compact(found, known.key, [header.alg], self._registry):
                raise Unauthenticated("the signature of the access token is wrong")
        except (JoseError, msgspec.MsgspecError, ValueError) as exc:
            raise Unauthenticated("the access token cannot be read") from exc
        return bytes(found.payload)

    def _check(self, claims: _Claims, now: float) -> None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != self._issuer.url or self._issuer.audience not in audiences:
            raise Unauthenticated("the access token was not issued for this gateway")
        if max(claims.nbf, claims.iat) > now + _SKEW:
            raise Unauthenticated("the access token is not valid yet")
        if claims.exp <= now:
            raise Unauthenticated("the access token has expired", fix="ask for a new one")

    def _known_as(
        self, claims: _Claims, everything: Mapping[str, object], token: bytes
    ) -> Principal:
        client = claims.client_id or claims.azp or claims.sub
        names = (client, claims.sub, claims.jti)
        if not client or any(len(n) > _LONGEST_NAME or not n.isprintable() for n in names):
            raise Unauthenticated("the access token names nobody")
        given = granted(self._issuer.grants, everything)
        if not given.scopes or not (given.facilities or given.every_facility):
            raise Forbidden(
                f"no grant of the issuer {self._issuer.name} fits this token",
                where=f"issuers.{self._issuer.name}.grants",
                fix="the administrator grants a claim of this token scopes and facilities",
            )
        name, bound = self._issuer.name, bound_to(claims.cnf)
        return Principal(
            client=f"{name}:{client}",
            scopes=frozenset(given.scopes),
            token_id=f"{name}:{claims.jti or hashlib.sha256(token).hexdigest()[:22]}",
            expires=claims.exp,
            subject="" if claims.sub == client else f"{name}:{claims.sub}",
            facilities=frozenset() if given.every_facility else frozenset(given.facilities),
            roles=frozenset(given.roles),
            data_classes=frozenset(given.data_classes),
            sla=self._issuer.sla,
            key=bound.key,
            certificate=bound.certificate,
        )


def _said_issuer(token: bytes) -> str:
    """Read who is said to have issued a token; '' where nothing is said that can be read."""
    try:
        return _named.decode(_unpadded(token.split(b".", 2)[1])).iss
    except (IndexError, binascii.Error, msgspec.MsgspecError):
        return ""


def _unpadded(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def _plain_type(kind: str) -> str:
    return kind.lower().removeprefix("application/")
