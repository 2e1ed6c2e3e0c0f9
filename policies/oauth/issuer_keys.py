"""The keys of another issuer: found by OpenID Connect discovery, kept, asked for again.

Nobody waits for an issuer that is away as long as its keys are known and not too old. A token under
an unknown key makes us ask, but no crowd of such tokens makes us ask more often.
"""

import asyncio
import logging
import math
from typing import NamedTuple

import httpx
import msgspec
from joserfc.errors import JoseError

from canonical.errors import IssuerUnavailable
from policies.oauth.issuer_settings import ExternalIssuer, is_safe
from policies.oauth.public_keys import Jwk, PublicKey, public_key

_log = logging.getLogger("suture.issuers")
_MOST_KEYS = 100
_DISCOVERY = "/.well-known/openid-configuration"


class _Discovered(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[dict[str, msgspec.Raw]]


class IssuerKey(NamedTuple):
    """A public key, and the one algorithm it is for ('' where its owner does not say)."""

    key: PublicKey
    algorithm: str


_discovered = msgspec.json.Decoder(_Discovered)
_key_set = msgspec.json.Decoder(_KeySet)


class IssuerKeys:
    """What is known of an issuer's keys. `generation` changes when they do."""

    def __init__(self, issuer: ExternalIssuer, http: httpx.AsyncClient) -> None:
        self._issuer = issuer
        self._http = http
        self._keys: dict[str, IssuerKey] = {}
        self._fetched = -math.inf
        self._tried = -math.inf
        self._failing = False
        self._asking: asyncio.Task[None] | None = None
        self.generation = 0

    async def find(self, kid: str, now: float) -> IssuerKey | None:
        """Return the key of this id, None where the issuer has no such key.

        Raises IssuerUnavailable where it cannot be asked, or not again so soon.
        """
        if now - self._fetched > self._issuer.outage_seconds:
            await self._asked(now)
            if now - self._fetched > self._issuer.outage_seconds:
                raise self._unavailable(now)
        found = self._keys.get(kid)
        if found is None:
            await self._asked(now)
            found = self._keys.get(kid)
            if found is None and self._failing:
                raise self._unavailable(now)
        elif now - self._fetched > self._issuer.refresh_seconds and self._may_ask(now):
            self._ask(now)
        return found

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _may_ask(self, now: float) -> bool:
        return self._asking is None and not 0 <= now - self._tried < self._issuer.refetch_seconds

    def _ask(self, now: float) -> "asyncio.Task[None]":
        self._tried = now
        self._asking = asyncio.create_task(self._fetch(now), name=f"issuer {self._issuer.name}")
        return self._asking

    async def _asked(self, now: float) -> None:
        """Wait for an answer: for the one that is on its way, where there is one."""
        asking = self._ask(now) if self._may_ask(now) else self._asking
        if asking is not None:
            await asyncio.shield(asking)

    async def _fetch(self, now: float) -> None:
        try:
            keys = await self._read_keys()
        except (httpx.HTTPError, msgspec.MsgspecError, TimeoutError, ValueError) as exc:
            self._failing = True
            _log.warning("issuer %s: no keys (%s)", self._issuer.name, type(exc).__name__)
        else:
            self._failing, self._fetched = False, now
            if _names(keys) != _names(self._keys):
                self.generation += 1
            self._keys = keys
        finally:
            self._asking = None

    async def _read_keys(self) -> dict[str, IssuerKey]:
        async with asyncio.timeout(self._issuer.timeout_seconds):
            found = await self._http.get(self._issuer.url.rstrip("/") + _DISCOVERY)
            found.raise_for_status()
            said = _discovered.decode(found.content)
            if said.issuer != self._issuer.url or not is_safe(said.jwks_uri):
                raise ValueError("the document is of another issuer")
            answer = await self._http.get(said.jwks_uri)
            answer.raise_for_status()
        keys = dict(filter(None, map(_usable, _key_set.decode(answer.content).keys[:_MOST_KEYS])))
        if not keys:
            raise ValueError("there is no key that can be used")
        return keys

    def _unavailable(self, now: float) -> IssuerUnavailable:
        return IssuerUnavailable(
            f"the keys of the issuer {self._issuer.name} cannot be had",
            where=f"issuers.{self._issuer.name}",
            fix="try again; the administrator checks that the issuer can be reached",
            retry_after=max(1.0, self._tried + self._issuer.refetch_seconds - now),
        )


def _usable(sent: dict[str, msgspec.Raw]) -> tuple[str, IssuerKey] | None:
    """Return a key with its id; None for what is no public signing key."""
    try:
        jwk = msgspec.convert(
            {name: msgspec.json.decode(value) for name, value in sent.items()}, Jwk
        )
        kid, use, algorithm = jwk.get("kid"), jwk.get("use", "sig"), jwk.get("alg", "")
        if not isinstance(kid, str) or use != "sig" or not isinstance(algorithm, str):
            return None
        key = public_key(jwk)
    except (JoseError, msgspec.MsgspecError, ValueError):
        return None
    return None if key is None else (kid, IssuerKey(key, algorithm))


def _names(keys: dict[str, IssuerKey]) -> dict[str, str]:
    return {kid: known.key.thumbprint() for kid, known in keys.items()}
