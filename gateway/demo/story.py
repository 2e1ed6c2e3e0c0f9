"""The story: a knee replacement, from the schedule to the posted invoice, by the front door."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from canonical.clock import utc_now
from gateway.demo.people import Refused
from gateway.demo.stage import Stage

FACILITY, ROOM = "1710", "OR01"
INSERT, FEMUR, BASEPLATE = "IMP-10001", "IMP-10002", "IMP-10003"
_UDI = {
    INSERT: "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101",
    FEMUR: "(01)00844588017339(17)280331(10)LIMP002A",
    BASEPLATE: "(01)00844588007347(17)280930(10)LIMP003A",
}
PATIENCE = 60.0


class StoryStuck(Exception):
    """Something that should have happened did not; the text says what and where it stands."""


class Outcome(msgspec.Struct, kw_only=True):
    """What the story came to."""

    transaction: str = ""
    order: str = ""
    invoice: str = ""
    outcome: str = ""
    stock_before: dict[str, str] = {}
    stock_after: dict[str, str] = {}


class Story:
    """Plays the chapters in order; `tell` gets each sentence."""

    def __init__(self, stage: Stage, tell: Callable[[str, str], None]) -> None:
        self._stage = stage
        self._tell = tell
        self._operator = stage.people["operator"]
        self._case = f"CASE-{time.time_ns() % 10**8:08}"
        self.visit = f"V{time.time_ns() % 10**8:08}"
        self.outcome = Outcome()

    async def play(self) -> Outcome:
        """Tell the whole story; raises `StoryStuck` where it does not go on."""
        self.outcome.stock_before = await self.stock()
        await self.case_is_scheduled()
        await self.usage_is_documented()
        await self.requisition_is_approved()
        await self.order_is_acknowledged_and_shipped()
        await self.goods_are_received()
        await self.invoice_is_matched()
        self.outcome.stock_after = await self.stock()
        await self.another_case_needs_a_decision()
        return self.outcome

    async def stock(self) -> dict[str, str]:
        """Return on hand at the operating room, by item, as the ERP says it through the gateway."""
        levels = dict[str, str]()
        for item in (INSERT, FEMUR, BASEPLATE, "CON-60001"):
            query = {"item": item, "facility": FACILITY, "location": ROOM}
            level = await self._operator.call("GET", "/system/v1/erp/stock", params=query)
            levels[item] = level["onHand"]
        return levels

    async def case_is_scheduled(self) -> None:
        answer = await self._ehr(
            "/sim/cases",
            caseNumber=self._case,
            visit=self.visit,
            procedure="27447",
            procedureName="Total knee arthroplasty",
            location="OR",
            surgeon="S-1001",
            start=_tomorrow(),
        )
        self._tell("EHR", f"SIU^S12: a knee replacement is scheduled ({answer['controlId']})")
        trace = await self._until(
            "the case is reserved",
            answer["controlId"],
            lambda trace: _ended(trace, "case-demand"),
        )
        self.outcome.transaction = trace["id"]
        reserved = _output(trace, "reserve the items")
        self._tell("ERP", f"reservation {reserved['number']}: {len(reserved['lines'])} items")

    async def usage_is_documented(self) -> None:
        hl7 = await self._ehr(
            f"/sim/cases/{self._case}/usage",
            via="hl7",
            lines=[
                {"udi": _UDI[INSERT], "description": "Tibial insert"},
                {"udi": _UDI[FEMUR], "description": "Femoral component"},
                {"code": "SURG-88301", "description": "Suture", "quantity": "4", "lot": "LCON001A"},
            ],
        )
        self._tell("EHR", f"DFT^P03: insert, femoral component, sutures used ({hl7['controlId']})")
        await self._until("usage is posted", hl7["controlId"], _usage_posted(1))
        await self._ehr(
            f"/sim/cases/{self._case}/usage",
            via="fhir",
            lines=[
                {"udi": _UDI[BASEPLATE], "description": "Tibial baseplate"},
                {"udi": _UDI[INSERT], "description": "Tibial insert"},
            ],
        )
        self._tell("EHR", "FHIR Procedure + DeviceUseStatement: baseplate, and the insert again")
        trace = await self._until("both are posted", self.outcome.transaction, _usage_posted(2))
        posted = _outputs(trace, "post the consumption")
        values = ", ".join(f"{each['document']} ({each['value']['amount']})" for each in posted)
        self._tell("ERP", f"consumption {values}; the insert's serial counted once")
        self._tell("ERP", "cost of the case posted; charges wait for review in the EHR")

    async def requisition_is_approved(self) -> None:
        trace = await self._until(
            "approval is asked", self.outcome.transaction, lambda trace: bool(_open(trace))
        )
        task = _open(trace)[0]
        self._tell("rules", f"below par → {task['title']}")
        approver = self._stage.people["approver"]
        try:
            await approver.call(
                "POST",
                f"/process/v1/requisitions/{task['id']}/decision",
                json={"approved": True, "reason": "needed for next week's list"},
            )
        except Refused as exc:
            if exc.status != HTTPStatus.CONFLICT:  # decided already, the answer was lost
                raise
        self._tell("person", f"{approver.client} approves")

    async def order_is_acknowledged_and_shipped(self) -> None:
        trace = await self._until(
            "the order is placed",
            self.outcome.transaction,
            lambda trace: bool(_outputs(trace, "850 to the supplier")),
        )
        order = _output(trace, "purchase order in the ERP")
        self.outcome.order = order["number"]
        total = order["total"]
        self._tell(
            "ERP", f"purchase order {order['number']}, {total['amount']} {total['currency']}"
        )
        self._tell("EDI", "850 sent to the supplier")
        trace = await self._until(
            "the supplier ships",
            self.outcome.transaction,
            lambda trace: bool(_news(trace, "shipment-notified")),
        )
        self._tell("EDI", "997 accepted, 855 acknowledged, 856 under way")

    async def goods_are_received(self) -> None:
        trace = await self._trace(self.outcome.transaction)
        notice = _news(trace, "shipment-notified")[0]
        scanner = self._stage.people["scanner"]
        lines = [
            {
                "code": line["supplierSku"] or line["gtin"],
                "quantity": line["quantity"],
                "lot": line["lot"],
                "serials": line["serials"],
                "expires": line["expires"],
            }
            for line in notice["lines"]
        ]
        await scanner.call(
            "POST",
            "/experience/v1/mobile/receipts",
            json={"order": self.outcome.order, "receivedAt": _now(), "lines": lines},
            headers={"idempotency-key": f"dock-{self.outcome.order}"},
        )
        self._tell("person", "goods scanned at the dock, with lots and serials")
        trace = await self._until(
            "the receipt is posted",
            self.outcome.transaction,
            lambda trace: _ended(trace, "receiving"),
        )
        receipt = _output(trace, "goods receipt in the ERP")
        self._tell("ERP", f"goods receipt {receipt['document']}")

    async def invoice_is_matched(self) -> None:
        trace = await self._until(
            "the invoice is matched",
            self.outcome.transaction,
            lambda trace: _ended(trace, "invoice-matching") and _ended(trace, "order-to-receipt"),
        )
        flow = next(each for each in trace["flows"] if each["name"] == "invoice-matching")
        result = flow["result"]
        self.outcome.outcome, self.outcome.invoice = result["outcome"], result["invoice"]
        self._tell("EDI", f"810: invoice {result['invoice']}")
        self._tell("rules", f"three-way match: {result['outcome']}")
        posted = result["posted"]
        self._tell("ERP", f"invoice {posted['document']} posted, {posted['total']['amount']}")

    async def another_case_needs_a_decision(self) -> None:
        """Leave something to do: a hip case whose head would fall under its safety stock."""
        answer = await self._ehr(
            "/sim/cases",
            caseNumber=f"{self._case}-2",
            visit=f"{self.visit}-2",
            procedure="27130",
            procedureName="Total hip arthroplasty",
            location="OR",
            surgeon="S-1002",
            start=_tomorrow(),
        )
        trace = await self._until(
            "the shortage is found", answer["controlId"], lambda trace: bool(_open(trace))
        )
        self._tell("rules", f"a second case would run short → {_open(trace)[0]['title']} (yours)")

    async def _ehr(self, path: str, **body: Any) -> Any:
        answer = await self._stage.ehr.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def _trace(self, name: str) -> Any:
        return await self._operator.call("GET", f"/experience/v1/operations/transactions/{name}")

    async def _until(self, what: str, name: str, holds: Callable[[Any], bool]) -> Any:
        """Ask the operations API until it holds; a task nobody expected ends the story."""
        end, trace = time.monotonic() + PATIENCE, None
        while time.monotonic() < end:
            try:
                trace = await self._trace(name)
            except Refused as exc:
                if exc.status != HTTPStatus.NOT_FOUND:
                    raise
            if trace is not None and holds(trace):
                return trace
            stuck = [task for task in _open(trace) if task["kind"] == "stuck"] if trace else []
            if stuck:
                raise StoryStuck(f"{what}: {stuck[0]['title']} — {stuck[0]['detail']}")
            await asyncio.sleep(0.1)
        raise StoryStuck(f"{what}: not within {PATIENCE:.0f} s")


def _tomorrow() -> str:
    return (utc_now() + timedelta(days=1)).replace(hour=13, minute=0, second=0).isoformat()


def _now() -> str:
    return utc_now().isoformat()


def _open(trace: Any) -> list[Any]:
    return [task for task in trace["tasks"] if task["status"] == "open"]


def _ended(trace: Any, flow: str) -> bool:
    return any(each["name"] == flow and each["status"] == "done" for each in trace["flows"])


def _usage_posted(count: int) -> Callable[[Any], bool]:
    def holds(trace: Any) -> bool:
        flows = [each for each in trace["flows"] if each["name"] == "usage-to-replenishment"]
        return len([each for each in flows if each["status"] == "done"]) >= count

    return holds


def _outputs(trace: Any, hop: str) -> list[Any]:
    return [each["output"] for each in trace["hops"] if each["name"] == hop]


def _output(trace: Any, hop: str) -> Any:
    return _outputs(trace, hop)[0]


def _news(trace: Any, event: str) -> list[Any]:
    return [
        each["output"]
        for each in trace["hops"]
        if each["kind"] == "message" and each["why"] == event
    ]
