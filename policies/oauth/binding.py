"""A token that is bound is of use only with what it is bound to: a key, or a certificate."""

from collections.abc import Iterable, Mapping

from litestar.types import HTTPScope, Scope

from canonical.clock import Clock
from canonical.errors import KeyNotProven, NonceNeeded, Unauthenticated
from canonical.request import Principal
from policies.edge import Header, Presented
from policies.oauth.certificates import ClientCertificates, thumbprint
from policies.oauth.confirmation import CERTIFICATE, KEY
from policies.oauth.dpop import Proofs, ProvenCall
from policies.oauth.refusals import InvalidDpopProofError, InvalidRequestError, UseDpopNonceError
from policies.oauth.server import TokenRequest


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

    def certificate_of(self, scope: Scope) -> bytes | None:
        """Return the certificate (DER) that a caller showed."""
        return self._certificates.of(scope)

    async def to_a_key(self, request: TokenRequest) -> Mapping[str, str]:
        """Bind a token to the key of the proof that is sent along (RFC 9449 5)."""
        call = request.call
        sent = _proofs_in(call.headers)
        if not sent and "dpop" in request.client.binds:
            raise InvalidDpopProofError("This client's tokens are bound to a key: send a proof.")
        if not sent:
            return {}
        try:
            proven = ProvenCall("POST", call.path, sent, None, call.added)
            return {KEY: await self._proofs.key_of(proven, request.now)}
        except NonceNeeded as exc:
            raise UseDpopNonceError("The proof needs the nonce that is sent along.") from exc
        except KeyNotProven as exc:
            raise InvalidDpopProofError(f"{exc.detail} ({exc.where})") from exc

    async def to_a_certificate(self, request: TokenRequest) -> Mapping[str, str]:
        """Bind a token to the certificate of whoever is registered so (RFC 8705 3)."""
        client, shown = request.client, request.call.certificate
        if client.auth_method != "tls_client_auth" and "certificate" not in client.binds:
            return {}
        if shown is None:
            raise InvalidRequestError("This client's tokens are bound to its certificate: show it.")
        return {CERTIFICATE: thumbprint(shown)}

    def _confirm_certificate(self, scope: HTTPScope, principal: Principal) -> None:
        shown = self._certificates.of(scope)
        if shown is None or thumbprint(shown) != principal.certificate:
            raise KeyNotProven("the token is bound to another certificate", where="TLS")


def _proofs_in(headers: Iterable[Header]) -> list[bytes]:
    return [value for name, value in headers if name.lower() == b"dpop"]
