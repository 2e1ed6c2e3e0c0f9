"""What a batch of arrivals becomes in one commit: kept documents, transactions, flows, signals,
tasks.
"""

import hashlib
from typing import Any, NamedTuple

import msgspec

from canonical.clock import Clock
from canonical.errors import Failure, IdentityConflict, UnknownOrder
from canonical.request import Reference
from canonical.task import TaskDraft
from ledger.arrival import Accepted, Announcement, Arrival
from ledger.audit_trail import Evidence
from ledger.catalogue import Catalogue, encoded
from ledger.ids import derived_id, new_id
from ledger.rows import (
    ContextRow,
    EntryRow,
    ReferenceRow,
    Row,
    TaskRow,
    TransactionRow,
    insert_rows,
)
from ledger.vault import Vault
from ledger.writer import Batch

_KEEP = """
insert into message (id, direction, channel, kind, party, identity, control_id, digest, body,
answer, status)
values ($1, 'in', $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (identity) do update
    set status = excluded.status, answer = excluded.answer, at = now()
    where message.status = 'refused' and excluded.status = 'received'
      and message.digest = excluded.digest
      and not exists (select 1 from entry where entry.message_id = message.id)
returning id"""

_KNOWN = """
select m.id, m.digest, m.answer, m.status,
       exists (select 1 from task t where t.message_id = m.id and t.status = 'open') as in_hand,
       array(select transaction_id from entry e where e.message_id = m.id) as transactions
from message m where m.identity = $1"""


_UNHEARD = "update message set status = 'refused' where id = $1"

_SETTLE_TASKS = """
update task set status = 'resolved', resolved_at = now(),
       resolution = '{"action": "retry", "by": "ledger", "reason": "the document came again"}'
where message_id = $1 and status = 'open'"""


class KeptArrival(NamedTuple):
    """An arrival on its way in, with the id it will have."""

    id: str
    arrival: Arrival
    digest: bytes
    sealed: bytes


class Bookings:
    """Applies batches of arrivals for the writer."""

    def __init__(self, vault: Vault, catalogue: Catalogue, clock: Clock) -> None:
        self._vault = vault
        self._catalogue = catalogue
        self._clock = clock

    async def apply(self, batch: Batch, arrivals: list[Any]) -> list[Any]:
        """Apply a batch of arrivals (called by the writer)."""
        await _lock(batch, arrivals)
        booking = _Booking(batch=batch, rows=[], opened={}, identities=set())
        answers = [await self._keep(booking, kept) for kept in arrivals]
        await booking.write()
        return answers

    async def _keep(self, booking: "_Booking", kept: KeptArrival) -> Accepted | Failure:
        arrival, batch = kept.arrival, booking.batch
        if arrival.identity in booking.identities:  # what its first copy led to is still in hand
            await booking.write()
        booking.identities |= {arrival.identity} - {""}
        message: str | None = await batch.connection.fetchval(
            _KEEP,
            kept.id,
            arrival.channel,
            arrival.kind,
            arrival.sender,
            arrival.identity or None,
            arrival.control_id,
            kept.digest,
            kept.sealed,
            arrival.answer,
            "refused" if arrival.refusal else "received",
        )
        if message is None:
            return await _seen_before(booking, kept)
        if message != kept.id:  # refused before, accepted now: what kept it from us is settled
            await batch.connection.execute(_SETTLE_TASKS, message)
        return await self._book(booking, message, kept)

    async def _book(self, booking: "_Booking", message: str, kept: KeptArrival) -> Accepted:
        """Seal the contexts, raise the refusal, announce the facts of one kept arrival."""
        arrival = kept.arrival
        booking.rows += [
            ContextRow(token, self._vault.seal_context(token, context))
            for token, context in arrival.contexts
        ]
        transactions, tasks = list[str](), list[str]()
        if arrival.refusal:
            tasks.append(_refuse(booking, message, arrival.refusal))
        homeless = list[Announcement]()
        for fact in arrival.announcements:
            transaction = await _transaction_for(booking, fact)
            if transaction is None:
                homeless.append(fact)
                continue
            self._announce(booking, message, arrival, fact, transaction)
            transactions.append(transaction)
        for fact in homeless:
            draft = _homeless(fact, alone=not transactions)
            tasks.append(_refuse(booking, message, draft, again=kept.id))
        if homeless and not transactions:  # it may come again once the other side is known
            await booking.batch.connection.execute(_UNHEARD, message)
        outcome = "refused" if tasks else "received"
        booking.batch.evidence.append(_evidence(message, arrival, outcome))
        return Accepted(
            message=message,
            duplicate=False,
            answer=arrival.answer,
            transactions=tuple(dict.fromkeys(transactions)),
            tasks=tuple(tasks),
        )

    def _announce(
        self,
        booking: "_Booking",
        message: str,
        arrival: Arrival,
        fact: Announcement,
        transaction: str,
    ) -> None:
        rows = booking.rows
        rows.append(TransactionRow(transaction, fact.title))
        for reference in (*arrival.references, *fact.references):
            if reference.value:
                booking.opened[reference] = transaction
                rows.append(ReferenceRow(reference.kind, reference.value, transaction))
        facts = encoded(fact.facts)
        hop = EntryRow(
            transaction, f"{arrival.kind} received", "message", arrival.sender, self._clock()
        )
        read_by = encoded({"mapping": arrival.mapping} if arrival.mapping else {})
        rows.append(
            hop._replace(
                message_id=message,
                output=facts,
                versions=read_by,
                actor=arrival.sender,
                why=fact.event,
            )
        )
        rows += self._catalogue.rows_for(
            event=fact.event,
            key=fact.key,
            facts=facts,
            transaction=transaction,
            message=message,
            flow=new_id("flow"),
        )
        booking.batch.wakes = True
        booking.batch.changed.add(transaction)


