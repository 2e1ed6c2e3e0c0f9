"""Connects to public addresses only: what others make us call must not be what only we can reach.

It is asked for each address when it is connected to, after the name was resolved: a name that stood
for a public address a moment ago may stand for our database now.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

_NAT64 = ip_network("64:ff9b::/96")

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
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for: mapped, 6to4, or NAT64."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
