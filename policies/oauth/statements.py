"""Software statements: what somebody we trust says of a client that registers (RFC 7591 2.3).

A statement is a JWT of a configured issuer, good for minutes and once: whoever finds one later can
do nothing with it.
"""

import hashlib
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from policies.oauth.assertions import ALGORITHMS, SMUGGLED, FindKey, UseOnce
from policies.oauth.clients import PublicKey
from policies.oauth.refusals import (
    InvalidSoftwareStatementError,
    UnapprovedSoftwareStatementError,
)

_LONGEST = 16_384
_LONGEST_LIFE = 3600.0
_LONGEST_ID = 256
_SKEW = 5.0
_TYPES = ("JWT", "software-statement+jwt")


class StatementIssuer(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """Somebody whose statements count. Its keys are at `jwks-uri` (https), or in `jwks`."""

    issuer: str
    jwks_uri: str = ""
    jwks: tuple[PublicKey, ...] = ()

    def __post_init__(self) -> None:
        if not self.jwks and not self.jwks_uri.startswith("https://"):
            raise ValueError("an issuer of statements needs jwks, or an https address in jwks-uri")


class _Said(msgspec.Struct, frozen=True):
    iss: str
    jti: str
    iat: float
    exp: float
    aud: str | tuple[str, ...] | None = None


_said = msgspec.json.Decoder(_Said)


class Statements(msgspec.Struct, frozen=True, kw_only=True):
    """Checks statements. Where `aud` is in one, it has to be among `audiences`."""

    issuers: tuple[StatementIssuer, ...]
    audiences: tuple[str, ...]
    find_key: FindKey
    use_once: UseOnce

    async def checked(self, statement: str, now: float) -> dict[str, msgspec.Raw]:
        """Return the claims of a good statement; raise one of the two errors for it."""
        if len(statement) > _LONGEST:
            raise InvalidSoftwareStatementError("The statement is too long.")
        try:
            found = jws.extract_compact(statement.encode())
            said = _said.decode(found.payload)
            issuer = self._issuer(said.iss)
            kid, algorithm = _chosen(found.headers())
            key = await self.find_key(issuer, kid, algorithm)
            if key is None or not jws.validate_compact(found, key, [algorithm]):
                raise InvalidSoftwareStatementError("The signature is not the issuer's.")
            claims = msgspec.json.decode(found.payload, type=dict[str, msgspec.Raw])
            self._check_audience(said)
        except (JoseError, msgspec.MsgspecError, ValueError) as exc:
            raise InvalidSoftwareStatementError("The statement cannot be read.") from exc
        _check_times(said, now)
        await self._check_first_use(said)
        return claims

    def _issuer(self, name: str) -> StatementIssuer:
        for issuer in self.issuers:
            if issuer.issuer == name:
                return issuer
        raise UnapprovedSoftwareStatementError("Statements of this issuer do not count here.")

    def _check_audience(self, said: _Said) -> None:
        if said.aud is None:
            return
        named = (said.aud,) if isinstance(said.aud, str) else said.aud
        if not set(named) & set(self.audiences):
            raise InvalidSoftwareStatementError("The statement is for another server.")

    async def _check_first_use(self, said: _Said) -> None:
        if not 0 < len(said.jti) <= _LONGEST_ID:
            raise InvalidSoftwareStatementError("The statement needs a jti of 1 to 256 characters.")
        name = hashlib.sha256(f"{said.iss}\0{said.jti}".encode()).hexdigest()
        if not await self.use_once(f"statement:{name}", said.exp + _SKEW):
            raise InvalidSoftwareStatementError("The statement was used before.")


def _chosen(header: dict[str, Any]) -> tuple[str, str]:
    kid, algorithm = header.get("kid"), header.get("alg")
    plain = not (SMUGGLED | {"jku"}) & header.keys() and header.get("typ", "JWT") in _TYPES
    if not plain or not isinstance(kid, str) or algorithm not in ALGORITHMS:
        raise InvalidSoftwareStatementError("The header of the statement is not one we take.")
    return kid, str(algorithm)


def _check_times(said: _Said, now: float) -> None:
    if said.iat > now + _SKEW or said.exp <= now:
        raise InvalidSoftwareStatementError("The statement is not good yet, or no more.")
    if said.exp - said.iat > _LONGEST_LIFE:
        raise InvalidSoftwareStatementError("A statement is good for an hour at most.")
