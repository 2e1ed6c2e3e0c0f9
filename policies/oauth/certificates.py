"""The certificate a caller showed: to our own TLS listener, or to a proxy of ours (RFC 9440).

A header is believed from the addresses of our proxies only; from anybody else it says nothing.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import unquote_to_bytes

import msgspec
from cryptography import x509
from litestar.types import Scope

from canonical.errors import Unauthenticated

Header = tuple[bytes, bytes]
SHOWN = "client_certificate"
"""Where our TLS listener puts a certificate (DER) in the state of a call."""
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_LONGEST = 16_384


class TrustedProxies(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """Proxies that end TLS before us: their networks, and the header in which they pass the
    caller's certificate on, as RFC 9440 writes it or as escaped PEM. They have to remove that
    header from what callers send.
    """

    networks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    certificate_header: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]+$")] = "client-cert"

    def __post_init__(self) -> None:
        for network in self.networks:
            ip_network(network)


class ClientCertificates:
    """Finds the certificate of a call."""

    def __init__(self, proxies: TrustedProxies | None = None) -> None:
        named = proxies.networks if proxies else ()
        self._header = proxies.certificate_header.encode() if proxies else b""
        self._networks: Sequence[IPv4Network | IPv6Network] = [ip_network(one) for one in named]

    def of(self, scope: Scope) -> bytes | None:
        """Return it as DER, checked by whoever ended TLS; None where none was shown.

        Raises Unauthenticated where a proxy of ours passes something that is no certificate.
        """
        shown: bytes | None = scope["state"].get(SHOWN)
        if shown is not None:
            return shown
        if self._is_ours(scope):
            return self._passed_on(scope["headers"])
        return None

    def _is_ours(self, scope: Scope) -> bool:
        peer = scope["client"]
        if not self._networks or not peer:
            return False
        address = ip_address(peer[0])
        return any(address in network for network in self._networks)

    def _passed_on(self, headers: Iterable[Header]) -> bytes | None:
        found = [value for name, value in headers if name == self._header]
        if not found or found == [b""]:
            return None
        if len(found) > 1 or len(found[0]) > _LONGEST:
            raise Unauthenticated("one client certificate is passed on", where="client certificate")
        value = found[0]
        return _from_field(value) if value.startswith(b":") else _from_pem(unquote_to_bytes(value))


def thumbprint(certificate: bytes) -> str:
    """Return `x5t#S256` (RFC 8705 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


def names_in(certificate: bytes) -> frozenset[str]:
    """Return the names of a certificate, each with its kind: `dns:ward.example`, `dn:CN=ward`."""
    found = set[str]()
    try:
        read = x509.load_der_x509_certificate(certificate)
        found.add(f"dn:{read.subject.rfc4514_string()}")
        others = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset(found)
    found |= {f"dns:{name}" for name in others.get_values_for_type(x509.DNSName)}
    found |= {f"uri:{name}" for name in others.get_values_for_type(x509.UniformResourceIdentifier)}
    found |= {f"email:{name}" for name in others.get_values_for_type(x509.RFC822Name)}
    found |= {f"ip:{name}" for name in others.get_values_for_type(x509.IPAddress)}
    return frozenset(found)


def _from_field(value: bytes) -> bytes:
    """Read the byte sequence of a structured field (RFC 8941 3.3.5)."""
    text, colon, rest = value[1:].partition(b":")
    return _decoded(text if colon and not rest else b"")


def _from_pem(value: bytes) -> bytes:
    start, begin, rest = value.partition(_BEGIN)
    text, end, _ = rest.partition(_END)
    is_whole = begin and end and not start.strip()
    return _decoded(b"".join(text.split()) if is_whole else b"")


def _decoded(text: bytes) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except binascii.Error:
        found = b""
    if not found:
        raise Unauthenticated("the certificate cannot be read", where="client certificate")
    return found
