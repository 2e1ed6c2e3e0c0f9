"""What a batch of arrivals becomes in one commit: kept documents, transactions, flows, signals,
tasks.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from canonical.clock import Clock
from canonical.errors import Failure, IdentityConflict, UnknownOrder
from canonical.request import Reference
from canonical.task import TaskDraft
from ledger.arrival import Accepted, Announcement, Arrival
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.catalogue import Catalogue, encoded
from ledger.due_rows import TaskRow
from ledger.ids import derived_id, new_id
from ledger.rows import (
    ContextRow,
    EntryRow,
    MessageRow,
    ReferenceRow,
    TransactionRow,
    lock_number,
)
from ledger.vault import Vault

_KEEP = "select * from keep_messages($1)"

# It was refused before and nothing has come of it: it may be accepted now.
_KEEP_AGAIN = """
update message set status = 'received', answer = $3, at = now()
where identity = $1 and digest = $2 and status = 'refused'
  and not exists (select 1 from entry where entry.message_id = message.id)
returning id"""

_KNOWN = """
select m.id, m.digest, m.answer, m.status,
       exists (select 1 from task t where t.message_id = m.id and t.status = 'open') as in_hand,
       array(select transaction_id from entry e where e.message_id = m.id) as transactions
from message m where m.identity = $1"""

_JOINED = """
select distinct on (r.kind, r.value) r.kind, r.value, r.transaction_id
from unnest($1::text[], $2::text[]) as wanted(kind, value)
join reference r on r.kind = wanted.kind and r.value = wanted.value
order by r.kind, r.value, r.at desc"""


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
    under: dict[str, str]


class Bookings:
    """Applies batches of arrivals for the writer."""

    def __init__(self, vault: Vault, catalogue: Catalogue, clock: Clock) -> None:
        self._vault = vault
        self._catalogue = catalogue
        self._clock = clock

    def locks(self, kept: KeptArrival) -> Iterator[int]:
        """Yield the locks of what this arrival is, joins, names and starts, so that two processes
        open one story once, and one queue has one order.
        """
        arrival = kept.arrival
        if arrival.identity:
            yield lock_number("message", arrival.identity)
        for fact in arrival.announcements:
            for reference in {*fact.joins, *fact.references}:
                yield lock_number("reference", *reference)
            yield self._catalogue.lock_of(fact.event, fact.key)

    async def apply(self, batch: Batch, arrivals: list[Any]) -> list[Any]:
        """Apply a batch of arrivals (called by the writer)."""
        booking = _Booking(batch=batch, opened=await _joined(batch, arrivals))
        fresh, answers = await _fresh(batch, arrivals), list[Any]()
        for kept in arrivals:
            told, is_new = len(batch.evidence), kept.id in fresh
            booked = self._book(booking, kept.id, kept) if is_new else self._again(booking, kept)
            answers.append(await booked)
            batch.complete(told, kept.under)
        return answers

    async def _again(self, booking: "_Booking", kept: KeptArrival) -> Accepted | Failure:
        """Answer a document that came before; take it in where it was only refused."""
        arrival, batch = kept.arrival, booking.batch
        await batch.flush()  # what its first copy led to may still be in hand
        if not arrival.refusal:
            message: str | None = await batch.connection.fetchval(
                _KEEP_AGAIN, arrival.identity, kept.digest, arrival.answer
            )
            if message is not None:  # what kept it from us is settled
                await batch.connection.execute(_SETTLE_TASKS, message)
                return await self._book(booking, message, kept)
        return await _seen_before(booking, kept)

    async def _book(self, booking: "_Booking", message: str, kept: KeptArrival) -> Accepted:
        """Seal the contexts, raise the refusal, announce the facts of one kept arrival."""
        arrival = kept.arrival
        booking.batch.rows += [
            ContextRow(token, self._vault.seal_context(token, context))
            for token, context in arrival.contexts
        ]
        transactions, tasks = list[str](), list[str]()
        if arrival.refusal:
            tasks.append(_refuse(booking, message, arrival.refusal))
        homeless = list[Announcement]()
        for fact in arrival.announcements:
            transaction = _transaction_for(booking, fact)
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
        told = _evidence(message, kept, outcome)  # told of every transaction it belongs to
        booking.batch.evidence += [
            msgspec.structs.replace(told, transaction=transaction)
            for transaction in dict.fromkeys(transactions) or [""]
        ]
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
        rows = booking.batch.rows
        rows.append(TransactionRow(transaction, fact.title))
        patients = (Reference("context", token) for token, _ in arrival.contexts)
        for reference in (*arrival.references, *fact.references, *patients):
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
    """One batch of arrivals, and which transaction each name it knows belongs to."""

    batch: Batch
    opened: dict[Reference, str]


async def _fresh(batch: Batch, arrivals: list[KeptArrival]) -> set[str]:
    """Keep the documents that have not come before; return their ids."""
    rows = [
        MessageRow(
            kept.id,
            kept.arrival.channel,
            kept.arrival.kind,
            kept.arrival.sender,
            kept.arrival.identity or None,
            kept.arrival.control_id,
            kept.digest,
            kept.sealed,
            kept.arrival.answer,
            "refused" if kept.arrival.refusal else "received",
        )
        for kept in arrivals
    ]
    return {row[0] for row in await batch.connection.fetch(_KEEP, rows)}


async def _joined(batch: Batch, arrivals: list[KeptArrival]) -> dict[Reference, str]:
    """Return the transaction of each name these arrivals want to join, the newest where several
    have it.
    """
    wanted = {
        reference
        for kept in arrivals
        for fact in kept.arrival.announcements
        for reference in fact.joins
    }
    if not wanted:
        return {}
    kinds, values = zip(*wanted, strict=True)
    rows = await batch.connection.fetch(_JOINED, kinds, values)
    return {Reference(row["kind"], row["value"]): row["transaction_id"] for row in rows}


async def _seen_before(booking: _Booking, kept: KeptArrival) -> Accepted | Failure:
    arrival, batch = kept.arrival, booking.batch
    row = await batch.connection.fetchrow(_KNOWN, arrival.identity)
    if row is None or bytes(row["digest"]) != kept.digest:
        batch.evidence.append(_evidence(kept.id, kept, "conflict"))
        return IdentityConflict(
            "this identity came before with other content",
            where=arrival.control_id,
            expected="the same bytes, or a new control number",
        )
    batch.evidence.append(_evidence(row["id"], kept, "duplicate"))
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


def _transaction_for(booking: _Booking, fact: Announcement) -> str | None:
    for reference in fact.joins:
        if found := booking.opened.get(reference):
            return found
    return None if fact.must_join else new_id("tx")


def _refuse(booking: _Booking, message: str, draft: TaskDraft, *, again: str = "") -> str:
    task = derived_id("task", message, draft.reason, draft.detail, again)
    booking.batch.rows.append(TaskRow.from_draft(task, draft, "refused", message=message))
    return task


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


def _evidence(message: str, kept: KeptArrival, outcome: str) -> Evidence:
    arrival = kept.arrival
    return Evidence(
        kind="message",
        actor=arrival.sender,
        action=f"{arrival.channel} {arrival.kind}",
        outcome=outcome,
        object=message,
        detail={"controlId": arrival.control_id, "sha256": kept.digest.hex()},
    )
