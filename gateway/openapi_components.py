"""What the operations of an OpenAPI document share: schemas, headers, problems.

Structs are described by msgspec, which also reads and writes them: what a document says of a body
is what the gateway does with it. `gateway/contract.py` refuses what types cannot say.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import msgspec
from litestar.openapi.spec import Reference, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from msgspec.inspect import CollectionType, DateTimeType, Metadata, StructType, Type, UnionType
from msgspec.inspect import multi_type_info as type_infos

from gateway.contract import DECIMAL_PATTERN, LARGEST, MOMENT_PATTERN
from gateway.problems import Problem

_DECIMAL: dict[str, Any] = {
    "type": ["string", "integer"],
    "format": "decimal",
    "pattern": DECIMAL_PATTERN,
    "minimum": -LARGEST,
    "maximum": LARGEST,
    "description": "A decimal number as a string; a whole number is also taken as a JSON number.",
    "examples": ["12.50"],
}
_HEADERS: dict[str, Any] = {
    "X-Correlation-ID": {
        "description": "The id of this call, for operators",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    },
    "RateLimit": {
        "description": "What is left of the quota (draft-ietf-httpapi-ratelimit-headers)",
        "schema": {"type": "string"},
        "example": '"calls";r=999;t=1',
    },
    "RateLimit-Policy": {
        "description": "The quota and its window in seconds",
        "schema": {"type": "string"},
        "example": '"calls";q=6000;w=60',
    },
    "Retry-After": {
        "description": "Seconds until another try makes sense (RFC 9110 10.2.3)",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Allow": {
        "description": "The methods of this path (RFC 9110 10.2.1)",
        "required": True,
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750 3)",
        "required": True,
        "schema": {"type": "string"},
    },
    "Deprecation": {
        "description": "Since when this operation is deprecated (RFC 9745)",
        "schema": {"type": "string", "pattern": "^@[0-9]+$"},
        "example": "@1795219200",
    },
    "Sunset": {
        "description": "When this operation ends (RFC 8594)",
        "schema": {"type": "string"},
        "example": "Tue, 30 Nov 2027 00:00:00 GMT",
    },
    "Link": {
        "description": "What takes its place: rel successor-version (RFC 5829)",
        "schema": {"type": "string"},
        "example": '</experience/v2/procurement/orders>; rel="successor-version"',
    },
}
_SILENT: Final = ("deprecated", "allowEmptyValue", "allowReserved")
_EVERYWHERE: Final = ("X-Correlation-ID", "RateLimit", "RateLimit-Policy")
_PROBLEMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "400": ("InvalidRequest", "The request does not keep its contract", ()),
    "401": ("Unauthenticated", "No access token, or no good one", ("WWW-Authenticate",)),
    "403": ("Forbidden", "Not with this token", ()),
    "404": ("NotFound", "There is no such thing", ()),
    "405": ("MethodNotAllowed", "The path does not take this method", ("Allow",)),
    "406": ("NotAcceptable", "The path has no answer of a kind that is accepted", ()),
    "409": ("Conflict", "The facts or the state do not allow it", ()),
    "410": ("VersionRetired", "This version is no longer served", ()),
    "413": ("BodyTooLarge", "The body is too large", ()),
    "414": ("AddressTooLong", "The address is too long", ()),
    "415": ("UnsupportedMediaType", "The path does not take this kind of body", ()),
    "422": ("Unprocessable", "Well-formed, and not for us: message type, partner", ()),
    "429": ("TooManyRequests", "The quota is used up", ("Retry-After",)),
    "431": ("HeadersTooLarge", "The header fields are too many or too large", ()),
    "500": ("InternalFault", "A fault of Suture; its id is in the log", ()),
    "502": ("UpstreamFailed", "The system behind failed or refused", ()),
    "503": ("Unavailable", "A store or a system behind is away", ("Retry-After",)),
    "504": ("UpstreamTimeout", "The system behind did not answer in time", ()),
}
"""Status → name, words and own headers of the problem response."""


class Structs(OpenAPISchemaPlugin):
    """Takes the Structs out of Litestar's hands: a reference now, the schema by msgspec later."""

    def __init__(self) -> None:
        self.found: dict[str, type[msgspec.Struct]] = {"Problem": Problem}

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Any:  # noqa: ARG002 - Litestar's shape
        kind: type[msgspec.Struct] = field_definition.annotation
        self.found[kind.__name__] = kind
        return Schema(all_of=[Reference(ref=_schema(kind.__name__))])


