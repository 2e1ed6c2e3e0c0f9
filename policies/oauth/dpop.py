"""Proofs of possession (RFC 9449): a caller shows, in each call, that it has the key of its token.

A proof holds for one method and one address, for a short while, and once. The address is compared
with the configured one, never with what a proxy says of it.
"""

import base64
import hashlib
import hmac
import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from canonical.errors import KeyNotProven, NonceNeeded
from policies.oauth.proof_memory import Epoch, ProofMemory
from policies.oauth.public_keys import Jwk, PublicKey, public_key

ALGORITHMS = ("ES256", "ES384", "Ed25519", "PS256", "RS256")
_SKEW = 5.0
"""Seconds by which a caller's clock may be ahead of ours."""
_LONGEST_PROOF = 4096
_MOST_KEYS = 10_000
_PORTS = {"https": 443, "http": 80}


class DpopSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """A proof is taken for `proof_seconds`. With `nonces` each one has to carry a nonce of ours,
    which is good for `nonce_seconds`.
    """

    proof_seconds: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0
    nonces: bool = False
    nonce_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 300.0


class ProvenCall(NamedTuple):
    """What a proof has to fit: method, path as it is routed, and the token; `sent` are all headers
    named DPoP, and `answer` those of the answer.
    """

    method: str
    path: str
    sent: Sequence[bytes]
    token: bytes | None
    answer: list[tuple[bytes, bytes]]


class _Header(msgspec.Struct, frozen=True):
    typ: str
    alg: str
    jwk: Jwk
    crit: list[str] | None = None


class _Claims(msgspec.Struct, frozen=True):
    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    htm: str
    htu: str
    iat: float
    ath: str = ""
    nonce: str = ""


class _Known(NamedTuple):
    key: PublicKey
    algorithm: str
    thumbprint: str


_header = msgspec.json.Decoder(_Header)
_claims = msgspec.json.Decoder(_Claims)
_registry = jws.JWSRegistry(algorithms=ALGORITHMS)
_registry.max_header_length = 2048  # an RSA key is in it


class Proofs:
    """Checks proofs. Keys of good proofs are kept parsed: a caller shows the same one each time."""

    def __init__(self, memory: ProofMemory, url: str, settings: DpopSettings) -> None:
        self._memory = memory
        self._root = _address(url.rstrip("/"))
        self._settings = settings
        self._known: dict[bytes, _Known] = {}

    async def key_of(self, call: ProvenCall, now: float) -> str:
        """Return the thumbprint of the key that was shown.

        Raises KeyNotProven, NonceNeeded (with the nonce in the answer), and StoreUnavailable where
        a replay could not be noticed.
        """
        known, claims = self._signed(_only(call.sent))
        self._check(claims, call, now)
        name = hashlib.sha256(f"{known.thumbprint}.{claims.jti}".encode()).hexdigest()
        # Kept from the last moment at which the proof would still be taken.
        seconds = max(1.0, claims.iat + self._settings.proof_seconds - now) + 1
        first, epoch = await self._memory.claim(name, seconds, now)
        if not first:
            raise KeyNotProven("the proof was used before", where="DPoP", fix="make one each call")
        self._check_nonce(claims, call, epoch, now)
        return known.thumbprint

    def _signed(self, proof: bytes) -> tuple[_Known, _Claims]:
        try:
            found = jws.extract_compact(proof, registry=_registry)
            segment = proof.partition(b".")[0]
            known = self._known.get(segment) or _shown_key(segment)
            if not jws.validate_compact(found, known.key, [known.algorithm], _registry):
                raise KeyNotProven("the signature of the proof is wrong", where="DPoP")
            claims = _claims.decode(found.payload)
        except (JoseError, msgspec.MsgspecError, ValueError) as exc:
            raise KeyNotProven("the proof cannot be read", where="DPoP") from exc
        if segment not in self._known:
            if len(self._known) >= _MOST_KEYS:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[segment] = known
        return known, claims

    def _check(self, claims: _Claims, call: ProvenCall, now: float) -> None:
        if claims.htm != call.method:
            raise KeyNotProven("the proof is for another method", where="DPoP htm")
        scheme, host, root = self._root
        if _address(claims.htu) != (scheme, host, root + call.path):
            raise KeyNotProven(
                "the proof is for another address",
                where="DPoP htu",
                expected="the public address of this gateway with the path, without a query",
            )
        if not now - self._settings.proof_seconds < claims.iat <= now + _SKEW:
            raise KeyNotProven("the proof is too old, or from the future", where="DPoP iat")
        if call.token is not None and not hmac.compare_digest(
            claims.ath.encode(), token_hash(call.token)
        ):
            raise KeyNotProven("the proof is for another token", where="DPoP ath")

    def _check_nonce(self, claims: _Claims, call: ProvenCall, epoch: Epoch, now: float) -> None:
        """Ask for a nonce where a proof may have been used before the memory of proofs began."""
        needed = self._settings.nonces or claims.iat <= epoch.since + _SKEW
        if not needed and not claims.nonce:
            return
        age = _nonce_age(claims.nonce, epoch, now)
        is_good = age <= self._settings.nonce_seconds
        if not is_good or (self._settings.nonces and age > self._settings.nonce_seconds / 2):
            call.answer.append((b"dpop-nonce", _nonce(epoch, now)))
        if not is_good:
            raise NonceNeeded("the proof needs a nonce", where="DPoP nonce", expected="DPoP-Nonce")


