"""The public keys of clients and others: registered with them, or found at an address they named.

What is found is kept for a while. A `kid` that is not among it has the address read once more, but
not again within `pause_seconds`: nobody can make us call others by inventing key ids.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import base64_to_int

from canonical.errors import InvalidRequest, UpstreamFailure
from policies.oauth.clients import PublicKey

ReadAddress = Callable[[str], Awaitable[bytes]]
"""Returns what is at an address; raises an `UpstreamFailure` where nothing can be had."""


class KeySource(Protocol):
    """Whoever has keys (a client, an issuer of statements): in hand, or at an https address."""

    @property
    def jwks(self) -> tuple[PublicKey, ...]: ...

    @property
    def jwks_uri(self) -> str: ...


_CURVES = {"ES256": "P-256", "ES384": "P-384"}
_FAMILIES = {"ES256": "EC", "ES384": "EC", "RS384": "RSA"}
_SHORTEST_RSA = 2048
_MOST_KEYS = 20
_MOST_ADDRESSES = 1000
_KEPT = ("kty", "kid", "crv", "x", "y", "n", "e", "alg", "use")
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "k", "oth"))


class _KeySet(msgspec.Struct, frozen=True):
    keys: tuple[dict[str, msgspec.Raw], ...]


_key_set = msgspec.json.Decoder(_KeySet)


class _Found(msgspec.Struct, frozen=True):
    """What was found when the address was last tried (`at`) and last answered (`told`)."""

    keys: tuple[PublicKey, ...]
    at: float
    told: float


class ClientKeys:
    """Finds the key that verifies what a client signed."""

    def __init__(
        self,
        read: ReadAddress,
        monotonic: Callable[[], float],
        *,
        fresh_seconds: float = 300.0,
        pause_seconds: float = 10.0,
        stale_seconds: float = 3600.0,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._fresh_seconds = fresh_seconds
        self._pause_seconds = pause_seconds
        self._stale_seconds = stale_seconds
        self._found: dict[str, _Found] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def find(self, of: KeySource, kid: str, algorithm: str) -> ECKey | RSAKey | None:
        """Return the key with this id, fit for this algorithm; None where there is none."""
        if not of.jwks_uri:
            return _fitting(of.jwks, kid, algorithm)
        keys = await self._at(of.jwks_uri, self._fresh_seconds)
        if not any(key.get("kid") == kid for key in keys):
            keys = await self._at(of.jwks_uri, self._pause_seconds)
        return _fitting(keys, kid, algorithm)

    async def _at(self, address: str, age: float) -> tuple[PublicKey, ...]:
        """Return what was found there at most `age` seconds ago, or what is there now."""
        async with self._reading.setdefault(address, asyncio.Lock()):
            known = self._found.get(address)
            if known is not None and self._monotonic() - known.at < age:
                return known.keys
            found = await self._read_keys(address, known)
            self._keep(address, found)
            return found.keys

    async def _read_keys(self, address: str, known: _Found | None) -> _Found:
        """Read the address; where it does not answer, what it said last counts a while longer."""
        now = self._monotonic()
        try:
            return _Found(public_keys(await self._read(address)), now, now)
        except (UpstreamFailure, InvalidRequest):
            if known is None or now - known.told >= self._stale_seconds:
                return _Found((), now, now)
            return _Found(known.keys, now, known.told)

    def _keep(self, address: str, found: _Found) -> None:
        self._found.pop(address, None)
        if len(self._found) >= _MOST_ADDRESSES:
            oldest = next(iter(self._found))
            del self._found[oldest]
            self._reading.pop(oldest, None)
        self._found[address] = found


def public_keys(text: bytes) -> tuple[PublicKey, ...]:
    """Read a JWK set (RFC 7517 5); raises `InvalidRequest` where it has no usable public key.

    Keys of other kinds are left out; a private or a shared key is a leak, and refused.
    """
    try:
        told = _key_set.decode(text).keys
    except (msgspec.MsgspecError, ValueError) as exc:
        raise _unusable("it is no JWK set") from exc
    if any(_PRIVATE & key.keys() for key in told):
        raise _unusable("it has private keys")
    if not 0 < len(told) <= _MOST_KEYS:
        raise _unusable(f"it has {len(told)} keys")
    keys = tuple(plain for key in told if (plain := _plain(key)) and _imported(plain))
    if not keys or len({key["kid"] for key in keys}) != len(keys):
        raise _unusable("no key can be used, or two have one id")
    return keys


def _plain(key: dict[str, msgspec.Raw]) -> PublicKey:
    """Return the members that count, as text; {} where one is no text or there is no id."""
    try:
        told = {name: msgspec.json.decode(key[name], type=str) for name in _KEPT if name in key}
    except msgspec.MsgspecError:
        return {}
    plain = all(value.isascii() and value.isprintable() for value in told.values())
    return told if plain and told.get("kid") and told.get("use", "sig") == "sig" else {}


def _imported(key: PublicKey) -> ECKey | RSAKey | None:
    try:
        if key["kty"] == "RSA":
            long = base64_to_int(key["n"]).bit_length() >= _SHORTEST_RSA
            return RSAKey.import_key(cast("Any", key)) if long else None
        if key["kty"] == "EC" and key["crv"] in _CURVES.values():
            return ECKey.import_key(cast("Any", key))
    except (JoseError, ValueError, KeyError):
        return None
    return None


def _fitting(keys: tuple[PublicKey, ...], kid: str, algorithm: str) -> ECKey | RSAKey | None:
    for key in keys:
        if key.get("kid") == kid and key["kty"] == _FAMILIES[algorithm]:
            found = _imported(key) if key.get("alg", algorithm) == algorithm else None
            if isinstance(found, ECKey) and found.curve_name != _CURVES[algorithm]:
                return None
            return found
    return None


def _unusable(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"the key set cannot be used: {why}",
        where="jwks",
        expected="public P-256, P-384 or RSA keys of 2048 bits and more, each with its own kid",
    )
