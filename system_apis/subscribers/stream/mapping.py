"""An event as an entry of a Valkey stream.

    entry id   <replays · 2^44 + transaction number>-<position>: the order of events, so that Valkey
               itself refuses what it has, and what an overtaken sender brings late
    fields     id, type, subject, subscription, content-type, event (the CloudEvent)

A replay begins a new range of ids above the old one: entries may have been read and trimmed, what
is told again is appended. Consumers know an event again by its field `id`.
"""

import re
from typing import Final

from canonical.errors import InvalidRequest
from standards.cloudevents.codec import MEDIA_TYPE

_REPLAY: Final = 1 << 44
"""More transactions than one PostgreSQL counts in five hundred years at a thousand a second."""

_plain = re.compile(r"[A-Za-z0-9_.:-]{1,128}").fullmatch


def entry_id(replays: int, committed_in: int, number: int) -> str:
    """Return the id of an event's entry."""
    return f"{replays * _REPLAY + committed_in}-{number}"


def entry_fields(event: tuple[str, str, str], subscription: str, body: bytes) -> list[str | bytes]:
    """Return names and values in turn; `event` is its id, type and subject."""
    identity, kind, subject = event
    return [
        *("id", identity, "type", kind, "subject", subject),
        *("subscription", subscription, "content-type", MEDIA_TYPE, "event", body),
    ]


def is_later(one: bytes, other: str) -> bool:
    """Whether entry id `one` comes after `other`."""
    return _parts(one.decode()) > _parts(other)


def _parts(entry: str) -> tuple[int, int]:
    first, _, second = entry.partition("-")
    return int(first), int(second)


def stream_target(key: str) -> str:
    """Return the key of a stream; raises `InvalidRequest`."""
    if not _plain(key):
        raise InvalidRequest(
            "not a name for a stream",
            where="$.target",
            expected="1 to 128 letters, digits, or one of _ . : -",
        )
    return key
