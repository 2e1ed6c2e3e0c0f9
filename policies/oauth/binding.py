"""A token that is bound is of use only with what it is bound to: a key, or a certificate."""

from collections.abc import Iterable

from litestar.types import HTTPScope

from canonical.clock import Clock
from canonical.errors import KeyNotProven, Unauthenticated
from canonical.request import Principal
from policies.edge import Header, Presented
from policies.oauth.certificates import ClientCertificates, thumbprint
from policies.oauth.dpop import Proofs, ProvenCall


class Binding:
    """What callers are asked for besides a token."""

    def __init__(self, proofs: Proofs, certificates: ClientCertificates, clock: Clock) -> None:
        self._proofs = proofs
        self._certificates = certificates
        self._clock = clock

    async def confirm(self, scope: HTTPScope, presented: Presented) -> None:
        """Let a call through that shows what its token is bound to (RFC 9449 7.1, RFC 8705 3).

        Raises KeyNotProven, NonceNeeded, Unauthenticated, and StoreUnavailable.
        """
        principal, is_proven = presented.principal, presented.scheme == "dpop"
        if principal.certificate:
            self._confirm_certificate(scope, principal)
        if not principal.key and is_proven:
            raise Unauthenticated("the token is bound to no key", fix="send it as Bearer")
        if not principal.key:
            return
        if not is_proven:
            raise KeyNotProven("the token is bound to a key", fix="send it as DPoP, with a proof")
        sent = _proofs_in(scope["headers"])
        call = ProvenCall(scope["method"], scope["path"], sent, presented.token, presented.answer)
        if await self._proofs.key_of(call, self._clock().timestamp()) != principal.key:
            raise KeyNotProven("the token is bound to another key", where="DPoP jwk")

    def _confirm_certificate(self, scope: HTTPScope, principal: Principal) -> None:
        shown = self._certificates.of(scope)
        if shown is None or thumbprint(shown) != principal.certificate:
            raise KeyNotProven("the token is bound to another certificate", where="TLS")


def _proofs_in(headers: Iterable[Header]) -> list[bytes]:
    return [value for name, value in headers if name == b"dpop"]
