"""Reading the trail in the order in which it is verified and exported.

Before each checkpoint come the records that it is the first to state, chain by chain; at the end
those that none states yet. A part of the trail has the records that are wanted, and digests for all
others from there to the next position that a checkpoint states.
"""

from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ledger.audit.chain import KeptRecord, first_hash, has_times, record_digest
from ledger.audit.checkpoint import ChainHead, Checkpoint, Floor, SignedCheckpoint
from ledger.database import Connection

if TYPE_CHECKING:
    import asyncpg

    Session = Connection[asyncpg.Record]

_PAGE = 4000
_LOWEST = -(2**63)
_HIGHEST = 2**63 - 1

_COLUMNS = (
    "a.chain, a.seq, a.kind, a.transaction_id, a.record, a.hash, a.at, a.actor,"
    " a.object, a.facility, a.refusal"
)
_PAGE_OF = f"""
select {_COLUMNS} from audit a
where chain = $1 and seq >= $2 and (seq > $2 or at > $3) and seq <= $4
order by seq, at limit {_PAGE}"""
_BUNCH = f"""
select {_COLUMNS} from unnest($1::text[], $2::bigint[], $3::bigint[]) with ordinality
     s(chain, low, high, n)
cross join lateral (
    select * from audit where chain = s.chain and seq > s.low and seq <= s.high order by seq, at
) a order by s.n, a.seq, a.at"""
_CHECKPOINTS = """
select number, body, signature from checkpoint where number > $1 order by number limit 500"""
_NAMES = """
with recursive name(chain) as (
    (select chain from audit order by chain limit 1) union all
    select (select a.chain from audit a where a.chain > name.chain order by a.chain limit 1)
    from name where name.chain is not null
) select chain from name where chain is not null order by chain"""
_FLOORS = """
select number, body, signature from checkpoint
where position(convert_to('"floors"', 'UTF8') in body) > 0 order by number"""
_EXTENT = """
select chain, min(seq) as first, max(seq) as last from audit
where ($1::text is null or transaction_id = $1)
  and ($2::timestamptz is null or at >= $2) and ($3::timestamptz is null or at < $3)
group by chain"""


class Wanted(NamedTuple):
    """Which records a part of the trail has: `since` is included, `until` is not."""

    transaction: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, row: KeptRecord) -> bool:
        return (
            self.transaction in (None, row.transaction_id)
            and (self.since is None or row.at >= self.since)
            and (self.until is None or row.at < self.until)
        )


class Resumed(NamedTuple):
    """A chain is taken up after record `seq`, whose hash is `before`."""

    chain: str
    seq: int
    before: bytes


class LeftOut(NamedTuple):
    """Records from `first` on that only their digests stand for."""

    chain: str
    first: int
    digests: list[bytes]


Piece = KeptRecord | SignedCheckpoint | Resumed | LeftOut


class _Segment(NamedTuple):
    """The records of a chain after `low`, up to and with `high`; `before` is the hash at `low`."""

    chain: str
    low: int
    high: int
    before: bytes


async def floors_of(session: "Session") -> list[Floor]:
    """Return where chains begin by the newest word of the checkpoints."""
    floors = dict[str, Floor]()
    for row in await session.fetch(_FLOORS):
        told = SignedCheckpoint(*row).read()
        floors.update((floor.chain, floor) for floor in (told.floors if told else ()))
    return list(floors.values())


async def registered_chains(session: "Session") -> list[tuple[str, int]]:
    """Return every chain that was begun, and how far it is said to be covered."""
    rows = await session.fetch("select chain, covered from audit_chain order by chain")
    return [(row["chain"], row["covered"]) for row in rows]


async def whole_trail(session: "Session") -> AsyncGenerator[Piece]:
    """Yield everything. The session is in one snapshot."""
    stated = dict[str, int]()
    async for bunch in _bunches(session, stated):
        async for piece in _whole_bunch(session, bunch):
            yield piece
    for row in await session.fetch(_NAMES):
        tail = _Segment(row["chain"], stated.get(row["chain"], _LOWEST), _HIGHEST, b"")
        async for one in _pages(session, tail):
            yield one


Bunch = list[_Segment | SignedCheckpoint]


async def _bunches(session: "Session", stated: dict[str, int]) -> AsyncGenerator[Bunch]:
    """Yield segments and checkpoints in order, some thousand records at a time."""
    bunch, size = Bunch(), 0
    async for signed, told in _checkpoints(session):
        for head in told.chains if told else ():
            low = stated.get(head.chain, _LOWEST)
            if head.seq > low:
                stated[head.chain] = head.seq
                bunch.append(_Segment(head.chain, low, head.seq, b""))
                size += head.seq - max(low, 0)
        bunch.append(signed)
        if size >= _PAGE or len(bunch) >= _PAGE:
            yield bunch
            bunch, size = Bunch(), 0
    yield bunch


