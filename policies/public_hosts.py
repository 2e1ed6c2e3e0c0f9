"""The names this gateway goes by: a request for another host is not for us.

A page of another site whose name was made to stand for our address (DNS rebinding) sends that name
as its Host. So does who wants a link that we write to lead elsewhere.

Order: inside problem-details and audit.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from canonical.errors import InvalidRequest, MisdirectedRequest
from policies.edge import Edge


class PublicHosts(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="public-hosts",
):
    """Refuse with 421 (RFC 9110 7.4) what is not for one of `names`.

    A name without a port stands for every port. Without names every host is taken. `except_paths`
    are probes that call by address.
    """

    names: tuple[str, ...] = ()
    except_paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.names:
            if not name or name != name.lower() or not name.isascii() or set(name) & set("/@*? "):
                raise ValueError(f"{name!r} is no host in lower case, with or without a port")

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        # The address that its own tokens and pages name leads here, whatever the list says.
        names = frozenset(name.encode() for name in (*self.names, *edge.names) if self.names)
        excepted = frozenset(self.except_paths)

        async def public_hosts(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP and names and scope["path"] not in excepted:
                _require(_host(scope), names)
            await app(scope, receive, send)

        return public_hosts


def _host(scope: HTTPScope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"host" and value:
            return value.lower()
    raise InvalidRequest("the request names no host", where="Host", expected="RFC 9110 7.2")


def _require(host: bytes, names: frozenset[bytes]) -> None:
    if host in names:
        return
    name, colon, port = host.rpartition(b":")
    if colon and name in names and port.isdigit():
        return
    raise MisdirectedRequest(
        "this host is not served here",
        where="Host",
        fix="an operator adds the name to policy public-hosts in gateway.toml",
    )
