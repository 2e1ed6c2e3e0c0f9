"""How long a version of an API is served, and who still calls it (RFC 9745, RFC 8594).

    introduced ── deprecated ── sunset
      200           200           410         and what takes its place, in every answer

Each call of a client is counted by operation, so that whoever would break can be told before.

Order: inside bearer-token. Only inside Litestar the operation is known: `require_current` is called
in a guard.
"""

from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from canonical.errors import VersionRetired
from policies.edge import Edge, Header, facts_of, response_headers


class ApiTerm(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """The dates of one `api` (`experience/v1`) or of one `operation` of it, which goes before.

    Each date begins at midnight UTC: on its `sunset` nothing is served any more. `successor` is the
    path of what takes its place, `guide` the address of a page that explains it.
    """

    introduced: date
    api: str = ""
    operation: str = ""
    deprecated: date | None = None
    sunset: date | None = None
    successor: str = ""
    guide: str = ""

    def __post_init__(self) -> None:
        if bool(self.api) == bool(self.operation):
            raise ValueError("a term is of an api or of an operation")
        if self.deprecated is None:
            if self.sunset is not None:
                raise ValueError("what has a sunset is deprecated before")
        elif self.deprecated < self.introduced or not (self.successor or self.guide):
            raise ValueError("what is deprecated was introduced before, and has a successor")
        if self.deprecated and self.sunset and self.sunset <= self.deprecated:
            raise ValueError("what is deprecated is still served for a while")
        if any(mark in self.successor + self.guide for mark in '<>" ,;'):
            raise ValueError("successor and guide are addresses")


class Lifecycle(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="lifecycle",
):
    """Announce what is deprecated, refuse with 410 what is past its sunset, count who calls."""

    terms: tuple[ApiTerm, ...] = ()

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        register = _Register(self.terms, edge)

        async def lifecycle(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                scope["state"]["lifecycle"] = register
            await app(scope, receive, send)

        return lifecycle

    def term_of(self, operation: str, path: str) -> ApiTerm | None:
        """Return the dates of an operation, its own or those of its API."""
        own = {term.operation: term for term in self.terms if term.operation}
        apis = {term.api: term for term in self.terms if term.api}
        return own.get(operation) or apis.get(api_of(path))


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one operation. `ends` is in seconds since 1970."""

    label: str
    headers: tuple[Header, ...]
    ends: float
    successor: str


class _Register:
    """The operations as they are met: each is looked up once."""

    def __init__(self, terms: tuple[ApiTerm, ...], edge: Edge) -> None:
        self._lifecycle = Lifecycle(terms=terms)
        self._edge = edge
        self._entries: dict[str, _Entry] = {}

    def admit(self, scope: Scope, operation: str) -> None:
        entry = self._entries.get(operation)
        if entry is None:
            entry = self._entries[operation] = self._entry(operation, scope["path"])
        principal = facts_of(scope).principal
        if principal is not None and entry.label:
            self._edge.used(principal.client, entry.label)
        if entry.headers:
            response_headers(scope).extend(entry.headers)
            if entry.ends and self._edge.clock().timestamp() >= entry.ends:
                raise VersionRetired(
                    "this version is no longer served",
                    expected=entry.successor,
                    fix="call the version that takes its place",
                )

    def _entry(self, operation: str, path: str) -> _Entry:
        api = api_of(path)
        term = self._lifecycle.term_of(operation, path)
        return _Entry(
            label=f"{api} {operation}" if api else "",
            headers=() if term is None else announcement(term),
            ends=0.0 if term is None or term.sunset is None else _begin(term.sunset).timestamp(),
            successor="" if term is None else term.successor,
        )


def require_current(
    connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler
) -> None:
    """Count the call of an operation; raises `VersionRetired` where its sunset has been."""
    register: _Register | None = connection.scope["state"].get("lifecycle")
    if register is not None and isinstance(route_handler, HTTPRouteHandler):
        register.admit(connection.scope, str(route_handler.operation_id))


def api_of(path: str) -> str:
    """Return `experience/v1` of a path that has a version; '' of any other."""
    parts = path.split("/", 3)
    has_version = len(parts) > 2 and parts[2][:1] == "v" and parts[2][1:].isdigit()  # noqa: PLR2004 - tier and version
    return f"{parts[1]}/{parts[2]}" if has_version else ""


def announcement(term: ApiTerm) -> tuple[Header, ...]:
    """Return the header fields that tell of a deprecation; none where there is none."""
    if term.deprecated is None:
        return ()
    links = [f'<{term.successor}>; rel="successor-version"'] if term.successor else []
    said: list[Header] = [(b"deprecation", f"@{_begin(term.deprecated).timestamp():.0f}".encode())]
    if term.guide:
        links.append(f'<{term.guide}>; rel="deprecation"')
    if term.sunset is not None:
        said.append((b"sunset", format_datetime(_begin(term.sunset), usegmt=True).encode()))
        links += [f'<{term.guide}>; rel="sunset"'] if term.guide else []
    said.append((b"link", ", ".join(links).encode()))
    return tuple(said)


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