async def _whole_bunch(session: "Session", bunch: Bunch) -> AsyncGenerator[Piece]:
    small = [each for each in bunch if isinstance(each, _Segment) and _is_small(each)]
    columns = [each.chain for each in small], [each.low for each in small]
    found = await session.fetch(_BUNCH, *columns, [each.high for each in small]) if small else []
    rows = iter([KeptRecord(*row) for row in found])
    row = next(rows, None)
    for each in bunch:
        if isinstance(each, SignedCheckpoint):
            yield each
        elif _is_small(each):
            while row is not None and row.chain == each.chain and row.seq <= each.high:
                yield row
                row = next(rows, None)
        else:
            async for one in _pages(session, each):
                yield one


def _is_small(segment: _Segment) -> bool:
    return segment.high - max(segment.low, 0) <= _PAGE


async def _pages(session: "Session", segment: _Segment) -> AsyncGenerator[KeptRecord]:
    after, at = segment.low, None
    while True:
        page = await session.fetch(_PAGE_OF, segment.chain, after, at, segment.high)
        for row in page:
            yield KeptRecord(*row)
        if len(page) < _PAGE:
            return
        after, at = page[-1]["seq"], page[-1]["at"]


async def _checkpoints(
    session: "Session",
) -> AsyncGenerator[tuple[SignedCheckpoint, Checkpoint | None]]:
    after = _LOWEST
    while page := await session.fetch(_CHECKPOINTS, after):
        for row in page:
            signed = SignedCheckpoint(*row)
            yield signed, signed.read()
        after = page[-1]["number"]


async def part_of_trail(session: "Session", wanted: Wanted) -> AsyncGenerator[Piece]:
    """Yield the records that are wanted, and what proves them. The session is in one snapshot."""
    rows = await session.fetch(_EXTENT, *wanted)
    extent = {row["chain"]: (row["first"], row["last"]) for row in rows}
    heads = {floor.chain: _head(floor) for floor in await floors_of(session)}
    async for signed, told in _checkpoints(session):
        proves = False
        for segment in _relevant(told.chains if told else (), heads, extent):
            async for piece in _part_of_segment(session, segment, wanted):
                proves = True
                yield piece
        if proves or (told is not None and told.announces is not None):
            yield signed
    for chain in sorted(extent):
        seq, before = heads.get(chain, (_LOWEST, first_hash(chain)))
        if extent[chain][1] > seq:
            tail = _Segment(chain, seq, _HIGHEST, before)
            async for piece in _part_of_segment(session, tail, wanted):
                yield piece


def _head(floor: Floor) -> tuple[int, bytes]:
    return floor.first - 1, bytes.fromhex(floor.before)


def _relevant(
    chains: Iterable[ChainHead],
    heads: dict[str, tuple[int, bytes]],
    extent: dict[str, tuple[int, int]],
) -> list[_Segment]:
    """Return the segments up to `chains` that may have something, and move `heads` on."""
    found = list[_Segment]()
    for head in chains:
        low, before = heads.get(head.chain, (_LOWEST, first_hash(head.chain)))
        if head.seq <= low:
            continue
        heads[head.chain] = head.seq, bytes.fromhex(head.hash)
        first, last = extent.get(head.chain, (_HIGHEST, _LOWEST))
        if first <= head.seq and last > low:
            found.append(_Segment(head.chain, low, head.seq, before))
    return found


async def _part_of_segment(
    session: "Session", segment: _Segment, wanted: Wanted
) -> AsyncGenerator[Piece]:
    """Yield a segment from its first wanted record on; nothing where there is none."""
    before, begun, gap = segment.before, False, LeftOut(segment.chain, 0, [])
    async for row in _pages(session, segment):
        wants = wanted.has(row)
        if wants and not begun:
            begun = True
            yield Resumed(row.chain, row.seq - 1, before)
        before = row.hash
        if not begun:
            continue
        if not wants and has_times(row.chain):
            gap = gap if gap.digests else LeftOut(row.chain, row.seq, [])
            gap.digests.append(record_digest(row.chain, row.seq, row.at, row.record))
        if gap.digests and (wants or len(gap.digests) >= _PAGE):
            yield gap
            gap = LeftOut(segment.chain, 0, [])
        if wants or not has_times(row.chain):
            yield row
    if gap.digests:
        yield gap
