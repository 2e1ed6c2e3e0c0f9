"""What every request keeps, whatever its route: its kind of body, its characters, its values.

The OpenAPI documents promise it (`gateway/openapi.py`). What does not keep it is refused here,
before a handler sees it, with the place and what was expected. Never with the value: it may be a
person's.

    decimals   "12.50" or 12: a JSON number with a fraction is not exact in most programs
    moments    with their zone, in a year that a calendar of any zone can express
    texts      without U+0000, which PostgreSQL does not keep
"""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

import msgspec
from litestar import MediaType, Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler

from canonical.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType

JSON: Final = "application/json"
DECIMAL_PATTERN: Final = r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$"
LARGEST: Final = 999_999_999_999
MOMENT_PATTERN: Final = "^(19|20)[0-9]{2}-"
_YEARS: Final = range(1900, 2100)

_decimal = re.compile(DECIMAL_PATTERN.strip("^$")).fullmatch
_placed = re.compile(r"(?P<expected>.*?)(?: - at `(?P<where>.*)`)?", re.DOTALL).fullmatch
_quoted = re.compile(r"'[^']*'")


def taken_types(handler: BaseRouteHandler) -> tuple[str, ...]:
    """Return the media types a route takes: its own `takes`, or JSON where it has a body."""
    own: tuple[str, ...] = handler.opt.get("takes", ())
    return own or ((JSON,) if "data" in handler.parsed_fn_signature.parameters else ())


async def require_contract(
    connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler
) -> None:
    """Refuse an address with U+0000, no body where one is due, and a kind that is not taken."""
    if "\0" in connection.scope["path"] or b"%00" in connection.scope["query_string"]:
        raise _unusable("the address")
    require_acceptable(connection.headers.get("accept", ""), route_handler)
    taken = taken_types(route_handler)
    kind, _, parameters = connection.headers.get("content-type", "").lower().partition(";")
    given = kind.strip()
    if taken and given and (given not in taken or not _is_readable(given, parameters)):
        raise UnsupportedMediaType(
            "this path does not take that kind of body",
            where="Content-Type",
            expected=" or ".join(taken) + ("" if given not in taken else "; charset=utf-8"),
        )
    if taken and isinstance(connection, Request) and not await connection.body():
        raise InvalidRequest("there is no body", where="$", expected=" or ".join(taken))


def require_acceptable(accept: str, handler: BaseRouteHandler) -> None:
    """Refuse a caller whom no answer of this route could satisfy (RFC 9110 12.5.1, 15.5.7)."""
    if not accept or "*/*" in accept or not isinstance(handler, HTTPRouteHandler):
        return
    own = _media_type(handler)
    if own in accept or handler.opt.get("public"):  # pages and files say what they are themselves
        return
    ranges = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    general = f"{own.partition('/')[0]}/*"
    if general not in ranges and not (own.endswith("+json") and JSON in ranges):
        raise NotAcceptable("this path has no such answer", where="Accept", expected=own)


def _media_type(handler: HTTPRouteHandler) -> str:
    own = handler.media_type
    return (own.value if isinstance(own, MediaType) else str(own or JSON)).partition(";")[0]


def _is_readable(kind: str, parameters: str) -> bool:
    """Whether the characters are those that JSON has (RFC 8259 8.1); other standards say theirs."""
    if not kind.endswith("json"):
        return True
    pairs = (each.partition("=") for each in parameters.split(";"))
    named = [value.strip(' "') for name, _, value in pairs if name.strip() == "charset"]
    return not named or named == ["utf-8"]


class ContractRequest(Request[Any, Any, State]):
    """A request whose JSON is read as its handler's type says, without being lenient."""

    async def json(self) -> Any:
        """Return the body as the type of the handler's `data`; raises `InvalidRequest`."""
        wanted = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return read(await self.body(), wanted)


def read(body: bytes, wanted: Any) -> Any:
    """Return `body` as `wanted`, a Struct; raises `InvalidRequest` with the place of a mistake."""
    try:
        raw = msgspec.json.decode(body)
        value = msgspec.convert(raw, wanted)
    except msgspec.ValidationError as exc:
        raise _misfit(str(exc)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidRequest("the body is not JSON", where="$", expected="JSON (RFC 8259)") from exc
    _check(value, raw, "$")
    return value


def _misfit(reason: str) -> InvalidRequest:
    """Say what msgspec found; it quotes the value of an enumeration."""
    match = _placed(reason)
    expected, where = (match["expected"], match["where"]) if match else ("", "")
    return InvalidRequest(
        "the body does not fit its contract",
        where=where or "$",
        expected=_quoted.sub("…", expected),
    )


def _check(value: object, raw: Any, where: str) -> None:
    """Check what types cannot say; `raw` is the same value as it was written."""
    match value:
        case str():
            if "\0" in value:
                raise _unusable(where)
        case Decimal():
            _check_decimal(raw, where)
        case datetime():
            _check_moment(value, where)
        case _:
            for part, written, place in _parts(value, raw):
                _check(part, written, where + place)


def _parts(value: object, raw: Any) -> Iterator[tuple[object, Any, str]]:
    """Yield what a value is made of, as it was written, and where."""
    if isinstance(value, tuple):
        own = cast("tuple[object, ...]", value)
        for place, (part, written) in enumerate(zip(own, raw, strict=True)):
            yield part, written, f"[{place}]"
    elif isinstance(value, msgspec.Struct):
        for name, key in _fields(type(value)):
            if key in raw:
                yield getattr(value, name), raw[key], f".{key}"


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))


def _check_decimal(raw: object, where: str) -> None:
    whole = isinstance(raw, int) or (isinstance(raw, float) and raw.is_integer())
    if isinstance(raw, str) and _decimal(raw):
        return
    if whole and isinstance(raw, int | float) and abs(raw) <= LARGEST:
        return
    raise InvalidRequest(
        "not a decimal number that can be kept exactly",
        where=where,
        expected='a string such as "12.50" or a whole number: 12 digits, 6 decimals',
    )


def _check_moment(moment: datetime, where: str) -> None:
    if moment.tzinfo is None or not _YEARS.start <= moment.year < _YEARS.stop:
        raise InvalidRequest(
            "a time without its zone, or of another age",
            where=where,
            expected="RFC 3339 with its zone, such as …T08:30:00Z, in the years 1900 to 2099",
        )


def _unusable(where: str) -> InvalidRequest:
    return InvalidRequest(
        "a text with U+0000 cannot be kept", where=where, expected="text without U+0000"
    )
