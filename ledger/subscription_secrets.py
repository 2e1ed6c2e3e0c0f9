"""What signs deliveries: made here, shown once, sealed in its subscription's row."""

import base64
import secrets
from datetime import datetime

import msgspec

from ledger.vault import Vault


class KeptSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A signing secret (`whsec_` and base64); one that was replaced still signs `until` then."""

    value: str
    until: datetime | None = None


class SecretBox:
    """Seals the secrets of a subscription for its row."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._decoder = msgspec.json.Decoder(tuple[KeptSecret, ...])

    def seal(self, subscription: str, kept: tuple[KeptSecret, ...]) -> bytes:
        return self._vault.seal(subscription, msgspec.json.encode(kept))

    def open(self, subscription: str, sealed: bytes) -> tuple[KeptSecret, ...]:
        return self._decoder.decode(self._vault.open(subscription, sealed))


def new_secret() -> str:
    """Return a fresh signing secret in the form of Standard Webhooks: 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
