"""The watch over the trail: what was recorded since the last look, held against the rules.

One process at a time looks, under a lock that ends with it; how far it has come is on disk, and the
next look, whoever takes it, begins a little before that: records are seen once they are committed,
which is a moment after their time. What is noticed twice is one alert (`ledger/alerts.py`).
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import asyncpg

from canonical.clock import Clock
from canonical.errors import Failure
from ledger.alert_rules import AlertRules, Threshold
from ledger.alerts import Alert, alerting
from ledger.audit.evidence import Evidence, decode_evidence
from ledger.checkpoint_watch import broken_checkpoints
from ledger.checkpoints import Checkpoints
from ledger.database import Connection, Database, ended
from ledger.writer import Writer

if TYPE_CHECKING:
    Session = Connection[asyncpg.Record]

log = logging.getLogger("suture.watch")

_LATE = timedelta(seconds=60)
"""How long a record may take from its time to its commit."""
_MOST_OPENINGS = 2000
_ONE_ALERT_SECONDS = 3600.0
_ALONE = "select pg_try_advisory_xact_lock(7405160141)"
_SINCE = "select at, number from watched where name = 'trail'"
_SEEN = """
insert into watched (name, at, number) values ('trail', $1, $2)
on conflict (name) do update set at = excluded.at, number = excluded.number"""

SUSPICIOUS = (
    *("unauthenticated", "forbidden", "not-found", "too-many-requests"),
    *("refused", "denied"),
)
"""Refusals that somebody meets who tries what he may not; others are faults of documents."""

_REFUSED = """
with fresh as (select distinct actor from audit
               where refusal is not null and refusal = any($4::text[]) and at >= $1)
select a.actor, count(*) as many from audit a join fresh using (actor)
where a.refusal is not null and a.refusal = any($4::text[]) and a.at >= $2
group by 1 having count(*) >= $3"""
_ABOUT = """
select fresh.actor, seen.many from (
    select distinct actor from audit where at >= $1 and kind = any($4::text[])
        and actor <> all($5::text[]) and $wanted) fresh
cross join lateral ($count) seen where seen.many >= $3"""
_FACILITIES = _ABOUT.replace("$wanted", "facility is not null").replace(
    "$count",
    "select count(distinct facility) as many from audit a where a.actor = fresh.actor"
    " and a.at >= $2 and a.kind = any($4::text[]) and a.facility is not null",
)
_CONTEXTS = _ABOUT.replace("$wanted", "transaction_id is not null and object is not null").replace(
    "$count",
    "select count(distinct r.value) as many from audit a join reference r"
    " on r.transaction_id = a.transaction_id and r.kind = 'context'"
    " where a.actor = fresh.actor and a.at >= $2 and a.kind = any($4::text[])"
    " and a.object is not null and a.refusal is null",
)
_OPENINGS = """
select at, record from audit where kind = 'access' and kind <> 'call' and at >= $1
order by at limit $2"""


class Watch:
    """Looks by `rules`, which are given before it starts; `zones` are those of the facilities."""

    def __init__(
        self, database: Database, writer: Writer, checkpoints: Checkpoints, clock: Clock
    ) -> None:
        self.rules = AlertRules()
        self.zones: Mapping[str, str] = {}
        self._database = database
        self._writer = writer
        self._checkpoints = checkpoints
        self._clock = clock
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._look_loop(), name="ledger-watch")

    async def stop(self) -> None:
        if self._loop is not None:
            await ended(self._loop)

    async def look(self) -> list[Alert]:
        """Look at what is new; return what was raised. Nothing where another process looks."""
        async with self._database.connection() as session, session.transaction():
            if not await session.fetchval(_ALONE):
                return []
            now: datetime = await session.fetchval("select clock_timestamp()")
            row = await session.fetchrow(_SINCE)
            since = (row["at"] if row else now) - _LATE
            noticed = [
                *await self._crowds(session, since, now),
                *await self._openings(session, since),
            ]
            number, broken = await broken_checkpoints(
                session, row["number"] if row else 0, self._checkpoints.keys
            )
            noticed += [_broken(reason) for reason in broken]
            raised = [alert for alert in noticed if await self.raise_alert(alert)]
            await session.execute(_SEEN, now, number)
        return raised

    async def raise_alert(self, alert: Alert) -> bool:
        """Raise it unless it has been raised; say whether that was so."""
        raised: bool = await self._writer.submit(alerting(alert, self._clock()))
        if raised:
            log.warning("alert %s: %s", alert.pattern, alert.subject)
        return raised

    async def _crowds(self, session: "Session", since: datetime, now: datetime) -> list[Alert]:
        """Return who did more of something than the rules take for ordinary."""
        rules, found = self.rules, list[Alert]()
        calls, seeing = ["call"], ["call", "access"]
        known = list(rules.except_actors)
        for rule, sql, more, make in (
            (rules.refusals, _REFUSED, (list(SUSPICIOUS),), _refusals),
            (rules.facilities, _FACILITIES, (calls, known), _facilities),
            (rules.contexts, _CONTEXTS, (seeing, known), _contexts),
        ):
            if rule.count:
                begin = now - timedelta(seconds=rule.seconds)
                rows = await session.fetch(sql, max(since, begin), begin, rule.count, *more)
                found += [make(str(row["actor"]), int(row["many"]), rule) for row in rows]
        return found

    async def _openings(self, session: "Session", since: datetime) -> list[Alert]:
        """Return openings of patients' contexts at hours or in ways that somebody must look at."""
        found = list[Alert]()
        for row in await session.fetch(_OPENINGS, since, _MOST_OPENINGS):
            told = decode_evidence(row["record"])
            if told.refusal:
                continue
            if self.rules.break_glass and is_break_glass(told):
                found.append(_break_glass(told))
            elif self._is_out_of_hours(told, row["at"]):
                found.append(_out_of_hours(told, row["at"].astimezone(self._zone(told))))
        return found

    def _is_out_of_hours(self, told: Evidence, at: datetime) -> bool:
        hours = self.rules.day.hours()
        if hours is None or not is_opening(told) or told.actor in self.rules.except_actors:
            return False
        local = at.astimezone(self._zone(told))
        begins, ends = hours
        clock = local.time()
        within = begins <= clock < ends if begins < ends else clock >= begins or clock < ends
        saturday = 5
        return not within or (local.weekday() >= saturday and not self.rules.day.weekends)

    def _zone(self, told: Evidence) -> ZoneInfo:
        """Return the zone of the facility, or of the only one there is."""
        known = self.zones.get(told.facility, "")
        if not known and len(self.zones) == 1:
            known = next(iter(self.zones.values()))
        return ZoneInfo(known or "UTC")

    async def _look_loop(self) -> None:
        while True:
            try:
                await self.look()
            except (Failure, asyncpg.PostgresError) as exc:
                log.warning("the watch over the audit trail has to wait: %s", type(exc).__name__)
            await asyncio.sleep(self.rules.look_seconds)


