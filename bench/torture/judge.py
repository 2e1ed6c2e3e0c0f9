"""What a run comes to: everything acknowledged is there, done once, in order, and nothing is left.

The ledger is not asked what it thinks of itself. What senders wrote down and what the outside wrote
down is held against its tables, row by row.
"""

from collections import Counter
from pathlib import Path

import asyncpg
import msgspec

from bench.torture.arena import Arena, opened
from bench.torture.documents import drawn
from bench.torture.outside_server import Deed, account
from bench.torture.sender import Acknowledged, acknowledged
from bench.torture.store import session

Effect = tuple[str, str]
"""What was done outside, and for which number."""

_KEPT = "select identity, id from message where direction = 'in'"
_UNFINISHED = """
select id, name, key, status, owner, attempts from flow
where status not in ('done', 'cancelled') order by arrival limit 100"""
_TWICE = {
    "flow of one document": "select message_id from flow where message_id is not null"
    " group by message_id, name, key having count(*) > 1",
    "step": "select flow_id, name from step group by flow_id, name having count(*) > 1",
    "hop of an effect": "select flow_id, hop from entry where kind in ('effect', 'disclose')"
    " and hop <> 'patient context opened' group by flow_id, hop having count(*) > 1",
    "end of a flow": "select flow_id, hop from entry where kind = 'end'"
    " group by flow_id, hop having count(*) > 1",
    "event in the outbox": "select type, subject from outbox group by 1, 2 having count(*) > 1",
    "signal taken": "select flow_id, event from taken join signal on signal.id = signal_id"
    " group by 1, 2 having count(*) > 1",
}
_ORPHANS = {
    "step": "select flow_id from step where flow_id not in (select id from flow)",
    "hop": "select seq from entry where transaction_id not in (select id from transaction)"
    " or flow_id is not null and flow_id not in (select id from flow)",
    "signal": "select id from signal where transaction_id not in (select id from transaction)",
    "signal taken": "select signal_id from taken where flow_id not in (select id from flow)"
    " or signal_id not in (select id from signal)",
    "wait": "select flow_id from awaited join flow on flow.id = flow_id"
    " where flow.ended_at is not null",
    "flow": "select id from flow where transaction_id not in (select id from transaction)"
    " or message_id is not null and message_id not in (select id from message)",
    "message": "select id from message where direction = 'in' and id not in"
    " (select message_id from entry where message_id is not null)"
    " and id not in (select message_id from task where message_id is not null)",
    "number of a step": "select flow_id from step group by flow_id"
    " having max(number) <> count(*) or min(number) <> 1",
}


class Verdict(msgspec.Struct, kw_only=True, rename="camel"):
    """The findings, in words; empty lists are what is wanted."""

    lost: list[str]
    doubled: list[str]
    stuck: list[str]
    sent: int = 0
    duplicates: int = 0
    messages: int = 0
    flows: int = 0
    effects: int = 0
    repeated: int = 0
    undone: int = 0
    audited: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck)


async def judge(arena: Arena) -> Verdict:
    """Hold everything against everything."""
    verdict = Verdict(lost=[], doubled=[], stuck=[])
    lanes = acknowledged(arena.folder)
    async with opened(arena) as ledger:
        records, broken = await ledger.audit.verify()
        verdict.audited = records
        verdict.lost += [f"audit record {each.chain}:{each.seq}: {each.reason}" for each in broken]
    async with session(arena.dsn) as connection:
        await _documents(connection, lanes, verdict)
        await judge_rows(connection, verdict)
    _effects(arena, lanes, verdict)
    return verdict


