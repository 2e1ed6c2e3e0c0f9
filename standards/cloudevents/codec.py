"""CloudEvents 1.0 in the JSON event format, structured mode (CloudEvents JSON format 1.0.2, 3).

    CloudEvent ⇄ {"specversion":"1.0","id":…,"source":…,"type":…,"data":{…}}

Extensions we set: `correlationid` and `causationid` (documented extension «correlation»),
`sequence` (extension «sequence»: lexicographically ordered), `traceparent` (extension «distributed
tracing»), and our own `transactionid`, `facility` and `dataclass`. Attributes that are '' are left
out: an attribute is never empty (CloudEvents 1.0, 3).
"""

from datetime import datetime
from typing import Final

import msgspec

from canonical.errors import MalformedMessage

MEDIA_TYPE: Final = "application/cloudevents+json"


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event; names are those of the specification. `data` is JSON as it is."""

    id: str
    source: str
    type: str
    time: datetime
    specversion: str
    datacontenttype: str
    data: msgspec.Raw
    dataschema: str = ""
    subject: str = ""
    correlationid: str = ""
    causationid: str = ""
    transactionid: str = ""
    sequence: str = ""
    facility: str = ""
    dataclass: str = ""
    traceparent: str = ""


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(CloudEvent)


def encode(event: CloudEvent) -> bytes:
    """Return the event as JSON."""
    return _encode(event)


def decode(body: bytes) -> CloudEvent:
    """Read an event; raises `MalformedMessage` where it is none of version 1.0."""
    try:
        event = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedMessage("not a CloudEvent", expected="CloudEvents 1.0 JSON") from exc
    if event.specversion != "1.0" or not (event.id and event.source and event.type):
        raise MalformedMessage("not a CloudEvent of version 1.0", where="$.specversion")
    return event
