"""Connects to public addresses only: what others make us call must not be what only we can reach.

It is asked for each address when it is connected to, after the name was resolved: a name that stood
for a public address a moment ago may stand for our database now.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

_WITH_IPV4_AT_THE_END = tuple(
    ip_network(block) for block in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
"""IPv4-compatible, mapped, translated (RFC 2765 2.1) and NAT64 (RFC 6052) addresses."""
_UNICAST = ip_network("2000::/3")
_SPECIAL = tuple(ip_network(block) for block in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20"))
"""Blocks of the IANA registries of special addresses that Python does not know of everywhere."""

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""What `getaddrinfo` returns: family, type, protocol, canonical name, socket address."""


def public_socket(address: Address) -> socket.socket:
    """Return a socket for this address; raises `PermissionError` where it is not a public one."""
    family, kind, protocol, _, place = address
    if not is_public(str(place[0])):
        raise PermissionError(errno.EACCES, "the target is no public address")
    made = socket.socket(family, kind, protocol)
    made.settimeout(0)
    return made


def is_public(text: str) -> bool:
    """Whether an address is one that anybody on the Internet can reach."""
    address = ip_address(text.partition("%")[0])
    inner = _inner(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    is_special = any(address in block for block in _SPECIAL)
    return address.is_global and not address.is_multicast and not is_special


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    if any(address in block for block in _WITH_IPV4_AT_THE_END):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour
