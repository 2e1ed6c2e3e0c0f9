"""Keeping the key ring: what is sealed under which key, rotation, resealing, removal.

A rotation changes one file and no row. Resealing then walks every sealed column in the order of
its rows and seals anew what names another key than the active one: small parts, each committed
with its evidence, each row only if it is still as it was read. It may be stopped at any time, run
again, run twice at once, and run beside replicas that write.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import msgspec

from canonical.clock import Clock
from canonical.errors import InternalFault, MissingKey, StateConflict
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.database import Database
from ledger.key_ring import HEADER_BYTES, Key, Ring
from ledger.vault import Vault
from ledger.writer import Act, Writer


class SealedColumn(NamedTuple):
    """Where sealed values are: `row` is the column of the id that is their associated data."""

    what: str
    table: str
    row: str
    sealed: str


SEALED = (
    SealedColumn("bodies", "body", "message_id", "sealed"),
    SealedColumn("contexts", "sealed_context", "token", "sealed"),
    SealedColumn("signing secrets", "subscription", "id", "secrets"),
)
"""Every column that the vault seals: `tests/ledger/test_ledger_key_ring.py` finds a missing one."""

UNVERSIONED = "before rings"
"""What stands for the key id of values that name none."""

_PAGE = 1000
_PART = 100
_PART_BYTES = 4_194_304
_SETTLED = timedelta(seconds=60)
"""So long after its retirement a replica may still have a value in hand that it sealed before."""
_PATIENCE = 3600.0

_CENSUS = """
select key, count(*) as count from (
    select case when named ~ '^\\u0001k[a-z2-7]{{7}}$' then substr(named, 2) else '{none}' end key
    from (select encode(substring({sealed} for {head}), 'escape') as named from {table}) heads
) keys group by key order by key"""

_LOOK = """
select {row} as row, octet_length({sealed}) as size, substring({sealed} for {head}) <> $2 as stale
from {table} where {row} > $1 order by {row} limit $3"""

_READ = """
select {row} as row, {sealed} as sealed
from {table} where {row} = any($1) and substring({sealed} for {head}) <> $2"""
"""Looks again: another run may have resealed what was found stale a moment ago."""

_RESEAL = """
update {table} set {sealed} = n.after
from unnest($1::text[], $2::bytea[], $3::bytea[]) n(row, before, after)
where {table}.{row} = n.row and {table}.{sealed} = n.before"""


class SealedUnder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many values of one column are sealed under a key (`UNVERSIONED`: they name none)."""

    what: str
    key: str
    values: int


class Resealed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run of resealing came to. `left` is under other keys still; `unopened` says why."""

    active: str
    resealed: int
    left: tuple[SealedUnder, ...]
    unopened: dict[str, int]


Told = Callable[[int], None]
"""Hears how many more rows have been looked at."""


class KeyKeeping:
    """Counts, rotates, reseals and removes for the ledger it belongs to."""

    def __init__(self, database: Database, writer: Writer, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._vault = vault
        self._clock = clock

    @property
    def ring(self) -> Ring:
        return self._vault.keys.ring

    async def census(self) -> list[SealedUnder]:
        """Count every sealed value by its key: one walk over the heads of all of them."""
        found = list[SealedUnder]()
        for column in SEALED:
            sql = _sql(_CENSUS, column)
            async with self._database.connection() as connection:
                rows = await connection.fetch(sql, timeout=_PATIENCE)
            found += [
                SealedUnder(what=column.what, key=row["key"], values=row["count"]) for row in rows
            ]
        return found

    async def rotate(self, by: str) -> Ring:
        """Make a new key the active one; replicas take it with the next value they seal."""
        before = self.ring.active.id
        ring = self._vault.keys.change(lambda ring: ring.rotated(self._clock()))
        await self._record(by, "rotate key", ring.active.id, before=before)
        return ring

    async def remove(self, name: str, by: str) -> Ring:
        """Forget a retired key under which nothing is sealed; else raise `StateConflict`."""
        self._vault.keys.refresh()
        key = self.ring.key(name)
        self.ring.without(name)
        left = sum(one.values for one in await self.census() if _needs(one, key))
        if left:
            raise StateConflict(
                f"{left} values are still sealed under this key",
                where=name,
                fix="suture keys reseal, then remove it",
            )
        _check_settled(key, self._clock())
        ring = self._vault.keys.change(lambda ring: ring.without(name))
        await self._record(by, "remove key", name, active=ring.active.id)
        return ring

    async def reseal(self, by: str, told: Told) -> Resealed:
        """Seal under the active key what is sealed under others; say what is left."""
        resealed, unopened = 0, dict[str, int]()
        for column in SEALED:
            resealed += await self._walk(column, by, told, unopened)
        active = self.ring.active.id
        left = tuple(one for one in await self.census() if one.key != active)
        return Resealed(active=active, resealed=resealed, left=left, unopened=unopened)

    async def _walk(
        self, column: SealedColumn, by: str, told: Told, unopened: dict[str, int]
    ) -> int:
        resealed, last = 0, ""
        while True:
            header, _ = self._vault.keys.sealing()
            rows = await self._database.rows(_sql(_LOOK, column), last, header, _PAGE)
            if not rows:
                return resealed
            for part in _parts([(row["row"], row["size"]) for row in rows if row["stale"]]):
                resealed += await self._reseal(column, part, by, unopened)
            last = rows[-1]["row"]
            told(len(rows))

    async def _reseal(
        self, column: SealedColumn, part: list[str], by: str, unopened: dict[str, int]
    ) -> int:
        changed = list[tuple[str, bytes, bytes]]()
        header, _ = self._vault.keys.sealing()
        for row in await self._database.rows(_sql(_READ, column), part, header):
            name, old = str(row["row"]), bytes(row["sealed"])
            try:
                changed.append((name, old, self._vault.seal(name, self._vault.open(name, old))))
            except (MissingKey, InternalFault) as failure:
                why = str(type(failure)(failure.detail))
                unopened[why] = unopened.get(why, 0) + 1
        if not changed:
            return 0
        resealed: int = await self._writer.submit(
            Act(partial(_replace, column, changed, by, self.ring.active.id))
        )
        return resealed

    async def _record(self, by: str, action: str, key: str, **detail: str) -> None:
        await self._writer.submit(
            Evidence(
                kind="access", actor=by, action=action, outcome="done", object=key, detail=detail
            )
        )


async def _replace(
    column: SealedColumn, changed: list[tuple[str, bytes, bytes]], by: str, key: str, batch: Batch
) -> int:
    names, old, new = (list(each) for each in zip(*changed, strict=True))
    done = await batch.connection.execute(_sql(_RESEAL, column), names, old, new)
    resealed = int(done.rpartition(" ")[2])
    batch.evidence.append(
        Evidence(
            kind="access",
            actor=by,
            action=f"reseal {column.what}",
            outcome="done",
            object=key,
            detail={"values": str(resealed), "first": changed[0][0], "last": changed[-1][0]},
        )
    )
    return resealed


def _parts(stale: list[tuple[str, int]]) -> list[list[str]]:
    """Cut rows into parts that are small to read and quick to commit."""
    parts, size = list[list[str]](), _PART_BYTES + 1
    for row, many in stale:
        if size + many > _PART_BYTES or len(parts[-1]) >= _PART:
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += many
    return parts


def _needs(one: SealedUnder, key: Key) -> bool:
    return one.key == key.id or (key.unversioned and one.key == UNVERSIONED)


def _check_settled(key: Key, now: datetime) -> None:
    """Refuse to forget a key that a replica may have sealed with a moment ago."""
    wait = (key.retired or now) + _SETTLED - now
    if key.retired is not None and wait > timedelta():
        raise StateConflict(
            "the key was active a moment ago, and what replicas had in hand may still come",
            where=key.id,
            fix=f"remove it in {wait.total_seconds():.0f} seconds",
            retry_after=wait.total_seconds(),
        )


def _sql(template: str, column: SealedColumn) -> str:
    return template.format(**column._asdict(), head=HEADER_BYTES, none=UNVERSIONED)
