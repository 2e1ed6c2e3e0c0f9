"""Proofs of possession as a client makes them, and as an attacker would."""

import base64
import hashlib
import secrets
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, Key

_REGISTRY = jws.JWSRegistry(
    algorithms=["ES256", "ES384", "RS256", "PS256", "Ed25519", "HS256"], strict_check_header=False
)
_REGISTRY.max_header_length = 4096


def ath(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")


def said(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is None."""
    return {name: value for name, value in members.items() if value is not None}


def proof(key: ECKey, method: str, url: str, now: float, **changed: Any) -> str:
    """Return a proof; `header` and `claims` replace members, `signer` signs instead of the key."""
    token = changed.get("token")
    claims = {
        "jti": secrets.token_hex(8),
        "htm": method,
        "htu": url,
        "iat": int(now),
        "ath": ath(token) if token else None,
        **changed.get("claims", {}),
    }
    header = {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": key.as_dict(private=False),
        **changed.get("header", {}),
    }
    signer: Key = changed.get("signer") or key
    payload = msgspec.json.encode(said(claims))
    return jws.serialize_compact(said(header), payload, signer, registry=_REGISTRY)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a JWT without a signature."""
    parts = (base64.urlsafe_b64encode(msgspec.json.encode(part)) for part in (header, claims))
    return ".".join(part.decode().rstrip("=") for part in parts) + "."