def token_hash(token: bytes) -> bytes:
    """Return `ath` (RFC 9449 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token).digest()).rstrip(b"=")


def _only(sent: Sequence[bytes]) -> bytes:
    if len(sent) != 1 or not sent[0] or b"," in sent[0]:
        raise KeyNotProven("one proof is needed", where="DPoP", expected="one DPoP header")
    if len(sent[0]) > _LONGEST_PROOF:
        raise KeyNotProven("the proof is too long", where="DPoP")
    return sent[0]


def _shown_key(segment: bytes) -> _Known:
    """Read the key of a proof's header, which nobody has vouched for."""
    header = _header.decode(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    if header.typ.lower() != "dpop+jwt" or header.crit is not None:
        raise KeyNotProven("this is no proof of possession", where="DPoP typ")
    if header.alg not in ALGORITHMS:
        raise KeyNotProven(
            "the proof is signed another way", where="DPoP alg", expected=" ".join(ALGORITHMS)
        )
    key = public_key(header.jwk)
    if key is None:
        raise KeyNotProven("the key is no public key", where="DPoP jwk")
    return _Known(key, header.alg, key.thumbprint())


def _address(url: str) -> tuple[str, str, str]:
    """Return scheme, host with port, and path, as RFC 3986 6.2 makes them equal."""
    try:
        parts = urlsplit(url)
        scheme, port = parts.scheme.lower(), parts.port
    except ValueError as exc:
        raise KeyNotProven("the proof names no address", where="DPoP htu") from exc
    host = (parts.hostname or "").lower()
    if port is not None and port != _PORTS.get(scheme):
        host = f"{host}:{port}"
    if parts.username is not None or not host:
        raise KeyNotProven("the proof names no address", where="DPoP htu")
    return scheme, host, unquote(parts.path, errors="replace")


def _nonce(epoch: Epoch, now: float) -> bytes:
    made = int(now).to_bytes(8)
    return base64.urlsafe_b64encode(made + hmac.digest(epoch.key, made, "sha256")[:16])


def _nonce_age(nonce: str, epoch: Epoch, now: float) -> float:
    """Return how many seconds ago we made this nonce; endless where we did not, in this epoch."""
    try:
        made = int.from_bytes(base64.urlsafe_b64decode(nonce)[:8])
        expected = _nonce(epoch, made)
    except (ValueError, OverflowError):
        return math.inf
    is_ours = hmac.compare_digest(nonce.encode(errors="replace"), expected)
    return max(0.0, now - made) if is_ours else math.inf
