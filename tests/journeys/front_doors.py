"""What a journey does at the front doors, and what it sees of the outcome."""

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from gateway.authorization import ClientBook
from gateway.demo.people import Person, Refused
from gateway.demo.stage import Stage
from policies.oauth.clients import new_client

FACILITY, ROOM = "1710", "OR01"
OPERATIONS = "/experience/v1/operations/transactions"
DOCUMENTS = ("materialDocuments", "requisitions", "purchaseOrders", "supplierInvoices")
PATIENCE = 15.0

_TLS = ssl.create_default_context()  # made once: it is slow to make


async def person(stage: Stage, name: str, *scopes: str, facilities: tuple[str, ...] = ()) -> Person:
    """Somebody new with an OAuth client of their own, signed in."""
    client, secret = new_client(name, scopes, facilities=facilities)
    await ClientBook(stage.running.parts.ledger.clients).put(client)
    someone = Person(stage.running.url, name, secret)
    await someone.sign_in()
    await someone.close()
    return someone


async def reporter(stage: Stage) -> Person:
    """A system that may hand in usage, receipts and requisitions."""
    tiers = ("process.usage", "process.receipts", "process.requisitions")
    return await person(stage, "journey-reporter", *(f"{tier}:write" for tier in tiers))


class Answer:
    """A status with its problem, where a journey wants to see a refusal."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.raw = response.content
        kind = response.headers.get("content-type", "")
        self.body = response.json() if "json" in kind else None

    @property
    def slug(self) -> str:
        return str(self.body["type"]).rsplit("/", 1)[-1].rsplit(":", 1)[-1]


async def eventually(holds: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Ask until there is something to return."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := await holds():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")


class Floor:
    """One hospital day, seen by the people who work there."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.operator = stage.people["operator"]
        self._numbers = time.time_ns() % 10**9

    def number(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}-{self._numbers}"

    async def send(self, who: Person, method: str, path: str, **given: Any) -> Answer:
        """Call once and return whatever comes back."""
        if not who.token:
            await who.sign_in()
        headers = {"authorization": f"Bearer {who.token}"} | given.pop("headers", {})
        url = self.stage.running.url
        async with httpx.AsyncClient(base_url=url, timeout=15, verify=_TLS) as http:
            return Answer(await http.request(method, path, headers=headers, **given))

    # What happens in the hospital

    async def schedule(self, procedure: str, *, days: int = 1, **more: str) -> "Case":
        case = Case(self.number("CASE"), self.number("V"))
        answer = await self.ehr(
            "POST",
            "/sim/cases",
            caseNumber=case.number,
            visit=case.visit,
            procedure=procedure,
            location="OR",
            start=at_noon(days),
            **more,
        )
        case.control = answer["controlId"]
        return case

    async def use(self, case: "Case", *lines: dict[str, Any], via: str = "hl7") -> str:
        """Report usage of a case; return the control id of the message."""
        path = f"/sim/cases/{case.number}/usage"
        return str((await self.ehr("POST", path, via=via, lines=list(lines)))["controlId"])

    async def ehr(self, method: str, path: str, **body: Any) -> Any:
        answer = await self.stage.ehr.request(method, path, json=body or None)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def sent(self, control: str) -> Any:
        """What the EHR knows about one of its messages, when it is through with it."""

        async def through() -> Any:
            messages = (await self.stage.ehr.get("/sim/messages")).json()["messages"]
            return next(
                (m for m in messages if m["controlId"] == control and m["status"] != "waiting"),
                None,
            )

        return await eventually(through, f"the EHR is answered about {control}")

    async def buy(self, item: str, quantity: int = 1, unit: str = "EA", **more: Any) -> str:
        """Hand in a requisition as the operator; return its transaction."""
        answer = await self.operator.call(
            "POST", "/process/v1/requisitions", json=requisition(item, quantity, unit, **more)
        )
        return str(answer["transaction"])

    # What people see

    async def trace(self, name: str) -> Any:
        return await self.operator.call("GET", f"{OPERATIONS}/{name}")

    async def until(self, name: str, holds: Callable[[Any], Any], what: str) -> Any:
        """The transaction of that name, as soon as it looks as it should."""
        seen: list[Any] = []

        async def looks() -> Any:
            with contextlib.suppress(Refused):
                seen[:] = [await self.trace(name)]
                if holds(seen[0]):
                    return seen[0]
            return None

        try:
            return await eventually(looks, what)
        except AssertionError as late:
            told = [(t["reason"], t["detail"]) for trace in seen for t in trace["tasks"]]
            last = [hop for trace in seen for hop in hops(trace)[-3:]]
            raise AssertionError(f"{late}; tasks {told}; last {last}") from None

    async def tasks(self, status: str = "open", **asked: str) -> list[Any]:
        found = await self.operator.call(
            "GET", "/process/v1/tasks", params={"status": status, **asked}
        )
        return list(found["items"])

    async def task(self, reason: str, *, transaction: str = "") -> Any:
        """The open task with this reason, as soon as there is one."""

        async def raised() -> Any:
            tasks = await self.tasks(transaction=transaction)
            return next((task for task in tasks if task["reason"] == reason), None)

        return await eventually(raised, f"a task {reason}")

    async def resolve(self, task: Any, action: str, reason: str = "") -> Answer:
        return await self.send(
            self.operator,
            "POST",
            f"/process/v1/tasks/{task['id']}/resolution",
            json={"action": action, "reason": reason},
        )

    async def decide(self, name: str, *, approved: bool, reason: str = "as discussed") -> Answer:
        return await self.send(
            self.stage.people["approver"],
            "POST",
            f"/process/v1/requisitions/{name}/decision",
            json={"approved": approved, "reason": reason},
        )

    async def erp(self) -> Any:
        return (await self.stage.erp.get("/sim/state")).json()

    async def documents(self) -> Counter[str]:
        """How many documents of each kind the ERP has."""
        state = await self.erp()
        counts = {kind: len(state[kind]) for kind in DOCUMENTS}
        return Counter(counts | {"reservations": len(state["openReservations"])})

    async def reserved(self, item: str) -> Decimal:
        rows = (await self.erp())["openReservations"]
        return sum((Decimal(row["quantity"]) for row in rows if row["product"] == item), Decimal(0))

    async def stock(self, item: str, location: str = ROOM) -> Decimal:
        rows = (await self.erp())["stock"]
        here = (r for r in rows if (r["material"], r["location"]) == (item, location))
        return sum((Decimal(row["quantity"]) for row in here), Decimal(0))

    async def fault(self, path: str, kind: str, *, times: int = 1, method: str = "POST") -> None:
        body = {"path": path, "kind": kind, "times": times, "method": method}
        (await self.stage.erp.post("/sim/faults", json=body)).raise_for_status()

    async def behave(self, name: str) -> None:
        (await self.stage.supplier.post("/sim/behaviour", json={"name": name})).raise_for_status()