class _Booking(msgspec.Struct):
    """What one batch of arrivals adds up to: rows to insert, and the names it has given itself."""

    batch: Batch
    rows: list[Row]
    opened: dict[Reference, str]
    identities: set[str]

    async def write(self) -> None:
        """Insert what is in hand: the next look at the tables sees it."""
        rows, self.rows = self.rows, []
        await insert_rows(self.batch.connection, rows)


async def _seen_before(booking: _Booking, kept: KeptArrival) -> Accepted | Failure:
    arrival, batch = kept.arrival, booking.batch
    row = await batch.connection.fetchrow(_KNOWN, arrival.identity)
    if row is None or bytes(row["digest"]) != kept.digest:
        batch.evidence.append(_evidence(kept.id, arrival, "conflict"))
        return IdentityConflict(
            "this identity came before with other content",
            where=arrival.control_id,
            expected="the same bytes, or a new control number",
        )
    batch.evidence.append(_evidence(row["id"], arrival, "duplicate"))
    tasks = list[str]()
    if arrival.refusal and row["status"] == "refused" and not row["in_hand"]:
        # Somebody settled the task and it is refused again: it must not vanish.
        tasks.append(_refuse(booking, row["id"], arrival.refusal, again=kept.id))
    return Accepted(
        message=row["id"],
        duplicate=True,
        answer=bytes(row["answer"]),
        transactions=tuple(dict.fromkeys(row["transactions"])),
        tasks=tuple(tasks),
    )


async def _transaction_for(booking: _Booking, fact: Announcement) -> str | None:
    for reference in fact.joins:
        found: str | None = booking.opened.get(reference)
        found = found or await booking.batch.connection.fetchval(
            "select transaction_id from reference where kind = $1 and value = $2"
            " order by at desc limit 1",
            *reference,
        )
        if found:
            return found
    return None if fact.must_join else new_id("tx")


def _refuse(booking: _Booking, message: str, draft: TaskDraft, *, again: str = "") -> str:
    task = derived_id("task", message, draft.reason, draft.detail, again)
    booking.rows.append(TaskRow.from_draft(task, draft, "refused", message=message))
    return task


async def _lock(batch: Batch, arrivals: list[KeptArrival]) -> None:
    """Hold what these arrivals join or name, in one order, so that two processes open one story
    once.
    """
    names = {
        f"{reference.kind}\x1f{reference.value}"
        for kept in arrivals
        for fact in kept.arrival.announcements
        for reference in (*fact.joins, *fact.references)
    } | {kept.arrival.identity for kept in arrivals if kept.arrival.identity}
    await batch.connection.execute(
        "select pg_advisory_xact_lock(n) from"
        " (select distinct hashtextextended(n, 7) n from unnest($1::text[]) n order by 1) locks(n)",
        list(names),
    )


def _homeless(fact: Announcement, *, alone: bool) -> TaskDraft:
    wanted = ", ".join(f"{r.kind} {r.value}" for r in fact.joins)
    return TaskDraft(
        reason=UnknownOrder.slug,
        title=f"{fact.title}: nothing here to attach it to",
        detail=f"no transaction knows {wanted}",
        owner="integration",
        actions=("retry", "abandon") if alone else ("abandon",),
        fix="ask the sender which order this answers, or retry when the order is known"
        if alone
        else "the rest of the interchange was taken: have this document sent again",
    )


def _evidence(message: str, arrival: Arrival, outcome: str) -> Evidence:
    return Evidence(
        kind="message",
        actor=arrival.sender,
        action=f"{arrival.channel} {arrival.kind}",
        outcome=outcome,
        object=message,
        detail={
            "controlId": arrival.control_id,
            "sha256": hashlib.sha256(arrival.body).hexdigest(),
        },
    )
