"""One request has one meaning, for us and for whatever stands in front of us.

Two servers that disagree where a body ends take one request for two (RFC 9112 11.2). What a proxy
might read another way is refused, and the connection is closed: nothing that follows on it is read.

Order: inside problem-details, outside everything that reads a body.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from canonical.errors import CallerFailure, InvalidRequest, UnsupportedMediaType
from policies.edge import Edge, Header, response_headers

_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type"))
_WATCHED = _ONCE | {b"content-encoding"}


class StrictFraming(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="strict-framing",
):
    """Refuse a request whose length, host or method could be read in two ways, with 400.

    Bodies are taken as they are: a Content-Encoding is refused with 415 and Accept-Encoding
    (RFC 9110 12.5.3), so that nothing small can unfold into something large. `refused_headers`
    are fields by which other servers let a caller change the method or the path.
    """

    refused_headers: tuple[str, ...] = (
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    )

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        refused = frozenset(name.lower().encode() for name in self.refused_headers)
        watched = _WATCHED | refused

        async def strict_framing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                found = [header for header in scope["headers"] if header[0] in watched]
                failure = _ambiguity(found, refused)
                if failure is not None:
                    _close(scope, failure)
                    raise failure
            await app(scope, receive, send)

        return strict_framing


def _ambiguity(found: list[Header], refused: frozenset[bytes]) -> CallerFailure | None:
    fields = dict(found)
    if len(fields) != len(found):
        return _twice(found)
    if fields.keys() & refused:
        return InvalidRequest(
            "a header field that would change the method or the path",
            where=(fields.keys() & refused).pop().decode(),
            fix="send the method and the path that you mean",
        )
    coding = fields.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or b"content-length" in fields):
        return InvalidRequest(
            "the length of the body can be read in two ways",
            where="Transfer-Encoding",
            expected="chunked alone, without Content-Length (RFC 9112 6.3)",
        )
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        return UnsupportedMediaType(
            "compressed bodies are not taken", where="Content-Encoding", expected="identity"
        )
    return None


def _twice(found: list[Header]) -> InvalidRequest:
    names = [name for name, _ in found]
    where = next(name for name in names if names.count(name) > 1)
    return InvalidRequest("a header field that may be there once", where=where.decode())


def _close(scope: HTTPScope, failure: CallerFailure) -> None:
    added = response_headers(scope)
    added.append((b"connection", b"close"))
    if isinstance(failure, UnsupportedMediaType):
        added.append((b"accept-encoding", b"identity"))