def components(structs: Structs) -> dict[str, Any]:
    """Return the shared part of a document."""
    return {
        "schemas": struct_schemas(structs.found.values()),
        "headers": _HEADERS,
        "responses": {name: problem(status) for status, (name, _, _) in _PROBLEMS.items()},
    }


def struct_schemas(kinds: Iterable[type[msgspec.Struct]]) -> dict[str, Any]:
    """Return the schemas of these Structs, and of those inside them."""
    found = list(kinds)
    _, schemas = msgspec.json.schema_components(found, ref_template=_schema("{name}"))
    for kind in type_infos(found):
        for struct in _structs_in(kind):
            _say_more(schemas[struct.cls.__name__], struct)
    return schemas


def _structs_in(kind: Type) -> Iterator[StructType]:
    if isinstance(kind, StructType):
        yield kind
    for inner in _inside(kind):
        yield from _structs_in(inner)


def _inside(kind: Type) -> tuple[Type, ...]:
    match kind:
        case StructType():
            return tuple(field.type for field in kind.fields)
        case UnionType():
            return kind.types
        case CollectionType():
            return (kind.item_type,)
        case Metadata():
            return (kind.type,)
        case _:
            return ()


def _say_more(schema: dict[str, Any], struct: StructType) -> None:
    """Say which strings are moments: msgspec says it only where its own type asks for a zone."""
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    for field in struct.fields:
        if _is_moment(field.type):
            written = schema["properties"][field.encode_name]
            for each in (written, *written.get("anyOf", ())):
                if each.get("type") == "string":
                    each |= {"format": "date-time", "pattern": MOMENT_PATTERN}


def _is_moment(kind: Type) -> bool:
    optional = isinstance(kind, UnionType | Metadata)
    return isinstance(kind, DateTimeType) or (optional and any(map(_is_moment, _inside(kind))))


def problem(status: str) -> dict[str, Any]:
    """Return the response of a status as a problem (RFC 9457)."""
    _, words, headers = _PROBLEMS[status]
    return {
        "description": words,
        "headers": response_headers(*headers),
        "content": {"application/problem+json": {"schema": {"$ref": _schema("Problem")}}},
    }


def problem_reference(status: str) -> dict[str, str]:
    """Return a reference to the problem of a status."""
    return {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"}


def response_headers(*own: str) -> dict[str, Any]:
    """Return references to the headers of every response, and to its own."""
    return {name: response_header(name) for name in (*own, *_EVERYWHERE)}


def response_header(name: str) -> dict[str, str]:
    """Return a reference to a header."""
    return {"$ref": f"#/components/headers/{name}"}


def exact(schema: Any) -> Any:
    """Say of decimals what is taken, unfold mere references, leave out what goes without saying."""
    match schema:
        case list():
            return [exact(each) for each in schema]  # pyright: ignore[reportUnknownVariableType]
        case dict():
            return _exact_object(cast("dict[str, Any]", schema))
        case float() if schema.is_integer():
            return int(schema)
        case _:
            return schema


def _exact_object(schema: dict[str, Any]) -> Any:
    if schema.get("format") == "decimal":
        return {**schema, **_DECIMAL}
    if schema.keys() == {"allOf"} and len(schema["allOf"]) == 1:
        return exact(schema["allOf"][0])
    silent = {key for key in _SILENT if schema.get(key) is False}
    return {key: exact(value) for key, value in schema.items() if key not in silent}


def _schema(name: str) -> str:
    return f"#/components/schemas/{name}"
