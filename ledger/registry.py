"""Versioned master data as canonical objects, and the crosswalk between codes.

An object is never changed: a new version is added. The newest version is the one that holds;
effective
dates are the object's own fields, judged by the rules that use them.
"""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec

from canonical.errors import NotFound, UnknownItem
from canonical.item import ItemCode, ItemId
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.catalogue import encoded
from ledger.database import Database
from ledger.writer import Act, Writer

T = TypeVar("T", bound=msgspec.Struct)

_NEWEST = """
select distinct on (id) body from registry
where kind = $1 and ($2 = '' or id = $2 or starts_with(id, $2 || '/')) order by id, version desc"""

# Versions are counted up: two replicas that load the same files at once take turns.
_ALONE = "select pg_advisory_xact_lock(7405160114)"

_ADD = """
insert into registry (kind, id, version, body, changed_by)
select $1, $2, coalesce(max(version), 0) + 1, $3::jsonb, $4 from registry
where kind = $1 and id = $2
having coalesce((array_agg(body order by version desc))[1] <> $3::jsonb, true)"""

_POINT = """
insert into crosswalk values ($1, $2, $3, $4)
on conflict (scheme, value, issuer) do update set item = excluded.item"""

_RESOLVE = """
select item from crosswalk
where scheme = $1 and value = $2 and ($3 = '' or issuer in ($3, '')) order by issuer desc"""


async def _put(
    objects: Sequence[tuple[str, msgspec.Struct]],
    codes: Sequence[tuple[ItemCode, ItemId]],
    by: str,
    batch: Batch,
) -> int:
    added, connection = 0, batch.connection
    await connection.execute(_ALONE)
    for key, body in objects:
        status = await connection.execute(_ADD, type(body).__name__, key, encoded(body), by)
        added += int(status.rsplit(" ", 1)[1])
    await connection.executemany(
        _POINT, [(code.scheme, code.value, code.issuer, item) for code, item in codes]
    )
    given = {"changed": str(added), "objects": str(len(objects)), "codes": str(len(codes))}
    batch.evidence.append(
        Evidence(
            kind="master-data",
            actor=by,
            action="change master data",
            outcome="done",
            detail=given,
        )
    )
    return added


class Registry:
    """Reads and extends the master data that Suture itself keeps."""

    system = "registry"

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def put(
        self,
        objects: Sequence[tuple[str, msgspec.Struct]],
        codes: Sequence[tuple[ItemCode, ItemId]] = (),
        *,
        by: str,
    ) -> int:
        """Add new versions of (id, object) where they differ from the newest, add or re-point
        crosswalk codes; return how many objects changed. All of it or nothing.
        """
        added: int = await self._writer.submit(Act(partial(_put, objects, codes, by)))
        return added

    async def all_of(self, kind: type[T], prefix: str = "") -> list[T]:
        """Return the newest versions of every object whose id is `prefix` or below it (`a/b`)."""
        rows = await self._database.rows(_NEWEST, kind.__name__, prefix)
        return [msgspec.json.decode(row["body"], type=kind) for row in rows]

    async def one(self, kind: type[T], key: str) -> T:
        """Return the newest version of one object, or raise `NotFound`."""
        found = await self.find(kind, key)
        if found is None:
            raise NotFound(f"no {kind.__name__} {key}")
        return found

    async def find(self, kind: type[T], key: str) -> T | None:
        row = await self._database.row(
            "select body from registry where kind = $1 and id = $2 order by version desc limit 1",
            kind.__name__,
            key,
        )
        return None if row is None else msgspec.json.decode(row["body"], type=kind)

    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId:
        """Return the item that the first known code names, or raise `UnknownItem`.

        Codes are tried in the sender's order. A code with an issuer also matches one without; a
        code without matches any issuer's, as long as they all mean one item.
        """
        for code in codes:
            rows = await self._database.rows(_RESOLVE, code.scheme, code.value, code.issuer)
            items = list(dict.fromkeys(row["item"] for row in rows))
            if items and (code.issuer or len(items) == 1):
                return ItemId(items[0])
        tried = ", ".join(f"{code.scheme} {code.value}" for code in codes) or "no code at all"
        raise UnknownItem(
            f"no item for {tried}",
            expected="a code of the crosswalk",
            fix="add the code to the item's crosswalk, then retry",
        )
