"""What the routes of the authorization server are given."""

from collections.abc import Callable

import msgspec
from litestar.types import Scope

from canonical.clock import Clock
from gateway.sign_in.desk import Desk
from policies.oauth.introspection import Introspection, Revocation
from policies.oauth.keys import SigningKeys
from policies.oauth.live_keys import LiveKeys
from policies.oauth.registration import Registration
from policies.oauth.server import TokenServer
from policies.oauth.tokens import TokenIssuer, TokenVerifier


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """Keys and issuer of this server's tokens, who may have them, and how they end.

    `registration` is None where nobody may register.
    """

    live_keys: LiveKeys
    issuer_now: Callable[[], TokenIssuer]
    verifier: TokenVerifier
    tokens: TokenServer
    desk: Desk
    introspection: Introspection
    revocation: Revocation
    registration: Registration | None
    url: str
    clock: Clock
    certificate_of: Callable[[Scope], bytes | None]

    @property
    def keys(self) -> SigningKeys:
        return self.live_keys.current

    @property
    def issuer(self) -> TokenIssuer:
        """What issues tokens now: its key may be another one in a moment."""
        return self.issuer_now()
