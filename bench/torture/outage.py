"""PostgreSQL is away for a while, and callers keep coming: what was acknowledged is there after."""

import asyncio
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench.torture.judge import Verdict, judge_rows
from bench.torture.nursery import Child
from bench.torture.store import session
from bench.torture.theatre import opened_theatre, work
from canonical.clock import utc_now
from gateway.demo.people import Person

_CALLERS = 4
_BEFORE_SECONDS = 1.5
_PATIENCE = 120.0
_PACE_SECONDS = 0.1
_REQUISITIONS = "/process/v1/requisitions"


_STANDING = """
select count(*) filter (where name = 'requisition-to-order' and ended_at is not null),
       count(*) filter (where status in ('ready', 'queued')) from flow"""


class Outage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What callers met, and what is there. `resumed_in` is seconds from the server's own return."""

    seconds: float
    acknowledged: int
    refused: int
    resumed_in: float
    verdict: Verdict
    laws: tuple[str, ...]


class _Callers:
    """People who hand in requisitions, each again until it is acknowledged."""

    def __init__(self, person: Person, address: str) -> None:
        self._person = person
        self._address = address
        self.stopped = asyncio.Event()
        self.acknowledged: list[float] = []
        self.refused = 0
        self.strange: list[str] = []

    async def call(self, name: str) -> None:
        async with httpx.AsyncClient(base_url=self._address, timeout=60) as http:
            number = 0
            while not self.stopped.is_set():
                number += 1
                await self._until_acknowledged(http, f"{name}-{number}")
                await asyncio.sleep(_PACE_SECONDS)

    async def _until_acknowledged(self, http: httpx.AsyncClient, name: str) -> None:
        headers = {"authorization": f"Bearer {self._person.token}", "idempotency-key": name}
        while True:
            answer = await http.post(_REQUISITIONS, json=_requisition(), headers=headers)
            if answer.status_code == HTTPStatus.ACCEPTED:
                self.acknowledged.append(time.monotonic())
                return
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                self.refused += 1
                if not answer.headers.get("retry-after", "").isdecimal():
                    self.strange.append("503 without Retry-After")
            else:
                self.strange.append(f"{answer.status_code} instead of 503: {answer.text[:200]}")
            await asyncio.sleep(_PACE_SECONDS)


def _requisition() -> dict[str, Any]:
    """A box of gloves: below every threshold, so that nobody is asked."""
    return {
        "facility": "1710",
        "location": "OR01",
        "costCenter": "CC-OR-4711",
        "supplier": "17300002",
        "neededOn": (utc_now() + timedelta(days=3)).date().isoformat(),
        "lines": [{"item": "CON-60008", "quantity": {"value": "1", "unit": "BX"}}],
    }


async def outage(folder: Path, *, seconds: float, say: Callable[[str], None]) -> Outage:
    """Call, take PostgreSQL away, bring it back, call on, and count."""
    async with opened_theatre(folder, lease=1.0, share=0.0, seed=0) as (theatre, stage, store):
        worker = Child("worker", folder, work, theatre)
        worker.start()
        await worker.ready()
        operator = stage.people["operator"]
        await operator.sign_in()
        callers = _Callers(operator, theatre.address)
        calls = [asyncio.create_task(callers.call(f"caller{n}")) for n in range(_CALLERS)]
        try:
            await asyncio.sleep(_BEFORE_SECONDS)
            await store.end(signal.SIGINT)
            say(f"PostgreSQL is away for {seconds:g} s")
            await asyncio.sleep(seconds)
            before = len(callers.acknowledged)
            await store.start()
            back = time.monotonic()
            await _more(callers, before + 5 * _CALLERS, calls)
            callers.stopped.set()
            await asyncio.gather(*calls)
            laws = await _laws(theatre.stores.dsn, stage.erp, callers)
            verdict = Verdict(lost=[], doubled=[], stuck=[])
            async with session(theatre.stores.dsn) as connection:
                await judge_rows(connection, verdict)
        finally:
            for call in calls:
                call.cancel()
            await worker.kill()
        # Nobody delivers, and the supplier may still have something to say: that is no end.
        verdict.stuck = [line for line in verdict.stuck if ": stuck" in line or " task " in line]
        return Outage(
            seconds=seconds,
            acknowledged=len(callers.acknowledged),
            refused=callers.refused,
            resumed_in=round(min(at for at in callers.acknowledged if at > back) - back, 2),
            verdict=verdict,
            laws=(*laws, *dict.fromkeys(callers.strange)),
        )


async def _more(callers: _Callers, many: int, calls: list[asyncio.Task[None]]) -> None:
    """Wait until so many are acknowledged; a caller that broke down says why."""
    async with asyncio.timeout(_PATIENCE):
        while len(callers.acknowledged) < many:
            for call in calls:
                if call.done():
                    call.result()
            await asyncio.sleep(0.05)


async def _laws(dsn: str, erp: httpx.AsyncClient, callers: _Callers) -> list[str]:
    """Wait until everything is ordered; one requisition and one order for each acknowledgement."""
    many = len(callers.acknowledged)
    async with session(dsn) as connection, asyncio.timeout(_PATIENCE):
        while True:
            ordered, moving = await connection.fetchrow(_STANDING) or (0, 0)
            if ordered >= many and not moving:
                break
            await asyncio.sleep(0.1)
    state = (await erp.get("/sim/state")).json()
    found = {
        "requisitions": len(state["requisitions"]),
        "purchase orders": len(state["purchaseOrders"]),
    }
    if not callers.refused:
        found["callers refused while PostgreSQL was away"] = 0
    return [f"{what}: {count}, not {many}" for what, count in found.items() if count != many]
