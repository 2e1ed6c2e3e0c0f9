"""Every document received or sent, kept byte-exact and sealed before anything else happens."""

import hashlib
from datetime import datetime
from functools import partial

import msgspec

from canonical.errors import NotFound
from canonical.request import EventName
from ledger.arrival import Accepted, Arrival, Departure
from ledger.audit.evidence import circumstances
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.booking import KeptArrival
from ledger.database import Database
from ledger.ids import derived_id, new_id
from ledger.vault import Vault
from ledger.writer import Act, Writer

_NAME_DEPARTURE = """
insert into reference (kind, value, transaction_id)
select $1, $2, flow.transaction_id from flow where flow.id = split_part($3, '/', 1)
on conflict do nothing"""


_REMOVED = """
select day, days from removal where what = 'bodies' and until > $1 order by day limit 1"""

# The same key gives the same message: its body is kept once.
_KEEP_BODY = """
insert into body (message_id, sealed) select $1, $2
where not exists (select 1 from body where message_id = $1)"""


class MessageStore:
    """Receives and keeps documents, and opens or joins the transactions they belong to."""

    def __init__(self, database: Database, writer: Writer, vault: Vault) -> None:
        self._database = database
        self._writer = writer
        self._vault = vault

    async def receive(self, arrival: Arrival) -> Accepted:
        """Keep `arrival` and announce its facts in one commit; returns after the commit.

        The same identity with the same body is answered as before and has no second effect; with
        another body it raises `IdentityConflict`. A refused document may come again and be
        accepted.
        """
        message = new_id("msg")
        kept = KeptArrival(
            message,
            arrival,
            hashlib.sha256(arrival.body).digest(),
            self._vault.seal(message, arrival.body),
            circumstances(),
        )
        accepted: Accepted = await self._writer.submit(kept)
        return accepted

    async def control_number(self, counter: str, key: str) -> int:
        """Return the next number of `counter`, or the one that `key` was given before."""
        async with self._database.connection() as connection, connection.transaction():
            number: int | None = await connection.fetchval(
                "select number from counted where name = $1 and key = $2", counter, key
            )
            if number is None:
                number = await connection.fetchval(
                    "insert into counter values ($1, 1)"
                    " on conflict (name) do update set last = counter.last + 1 returning last",
                    counter,
                )
                # The counter's row lock orders two callers with one key: the second sees the first.
                other: int | None = await connection.fetchval(
                    "select number from counted where name = $1 and key = $2", counter, key
                )
                if other is not None:
                    return other
                await connection.execute(
                    "insert into counted values ($1, $2, $3)", counter, key, number
                )
        return int(number or 0)

    async def keep(self, departure: Departure) -> str:
        """Keep a document before it is sent; the same key gives the id of the one kept before."""
        message = derived_id("msg", "out", departure.key)
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(
                "insert into message"
                " (id, direction, channel, kind, party, control_id, digest, status)"
                " values ($1, 'out', $2, $3, $4, $5, $6, 'pending') on conflict do nothing",
                message,
                departure.channel,
                departure.kind,
                departure.recipient,
                departure.control_id,
                hashlib.sha256(departure.body).digest(),
            )
            await connection.execute(_KEEP_BODY, message, self._vault.seal(message, departure.body))
            # Known before it is sent: the partner's answer may overtake the step's own record.
            await connection.executemany(
                _NAME_DEPARTURE, [(*named, departure.key) for named in departure.references]
            )
        return message

    async def departure(self, key: str) -> "KeptDeparture | None":
        """Return what was kept to be sent under `key`, None where nothing was."""
        message = derived_id("msg", "out", key)
        status = await self._database.row("select status from message where id = $1", message)
        if status is None:
            return None
        return KeptDeparture(message=message, sent=status["status"] == "sent")

    async def heard(self, event: EventName, key: str) -> bytes | None:
        """Return the facts of the latest news of that name and key that came from outside."""
        row = await self._database.row(
            "select facts from signal where event = $1 and key = $2 order by id desc limit 1",
            event,
            key,
        )
        return None if row is None else str(row["facts"]).encode()

    async def sent(self, message: str, answer: bytes, *, key: str = "") -> None:
        """Note that a kept document has been delivered, and what the other side answered.

        `key` is that of the departure: the evidence is that of the transaction whose step it is.
        """
        await self._writer.submit(Act(partial(_sent, message, answer, key)))

    async def kept(self, message: str) -> "KeptMessage":
        """Return a message byte-exact, or raise `NotFound`."""
        row = await self._database.row(
            "select channel, kind, party, sealed, message.at from message"
            " left join body on body.message_id = message.id where message.id = $1",
            message,
        )
        if row is None:
            raise NotFound("no such message", where=message)
        if row["sealed"] is None:
            raise NotFound(
                f"the body of this message was removed{await self._rule(row['at'])};"
                " that it came, and its digest, is kept",
                where=message,
            )
        return KeptMessage(
            channel=row["channel"],
            kind=row["kind"],
            party=row["party"],
            body=self._vault.open(message, bytes(row["sealed"])),
        )

    async def _rule(self, at: datetime) -> str:
        rule = await self._database.row(_REMOVED, at)
        return f" by rule on {rule['day']} ({rule['days']} days)" if rule else ""


async def _sent(message: str, answer: bytes, key: str, batch: Batch) -> None:
    row = await batch.connection.fetchrow(
        "update message set status = 'sent', answer = $2 where id = $1"
        " returning kind, party, control_id",
        message,
        answer,
    )
    if row is None:
        raise NotFound("no such message", where=message)
    transaction = await batch.connection.fetchval(
        "select transaction_id from flow where id = split_part($1, '/', 1)", key
    )
    batch.evidence.append(
        Evidence(
            kind="message",
            transaction=transaction or "",
            actor="suture",
            action=f"send {row['kind']}",
            outcome="sent",
            object=message,
            detail={"to": row["party"], "controlId": row["control_id"]},
        )
    )


class KeptDeparture(msgspec.Struct, frozen=True, kw_only=True):
    """A document on its way out, and whether it is known to have arrived."""

    message: str
    sent: bool


class KeptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it came or went."""

    channel: str
    kind: str
    party: str
    body: bytes
