"""What browsers are told about every answer.

Order: right inside correlation-id, so that refusals carry the headers too.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from policies.edge import Edge, Header

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_API_CSP = b"default-src 'none'; frame-ancestors 'none'"


class SecurityHeaders(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="security-headers",
):
    """Add strict headers to every answer; what an answer says itself is left alone.

    Pages (text/html) get `page_csp`, everything else may load nothing and is not stored by caches.
    Strict-Transport-Security (RFC 6797) is sent over https only; 0 seconds leaves it out. A cookie
    that says nothing else is for HTTP only, of the same site, and over https for https.
    """

    page_csp: str = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    )
    hsts_seconds: int = 31_536_000

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        page = ((b"content-security-policy", self.page_csp.encode()),)
        other = ((b"content-security-policy", _API_CSP), (b"cache-control", b"no-store"))
        hsts = f"max-age={self.hsts_seconds}; includeSubDomains".encode()
        secure: tuple[Header, ...] = ((b"strict-transport-security", hsts),)

        async def security_headers(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            over_tls = secure if self.hsts_seconds and scope["scheme"] == "https" else ()

            async def hardened(message: Message) -> None:
                if message["type"] == "http.response.start":
                    said = [_kept(header, over_tls) for header in message.get("headers", ())]
                    names = {name.lower() for name, _ in said}
                    wanted = (*_ALWAYS, *(page if _is_page(said) else other), *over_tls)
                    message["headers"] = [*said, *(h for h in wanted if h[0] not in names)]
                await send(message)

            await app(scope, receive, hardened)

        return security_headers


def _kept(header: Header, over_tls: tuple[Header, ...]) -> Header:
    """Return a header as it leaves: a cookie with what keeps it from scripts and other sites."""
    name, value = header
    if name.lower() != b"set-cookie":
        return header
    given = {part.partition(b"=")[0].strip().lower() for part in value.split(b";")[1:]}
    wanted = [(b"httponly", b"HttpOnly"), (b"samesite", b"SameSite=Lax")]
    wanted += [(b"secure", b"Secure")] if over_tls else []
    missing = [said for attribute, said in wanted if attribute not in given]
    return name, b"; ".join((value, *missing))


def _is_page(headers: list[Header]) -> bool:
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/html")
        for name, value in headers
    )
