"""Appends events to a Valkey stream: in order, each once, stopping at the first that fails."""

from collections.abc import Sequence
from typing import Any, Final, cast

import redis.asyncio as redis
from redis.exceptions import RedisError

from ledger.delivery_port import Outcome, Target
from ledger.outbox import Event
from system_apis.subscribers.envelope import Envelope
from system_apis.subscribers.stream.mapping import entry_fields, entry_id, is_later

STREAM_PREFIX: Final = "suture:events:"
"""Streams are ours alone under this prefix: other entries would break their order."""

# Answers how many are there now, what the next one failed with, and the oldest entry's id. An
# entry that is refused as not newer, and is there, has been told before.
_APPEND = """
local width = tonumber(ARGV[2])
local done = 0
for at = 3, #ARGV, width + 1 do
    local call = {'XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[at]}
    for field = 1, width do call[#call + 1] = ARGV[at + field] end
    local answer = redis.pcall(unpack(call))
    if type(answer) == 'table' and answer.err then
        if not string.find(answer.err, 'equal or smaller') then return {done, answer.err, ''} end
        if #redis.call('XRANGE', KEYS[1], ARGV[at], ARGV[at]) == 0 then
            local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
            return {done, 'overtaken', #oldest > 0 and oldest[1][1] or ''}
        end
    end
    done = done + 1
end
return {done, '', ''}
"""


class StreamSender:
    """Appends up to `at_once` events in one script; the stream keeps about `longest` of them."""

    at_once = 100

    def __init__(self, valkey: redis.Redis, envelope: Envelope, *, longest: int) -> None:
        self._append = cast("Any", valkey.register_script(_APPEND))
        self._envelope = envelope
        self._longest = longest

    async def send(self, target: Target, events: Sequence[Event]) -> Outcome:
        """Append the events; what was trimmed away since it was told counts as told."""
        told = 0
        while told < len(events):
            try:
                done, error, oldest = await self._appended(target, events[told:])
            except (RedisError, OSError) as exc:
                return Outcome(delivered=told, error=type(exc).__name__)
            told += done
            if error == b"overtaken":
                if oldest and not is_later(oldest, _id(target, events[told])):
                    why = "the stream has later entries that we did not write"
                    return Outcome(delivered=told, error=why, hopeless=True)
                told += 1
            elif error:
                return Outcome(delivered=told, error=_kind(error))
        return Outcome(delivered=told)

    async def _appended(self, target: Target, events: Sequence[Event]) -> tuple[int, bytes, bytes]:
        entries, width = list[str | bytes](), 0
        for event in events:
            fields = entry_fields(
                (event.id, event.type, event.subject),
                target.subscription,
                self._envelope.around(event),
            )
            entries += [_id(target, event), *fields]
            width = len(fields)
        key = STREAM_PREFIX + target.address
        answer = await self._append(keys=[key], args=[self._longest, width, *entries])
        return int(answer[0]), bytes(answer[1]), bytes(answer[2])


def _id(target: Target, event: Event) -> str:
    return entry_id(target.generation, *event.position)


def _kind(error: bytes) -> str:
    """Return the first word of an error, which is its kind: OOM, WRONGTYPE, READONLY."""
    return error.decode(errors="replace").partition(" ")[0]