async def _documents(
    connection: "asyncpg.Connection[asyncpg.Record]",
    lanes: dict[str, list[Acknowledged]],
    verdict: Verdict,
) -> None:
    """Messages in = distinct acknowledged ones; each answer names the message that is kept."""
    kept = {str(row[0]): str(row[1]) for row in await connection.fetch(_KEPT)}
    lines = [line for told in lanes.values() for line in told]
    first = Counter(line.identity for line in lines if not line.duplicate)
    known = {line.identity for line in lines}
    verdict.sent, verdict.messages = len(lines), len(kept)
    verdict.duplicates = len(lines) - len(known)
    verdict.lost += [
        f"document {line.identity} was acknowledged as {line.message}"
        for line in lines
        if kept.get(line.identity) != line.message
    ]
    verdict.lost += [f"document {name} is kept, not acknowledged" for name in kept.keys() - known]
    verdict.doubled += [f"document {name} was new {n} times" for name, n in first.items() if n > 1]


async def judge_rows(connection: "asyncpg.Connection[asyncpg.Record]", verdict: Verdict) -> None:
    verdict.flows = await connection.fetchval("select count(*) from flow")
    for row in await connection.fetch(_UNFINISHED):
        verdict.stuck.append("flow {} {} {}: {}, of {}, {} tries".format(*row))
    for row in await connection.fetch("select kind, id, title from task where status = 'open'"):
        verdict.stuck.append(f"{row[0]} task {row[1]}: {row[2]}")
    for what, sql in _TWICE.items():
        verdict.doubled += [f"{what}: {tuple(row)}" for row in await connection.fetch(sql)]
    for what, sql in _ORPHANS.items():
        verdict.lost += [f"what {what} {row[0]} is of" for row in await connection.fetch(sql)]


def _effects(arena: Arena, lanes: dict[str, list[Acknowledged]], verdict: Verdict) -> None:
    """Every effect of every acknowledged document, once; and no other."""
    wanted, undone = set[Effect](), set[Effect]()
    for lane, lines in lanes.items():
        for place in {line.place for line in lines}:
            told = drawn(arena.seed, lane, place)
            (undone if told.undone else wanted).update(told.effects)
    nothing_but(wanted, undone, arena.folder, verdict)


def nothing_but(wanted: set[Effect], undone: set[Effect], folder: Path, verdict: Verdict) -> None:
    """Hold (what, for which number) against the outside's account; pieces of a chain in order."""
    deeds = account(folder)
    happened = Counter(
        (d.order.kind, d.order.number) for d in deeds if not d.repeated and not d.order.undo
    )
    verdict.effects = happened.total()
    verdict.repeated = sum(deed.repeated for deed in deeds)
    verdict.lost += [f"effect {effect}" for effect in wanted - happened.keys()]
    verdict.doubled += [f"effect {effect}: {n} times" for effect, n in happened.items() if n > 1]
    nothing = happened.keys() - wanted - undone
    verdict.doubled += [f"effect {effect} of nothing" for effect in nothing]
    _taken_back(deeds, undone, verdict)
    _order(deeds, verdict)


def _taken_back(deeds: list[Deed], undone: set[Effect], verdict: Verdict) -> None:
    """What belongs to a cancelled flow was taken back after it was done; nothing else was."""
    standing = dict[str, Effect]()
    for deed in deeds:
        order = deed.order
        if not order.undo and not deed.repeated:
            standing[order.key] = (order.kind, order.number)
        elif order.undo and not deed.repeated:
            known = standing.pop(order.key, None)
            verdict.undone += known is not None
            if known is not None and known not in undone:
                verdict.lost.append(f"effect {known} was taken back, and nobody wanted that")
    left = [effect for effect in standing.values() if effect in undone]
    verdict.doubled += [
        f"effect {effect} of a cancelled flow was not taken back" for effect in left
    ]


def _order(deeds: list[Deed], verdict: Verdict) -> None:
    """Pieces of one chain happened in the order in which they came."""
    latest: dict[str, int] = {}
    for deed in deeds:
        if deed.order.kind != "append" or deed.repeated:
            continue
        chain, _, number = deed.order.number.partition("#")
        if int(number) <= latest.get(chain, -1):
            verdict.doubled.append(f"order of {chain}: {number} after {latest[chain]}")
        latest[chain] = max(int(number), latest.get(chain, -1))
