"""The AsyncAPI 3.0 document of all events and channels, from the taxonomy and its Structs.

Committed in `openapi/` and compared, like the OpenAPI documents. Planned events are named in
`x-planned`: they have no message, since nobody can get them.
"""

from typing import Any, Final

import msgspec

from canonical.events import AVAILABLE, TAXONOMY, EventKind
from canonical.published import Published
from gateway.openapi import VERSION
from gateway.openapi_components import exact, struct_schemas
from standards.cloudevents.codec import MEDIA_TYPE
from system_apis.subscribers.stream.client import STREAM_PREFIX

_ABOUT: Final = """Events are CloudEvents 1.0 in structured JSON. Each is committed together with
the step that caused it, delivered at least once, and in one order to each subscriber: drop what
has an `id` that you have seen. `correlationid` is the business transaction, one id from the
procedure to the invoice; `causationid` is the document or flow behind it; `sequence` orders events
as text.

No event carries patient data. `case` and `encounter` are keyed pseudonyms.
"""
_CHANNELS: dict[str, dict[str, Any]] = {
    "webhook": {
        "address": None,
        "title": "A subscriber's webhook",
        "description": "POST to the https address of a subscription, signed as Standard Webhooks"
        " describes. Any 2xx is heard; 410 ends the subscription; Retry-After is obeyed.",
    },
    "stream": {
        "address": STREAM_PREFIX + "{target}",
        "title": "A subscriber's Valkey stream",
        "description": "Entries with the fields id, type, subject, subscription, content-type and"
        " event (the CloudEvent). Read it with a consumer group (XREADGROUP, XACK).",
        "parameters": {"target": {"description": "The target of the subscription"}},
        "servers": [{"$ref": "#/servers/valkey"}],
    },
    "listening": {
        "address": "/system/v1/events/stream",
        "title": "Server-sent events",
        "description": "GET with a token of the scope system.events:read. The id of each message is"
        " its position: sent back as Last-Event-ID, it goes on behind it.",
        "servers": [{"$ref": "#/servers/gateway"}],
    },
}
_WEBHOOK_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The event's id, the same on every try"},
        "webhook-timestamp": {"type": "string", "pattern": "^[0-9]+$"},
        "webhook-signature": {
            "type": "string",
            "description": "v1,<base64 HMAC-SHA256 of id.timestamp.body>, one a valid secret,"
            " separated by spaces",
        },
    },
}
_SIGNED: dict[str, Any] = {"traits": [{"$ref": "#/components/messageTraits/signed"}]}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    plain = {_name(kind): _message(kind) for kind in AVAILABLE}
    signed = {f"signed.{name}": message | _SIGNED for name, message in plain.items()}
    told: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {"title": "Suture Events", "version": VERSION, "description": _ABOUT},
        "defaultContentType": MEDIA_TYPE,
        "servers": {
            "gateway": {"host": "{host}", "protocol": "http", "variables": _variable("host")},
            "valkey": {"host": "{valkey}", "protocol": "redis", "variables": _variable("valkey")},
        },
        "channels": {name: _channel(name) for name in _CHANNELS},
        "operations": {name: _operation(name) for name in _CHANNELS},
        "components": {
            "messages": plain | signed,
            "schemas": {"CloudEvent": _envelope(), **_payload_schemas()},
            "messageTraits": {"signed": {"headers": _WEBHOOK_HEADERS}},
        },
        "x-planned": [_planned(kind) for kind in TAXONOMY if kind.planned],
    }
    described: dict[str, Any] = exact(told)
    return described


def encoded() -> bytes:
    """Return the document as it is committed."""
    return msgspec.json.format(msgspec.json.encode(document(), order="sorted"), indent=2) + b"\n"


def _name(kind: EventKind) -> str:
    return f"{kind.name}.v{kind.version}"


def _channel(name: str) -> dict[str, Any]:
    """Describe a channel and its messages; on a webhook they are signed."""
    folder = "signed." if name == "webhook" else ""
    own = {
        _name(kind): {"$ref": f"#/components/messages/{folder}{_name(kind)}"} for kind in AVAILABLE
    }
    return {**_CHANNELS[name], "messages": own}


def _operation(name: str) -> dict[str, Any]:
    """Describe what we do on a channel: we send."""
    told: dict[str, Any] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "title": f"Tell a subscriber: {name}",
        "messages": [{"$ref": f"#/channels/{name}/messages/{_name(kind)}"} for kind in AVAILABLE],
    }
    if name == "webhook":
        told["bindings"] = {"http": {"method": "POST", "bindingVersion": "0.3.0"}}
    return told


def _message(kind: EventKind) -> dict[str, Any]:
    payload = kind.payload.__name__ if kind.payload else ""
    return {
        "name": kind.type,
        "title": kind.title,
        "summary": " ".join((kind.payload.__doc__ or "").split()) if kind.payload else "",
        "contentType": MEDIA_TYPE,
        "tags": [{"name": kind.criticality}, {"name": kind.data_class}, {"name": kind.row}],
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "properties": {
                        "type": {"const": kind.type},
                        "dataclass": {"const": kind.data_class},
                        "data": {"$ref": f"#/components/schemas/{payload}"},
                    }
                },
            ]
        },
        "x-producer": kind.producer,
    }


def _planned(kind: EventKind) -> dict[str, str]:
    return {"row": kind.row, "name": kind.name, "title": kind.title, "needs": kind.producer}


def _payload_schemas() -> dict[str, Any]:
    payloads: set[type[Published]] = {kind.payload for kind in AVAILABLE if kind.payload}
    return struct_schemas(sorted(payloads, key=lambda payload: payload.__name__))


def _envelope() -> dict[str, Any]:
    """Return CloudEvents 1.0 with our extensions, as JSON Schema."""
    optional = (
        *("subject", "correlationid", "causationid", "transactionid", "facility"),
        "traceparent",
    )
    return {
        "type": "object",
        "description": "CloudEvents 1.0, structured JSON. Attributes without a value are left out.",
        "required": [
            *("specversion", "id", "source", "type", "time", "datacontenttype", "data"),
            *("sequence", "dataclass"),
        ],
        "properties": {
            "specversion": {"const": "1.0"},
            **dict.fromkeys(("id", "type", "sequence", *optional), _TEXT),
            "source": {**_TEXT, "format": "uri-reference"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {**_TEXT, "format": "uri"},
            "dataclass": {"enum": ["supply", "financial"]},
            "data": {"type": "object"},
        },
    }


def _variable(name: str) -> dict[str, Any]:
    return {name: {"description": "Where this installation is", "default": "localhost"}}
