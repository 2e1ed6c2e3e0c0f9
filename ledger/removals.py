"""What may go, table by table. Each statement removes one batch and returns how many rows that was.

$1 is the time before which it may, $2 the size of the batch. Rows that somebody works on are left
for the next turn. What belongs to a story that is not finished, or of which a person is asked,
stays.
"""

from typing import NamedTuple

_UNFINISHED = "('queued', 'ready', 'waiting', 'stuck')"

LIVE = f"""
select transaction_id from flow where status in {_UNFINISHED}
union select transaction_id from task where status = 'open' and transaction_id is not null"""
"""The stories that are not finished."""


def _is_live(story: str) -> str:
    return (
        f"(exists (select from flow l where l.transaction_id = {story}"
        f" and l.status in {_UNFINISHED})"
        f" or exists (select from task k where k.transaction_id = {story} and k.status = 'open'))"
    )


def _wanted(message: str) -> str:
    """Return the condition that the body of a message may still be asked for."""
    return (
        f"(exists (select from task k where k.message_id = {message} and k.status = 'open')"
        f" or exists (select from message m where m.id = {message} and m.status = 'pending')"
        f" or exists (select from entry e where e.message_id = {message}"
        f" and {_is_live('e.transaction_id')}))"
    )


class Removal(NamedTuple):
    """One kind of rows: which rule it goes by, and the statement."""

    rule: str
    what: str
    table: str
    batch: str
    due: str


_BODIES = f"from body b where b.at < $1 and not {_wanted('b.message_id')}"
_STORIES = f"""
from flow f where f.ended_at < $1 and f.status in ('done', 'abandoned', 'cancelled')
  and not {_is_live("f.transaction_id")}"""
_TASKS = """
from task t where t.status = 'resolved' and t.resolved_at < $1
  and not exists (select from flow f where f.id = t.flow_id)"""
_NEWS = f"from signal s where s.at < $1 and not {_is_live('s.transaction_id')}"
_HOPS = f"from entry_default e where e.at < $1 and not {_is_live('e.transaction_id')}"
_EVENTS = """
from outbox o where o.at < $1 and not exists (
    select from subscription s where s.status <> 'disabled'
       and (s.committed_in, s.position) < (o.committed_in, o.position))"""
# A flow names the context of its patient in its facts.
_CONTEXTS = f"""
from sealed_context c where c.at < $1 and c.token not in (
    select m[1] from flow f cross join regexp_matches(f.facts::text, 'ctx_[0-9a-z]+', 'g') m
    where f.status in {_UNFINISHED})"""
_IDENTITIES = """
from message m where m.identity is not null and m.at < $1
  and not exists (select from task k where k.message_id = m.id and k.status = 'open')"""


def _deleting(table: str, key: str, rows: str, alias: str) -> str:
    place = f"({key})" if "," in key else key
    own = ", ".join(f"{alias}.{name.strip()}" for name in key.split(","))
    return (
        f"with gone as (delete from {table} where {place} in"
        f" (select {own} {rows} limit $2 for update of {alias} skip locked) returning 1)"
        " select count(*) from gone"
    )


_STORY_BATCH = f"""
with gone as materialized (
    select f.id, f.transaction_id {_STORIES}
    order by f.ended_at limit $2 for update of f skip locked
), steps as (delete from step using gone where step.flow_id = gone.id
), takes as (delete from taken using gone where taken.flow_id = gone.id
), waits as (delete from awaited using gone where awaited.flow_id = gone.id
), deadlines as (delete from deadline using gone where deadline.flow_id = gone.id
), tasks as (delete from task using gone where task.flow_id = gone.id
), marks as (
    update transaction t set removed_at = now(), removed_by = $3
    where t.id in (select transaction_id from gone)
), flows as (delete from flow using gone where flow.id = gone.id)
select count(*) from gone"""

_NEWS_BATCH = f"""
with gone as materialized (
    select s.id {_NEWS} order by s.id limit $2 for update of s skip locked
), takes as (delete from taken using gone where taken.signal_id = gone.id
), news as (delete from signal using gone where signal.id = gone.id)
select count(*) from gone"""

_IDENTITY_BATCH = f"""
with gone as (update message set identity = null where id in (
    select m.id {_IDENTITIES} order by m.at limit $2 for update of m skip locked) returning 1)
select count(*) from gone"""

REMOVALS = (
    Removal("bodies", "bodies", "body", _deleting("body", "message_id, at", _BODIES, "b"), _BODIES),
    Removal("stories", "stories", "flow", _STORY_BATCH, _STORIES),
    Removal("stories", "tasks", "task", _deleting("task", "id", _TASKS, "t"), _TASKS),
    Removal("stories", "news", "signal", _NEWS_BATCH, _NEWS),
    Removal(
        "hops",
        "hops",
        "entry",
        _deleting("entry_default", "ctid", _HOPS, "e"),
        _HOPS,
    ),
    Removal("events", "events", "outbox", _deleting("outbox", "id", _EVENTS, "o"), _EVENTS),
    Removal(
        "contexts",
        "contexts",
        "sealed_context",
        _deleting("sealed_context", "token", _CONTEXTS, "c"),
        _CONTEXTS,
    ),
    Removal("identities", "identities", "message", _IDENTITY_BATCH, _IDENTITIES),
)
"""In this order: bodies are judged by the hops of their story."""

STAYING = {
    "body": f"r.message_id in (select e.message_id from entry e where e.transaction_id in ({LIVE})"
    " union select message_id from task where status = 'open')",
    "entry": f"r.transaction_id in ({LIVE})",
}
"""Which rows of a month that is over stay: those of stories that are not finished."""
