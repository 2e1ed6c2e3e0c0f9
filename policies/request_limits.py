"""Limits on what comes before a body: the address and the header fields.

Order: inside problem-details, outside everything that reads an address or a field.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from canonical.errors import AddressTooLong, HeadersTooLarge
from policies.edge import Edge


class RequestLimits(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="request-limits",
):
    """Refuse addresses with 414 and header fields with 431 (RFC 6585 5) beyond these limits.

    Bytes are counted as they were sent; `max_header_bytes` is of all names and values together.
    `max_parameters` are those of the query.
    """

    max_headers: int = 64
    max_header_bytes: int = 16_384
    max_path_bytes: int = 4_096
    max_query_bytes: int = 8_192
    max_parameters: int = 64

    def __post_init__(self) -> None:
        if min(msgspec.structs.astuple(self)) < 1:
            raise ValueError("every limit is at least 1")

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        async def request_limits(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                self._limit_headers(scope)
                self._limit_address(scope)
            await app(scope, receive, send)

        return request_limits

    def _limit_headers(self, scope: HTTPScope) -> None:
        count = size = 0
        for name, value in scope["headers"]:
            count += 1
            size += len(name) + len(value)
        if count > self.max_headers:
            raise HeadersTooLarge(
                "too many header fields", expected=f"at most {self.max_headers} fields"
            )
        if size > self.max_header_bytes:
            raise HeadersTooLarge(
                "the header fields are too large", expected=f"at most {self.max_header_bytes} bytes"
            )

    def _limit_address(self, scope: HTTPScope) -> None:
        path, query = scope["raw_path"] or scope["path"].encode(), scope["query_string"]
        if len(path) > self.max_path_bytes:
            raise _too_long("path", f"at most {self.max_path_bytes} bytes")
        if len(query) > self.max_query_bytes:
            raise _too_long("query", f"at most {self.max_query_bytes} bytes")
        if query and query.count(b"&") >= self.max_parameters:
            raise _too_long("query", f"at most {self.max_parameters} parameters")


def _too_long(where: str, expected: str) -> AddressTooLong:
    return AddressTooLong(f"the {where} is too long", where=where, expected=expected)