def is_break_glass(told: Evidence) -> bool:
    """Whether somebody opened by emergency what was closed to him."""
    return told.action.replace("-", " ").startswith(("break glass", "break the glass"))


def is_opening(told: Evidence) -> bool:
    """Whether something was opened that names a patient: a context, or a document as it came."""
    return told.object.startswith("ctx_") or told.action == "open document"


def _refusals(actor: str, many: int, rule: Threshold) -> Alert:
    return Alert(
        "refusals",
        actor,
        f"{actor} was refused again and again",
        f"{many} calls refused within {rule.seconds:g} s; {rule.count} are too many",
        "look at the refused calls of this actor at /console/audit; disable the client if it is"
        " not its owner who calls",
        rule.seconds,
    )


def _facilities(actor: str, many: int, rule: Threshold) -> Alert:
    return Alert(
        "many-facilities",
        actor,
        f"{actor} works in many facilities at once",
        f"calls about {many} facilities within {rule.seconds:g} s; {rule.count} are too many",
        "ask the owner of the client why; limit its facilities with suture clients",
        rule.seconds,
    )


def _contexts(actor: str, many: int, rule: Threshold) -> Alert:
    return Alert(
        "many-patients",
        actor,
        f"{actor} looked at many patients",
        f"{many} patient contexts within {rule.seconds:g} s; {rule.count} are too many",
        "look at what this actor saw at /console/audit, and ask what it was for",
        rule.seconds,
    )


def _out_of_hours(told: Evidence, local: datetime) -> Alert:
    return Alert(
        "out-of-hours",
        told.actor,
        f"{told.actor} opened a patient's context out of hours",
        f"{told.object} at {local:%A %H:%M} by the clock of the facility",
        "ask what it was for; widen alerts.day where these are ordinary hours",
        _ONE_ALERT_SECONDS,
    )


def _break_glass(told: Evidence) -> Alert:
    return Alert(
        "break-glass",
        told.actor,
        f"{told.actor} broke the glass",
        f"{told.action}: {told.object or told.transaction}".strip(": "),
        "read the reason that was given, and confirm it with whoever is in charge",
        _ONE_ALERT_SECONDS,
    )


def _broken(reason: str) -> Alert:
    return Alert(
        "audit-broken",
        reason,
        "The audit trail does not hold",
        reason,
        "verify the trail at /console/audit or by: suture audit verify; keep the database as it is",
        86_400.0,
    )
