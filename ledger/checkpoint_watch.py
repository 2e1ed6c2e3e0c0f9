"""Holding each new checkpoint against the one before it, its key, and the records it states.

That costs as much as there is new. It finds at once what was changed at the places that are signed;
reading everything (`ledger/audit/verification.py`) finds the rest.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from ledger.audit.checkpoint import ChainHead, SignedCheckpoint
from ledger.audit.keys import AuditKeys
from ledger.database import Connection

if TYPE_CHECKING:
    import asyncpg

    Session = Connection[asyncpg.Record]

_A_TURN = 200
_NEXT = """
select number, body, signature from checkpoint where number >= $1 order by number limit $2"""
# A head that is gone is one that was removed by rule, unless it is of the last day.
_UNLIKE = """
select h.chain, h.seq, a.hash is null as gone from unnest($1::text[], $2::bigint[], $3::text[])
    h(chain, seq, hash)
left join audit a on a.chain = h.chain and a.seq = h.seq
where encode(a.hash, 'hex') is distinct from h.hash
  and (a.hash is not null or $4::timestamptz > now() - interval '1 day')"""


async def broken_checkpoints(
    session: "Session", seen: int, keys: AuditKeys | None
) -> tuple[int, list[str]]:
    """Return how far has been looked now, and what does not hold after checkpoint `seen`."""
    rows = await session.fetch(_NEXT, max(seen, 1), _A_TURN)
    found = [SignedCheckpoint(*row) for row in rows]
    if seen and (not found or found[0].number != seen):
        return seen, [f"checkpoint {seen} was there and is gone"]
    broken, last = list[str](), found[0] if seen else None
    for signed in found[1:] if seen else found:
        broken += _unsound(signed, last, keys)
        broken += await _unlike(session, signed)
        last = signed
    return (last.number if last else seen), broken


def _unsound(
    signed: SignedCheckpoint, last: SignedCheckpoint | None, keys: AuditKeys | None
) -> list[str]:
    told, number = signed.read(), signed.number
    if told is None or told.number != number:
        return [f"checkpoint {number} is not the one that was written"]
    if number != (last.number + 1 if last else 1):
        return [f"a checkpoint before {number} is missing"]
    if told.previous != (last.hash if last else ""):
        return [f"checkpoint {number} does not follow from the one before it"]
    key = {key.id: key for key in keys.public()}.get(told.key) if keys else None
    if key and not key.signed_checkpoint(signed.body, signed.signature):
        return [f"the signature of checkpoint {number} does not hold"]
    return []


async def _unlike(session: "Session", signed: SignedCheckpoint) -> list[str]:
    """Return which records are not the ones that the checkpoint states."""
    told = signed.read()
    heads: tuple[ChainHead, ...] = told.chains if told else ()
    if told is None or not heads:
        return []
    chains, places = [head.chain for head in heads], [head.seq for head in heads]
    hashes, at = [head.hash for head in heads], datetime.fromisoformat(told.at)
    rows = await session.fetch(_UNLIKE, chains, places, hashes, at)
    return [
        f"record {row['seq']} of {row['chain']} is {'gone' if row['gone'] else 'another one'}:"
        f" checkpoint {signed.number} states it"
        for row in rows
    ]
