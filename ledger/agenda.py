"""What is due and what was late, by tier and kind: the record of deadlines, read from what is open.

Counted are waits, promises and questions that are open now, and what broke its deadline in the last
day: none of it grows with history.
"""

from datetime import datetime

import msgspec

from ledger.database import Database

_SHOWN = 20
"""So many transactions are named per tier and kind, the most pressing first."""

_OPEN = """
with due as (
    select distinct w.flow_id as id, coalesce(nullif(w.deadline, ''), w.name) as kind, w.tier,
           w.due_at, w.name as what, w.affected, f.transaction_id
    from awaited w join flow f on f.id = w.flow_id
    where f.status = 'waiting' and w.due_at is not null
    union all
    select d.flow_id, d.kind, d.tier, d.due_at, d.name, d.affected, f.transaction_id
    from deadline d join flow f on f.id = d.flow_id
    where f.ended_at is null
      and not exists (select 1 from step s where s.flow_id = d.flow_id and s.name = d.until)
    union all
    select k.id, k.deadline, k.tier, k.due_at, k.title, k.affected, k.transaction_id
    from task k where k.status = 'open' and k.kind = 'decision' and k.due_at is not null
), placed as (
    select *, row_number() over (partition by tier, kind order by due_at, id) as place from due)
select tier, kind, count(*) filter (where due_at >= now()) as waiting,
       count(*) filter (where due_at < now()) as overdue,
       jsonb_agg(jsonb_build_object('transaction', transaction_id, 'what', what, 'dueAt', due_at,
                                    'affected', affected, 'overdue', due_at < now())
                 order by place) filter (where place <= $1) as pressing
from placed group by tier, kind"""

_LATE = """
with late as (
    select * from task where kind = 'overdue' and raised_at > now() - interval '1 day'
    union all
    select * from task where escalated_at > now() - interval '1 day'
), placed as (
    select tier, coalesce(nullif(deadline, ''), title) as kind, transaction_id, title, due_at,
           affected, row_number() over (partition by tier, deadline order by due_at desc, id) place
    from late)
select tier, kind, count(*) as breached,
       jsonb_agg(jsonb_build_object('transaction', transaction_id, 'what', title, 'dueAt', due_at,
                                    'affected', affected, 'overdue', true)
                 order by place) filter (where place <= $1) as broken
from placed group by tier, kind"""


class DueItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that is or was due, and who is affected."""

    transaction: str
    what: str
    due_at: datetime | None
    affected: str
    overdue: bool


class DueGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How things stand with one kind of deadline in one tier: the `pressing` ones are open, the
    `broken` ones were late within the last day.
    """

    tier: str
    kind: str
    waiting: int = 0
    overdue: int = 0
    breached_last_day: int = 0
    pressing: tuple[DueItem, ...] = ()
    broken: tuple[DueItem, ...] = ()


class Agenda:
    """Reads what is due."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def groups(self) -> list[DueGroup]:
        """Return every tier and kind with something open or lately late; critical ones first."""
        found = dict[tuple[str, str], DueGroup]()
        for row in await self._database.rows(_OPEN, _SHOWN):
            found[row["tier"], row["kind"]] = DueGroup(
                tier=row["tier"],
                kind=row["kind"],
                waiting=row["waiting"],
                overdue=row["overdue"],
                pressing=_items(row["pressing"]),
            )
        for row in await self._database.rows(_LATE, _SHOWN):
            place = row["tier"], row["kind"]
            known = found.get(place) or DueGroup(tier=row["tier"], kind=row["kind"])
            found[place] = msgspec.structs.replace(
                known, breached_last_day=row["breached"], broken=_items(row["broken"])
            )
        return sorted(found.values(), key=_rank)


_TIERS = ("critical", "urgent", "routine", "")


def _rank(group: DueGroup) -> tuple[int, str]:
    known = group.tier in _TIERS
    return (_TIERS.index(group.tier) if known else len(_TIERS), group.kind)


def _items(text: str | None) -> tuple[DueItem, ...]:
    return msgspec.json.decode(text or "[]", type=tuple[DueItem, ...])