class Case:
    """A case of the EHR; `control` is the MSH-10 of the message that scheduled it."""

    def __init__(self, number: str, visit: str) -> None:
        self.number = number
        self.visit = visit
        self.control = ""


def at_noon(days: int) -> str:
    day = datetime.now(UTC) + timedelta(days=days)
    return day.replace(hour=13, minute=0, second=0, microsecond=0).isoformat()


def requisition(item: str, quantity: int = 1, unit: str = "EA", **more: Any) -> dict[str, Any]:
    return {
        "facility": FACILITY,
        "location": ROOM,
        "costCenter": "CC-OR-4711",
        "supplier": "17300002" if item.startswith("CON") else "17300001",
        "neededOn": at_noon(3)[:10],
        "lines": [{"item": item, "quantity": {"value": str(quantity), "unit": unit}}],
    } | more


def flows(trace: Any, name: str) -> list[Any]:
    return [flow for flow in trace["flows"] if flow["name"] == name]


def ended(flow: str, count: int = 1) -> Callable[[Any], bool]:
    def holds(trace: Any) -> bool:
        return sum(each["status"] == "done" for each in flows(trace, flow)) >= count

    return holds


def waiting(reason: str) -> Callable[[Any], Any]:
    """An open task with this reason."""

    def holds(trace: Any) -> Any:
        return next(
            (t for t in trace["tasks"] if (t["status"], t["reason"]) == ("open", reason)), None
        )

    return holds


def outputs(trace: Any, hop: str) -> list[Any]:
    return [each["output"] for each in trace["hops"] if each["name"] == hop]


def hops(trace: Any) -> list[str]:
    return [hop["name"] for hop in trace["hops"]]
