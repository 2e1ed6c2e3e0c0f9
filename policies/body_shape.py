"""Limits on the shape of a JSON or form body, before anything decodes it.

A few bytes can be a deep nest, a thousand names or one endless text. Counting brackets and commas
settles nearly every body; only what could be beyond a limit is looked at closely, and that too in
time that grows with its length alone.

Order: inside max-body. A body is looked at when it is read, which is after the token and its scope.
"""

import re
from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)

from canonical.errors import InvalidRequest
from policies.edge import Edge

_INNERMOST: Final = re.compile(rb"\[,*+\]")
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_NOISE: Final = bytes(byte for byte in range(256) if byte not in b"[]{},")


class BodyShape(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="body-shape",
):
    """Refuse a JSON body with more levels, values in all, members of one collection or bytes of one
    text than this, and a form with more fields, with 400.
    """

    max_depth: int = 32
    max_values: int = 100_000
    max_members: int = 10_000
    max_text_bytes: int = 1_048_576
    max_fields: int = 64

    def __post_init__(self) -> None:
        if min(msgspec.structs.astuple(self)) < 1:
            raise ValueError("every limit is at least 1")

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        async def body_shape(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP or scope["method"] in ("GET", "HEAD"):
                await app(scope, receive, send)
                return
            parts: list[bytes] = []

            async def looked_at() -> HTTPReceiveMessage | WebSocketReceiveMessage:
                message = await receive()
                if message["type"] == "http.request":
                    parts.append(message.get("body", b""))
                    if not message.get("more_body", False):
                        self.check(_kind(scope), b"".join(parts))
                        parts.clear()
                return message

            await app(scope, looked_at, send)

        return body_shape

    def check(self, kind: bytes, body: bytes) -> None:
        """Raise `InvalidRequest` for a body of this media type that is beyond a limit."""
        if kind.endswith(b"json") or not kind:
            self._check_json(body)
        elif kind == b"application/x-www-form-urlencoded" and body.count(b"&") >= self.max_fields:
            raise _beyond("the form has too many fields", f"at most {self.max_fields}")

    def _check_json(self, body: bytes) -> None:
        opened = body.count(b"[") + body.count(b"{")
        commas = body.count(b",")
        is_long = len(body) > self.max_text_bytes
        if opened <= self.max_depth and commas < self.max_members and not is_long:
            return
        plain = body.replace(rb"\\", b"_").replace(rb"\"", b"_") if b"\\" in body else body
        if plain.count(b'"') > 4 * self.max_values:  # a name and a text have two each
            raise self._too_many()
        parts = plain.split(b'"')
        if is_long and max(map(len, parts[1::2]), default=0) > self.max_text_bytes:
            raise _beyond("a text is too long", f"at most {self.max_text_bytes} bytes")
        frame = b"".join(parts[::2]).translate(_ALIKE, _NOISE)
        if frame.count(b",") + frame.count(b"[") > self.max_values:
            raise self._too_many()
        self._check_frame(frame)

    def _too_many(self) -> InvalidRequest:
        return _beyond("the document has too many values", f"at most {self.max_values}")

    def _check_frame(self, frame: bytes) -> None:
        """Take the innermost collections away, again and again: each time is one level."""
        for _ in range(self.max_depth):
            found = _INNERMOST.findall(frame)
            if not found:  # nothing left, or no JSON: that is for who decodes it
                break
            if len(max(found, key=len)) - 2 >= self.max_members:
                raise _beyond("a collection is too large", f"at most {self.max_members} members")
            frame = _INNERMOST.sub(b"", frame)
        if b"[" in frame:
            raise _beyond("the document is nested too deeply", f"at most {self.max_depth} levels")


def _kind(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return value.partition(b";")[0].strip().lower()
    return b""


def _beyond(detail: str, expected: str) -> InvalidRequest:
    return InvalidRequest(detail, where="$", expected=expected)
