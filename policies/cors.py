"""Which pages of other origins may call from a browser (CORS, Fetch standard 3.2): none unless
named.

It is no protection of ours: it tells browsers whom they may let read an answer. Tokens travel in a
field that no browser adds by itself.

Order: inside security-headers and problem-details, outside the token: a preflight has none.
"""

from urllib.parse import urlsplit

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from canonical.errors import Forbidden
from policies.edge import Edge, Header, response_headers


class Cors(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="cors",
):
    """Let pages of exactly these `origins` call with these `methods` and request `headers`.

    Origins are whole (`https://app.example`): there is no wildcard, and no `null`. `credentials`
    lets the browser add cookies. `exposed` are the fields of answers that a page may read;
    `max_age_seconds` is how long a browser keeps the answer of a preflight.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST")
    headers: tuple[str, ...] = ("authorization", "content-type", "idempotency-key")
    exposed: tuple[str, ...] = ("x-correlation-id", "ratelimit", "retry-after", "link")
    credentials: bool = False
    max_age_seconds: int = 600

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not _is_origin(origin):
                raise ValueError(f"{origin!r} is no origin such as https://app.example")

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        origins = frozenset(origin.encode() for origin in self.origins)

        async def cors(scope: Scope, receive: Receive, send: Send) -> None:
            origin = _origin(scope) if scope["type"] == ScopeType.HTTP else None
            if origin is None or scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            asked = _asked_method(scope)
            response_headers(scope).append((b"vary", b"origin"))
            if origin in origins:
                response_headers(scope).extend(self._granted(origin))
            if asked is None:
                await app(scope, receive, send)
                return
            if origin not in origins or asked.decode("latin-1") not in self.methods:
                raise Forbidden(
                    "pages of this origin may not call here",
                    where="Origin",
                    fix="an operator adds it to policy cors in gateway.toml",
                )
            await send({"type": "http.response.start", "status": 204, "headers": self._terms()})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return cors

    def _granted(self, origin: bytes) -> list[Header]:
        granted = [(b"access-control-allow-origin", origin)]
        if self.credentials:
            granted.append((b"access-control-allow-credentials", b"true"))
        if self.exposed:
            granted.append((b"access-control-expose-headers", ", ".join(self.exposed).encode()))
        return granted

    def _terms(self) -> list[Header]:
        return [
            (b"access-control-allow-methods", ", ".join(self.methods).encode()),
            (b"access-control-allow-headers", ", ".join(self.headers).encode()),
            (b"access-control-max-age", str(self.max_age_seconds).encode()),
        ]


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        rebuilt = f"{parts.scheme}://{parts.netloc}"
        _ = parts.port
    except ValueError:
        return False
    is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in text
    return is_plain and rebuilt == text == text.lower() and "*" not in text


def _origin(scope: HTTPScope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"origin":
            return value
    return None


def _asked_method(scope: HTTPScope) -> bytes | None:
    """Return the method a preflight asks for; None where the call is none."""
    if scope["method"] != "OPTIONS":
        return None
    for name, value in scope["headers"]:
        if name == b"access-control-request-method":
            return value
    return None
