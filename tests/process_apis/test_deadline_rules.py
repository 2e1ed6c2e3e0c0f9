"""How urgent something is, by when it is due, and who is affected when it is late."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from canonical.case import SurgicalCase
from canonical.deadline import ClinicalNeed, DeadlineKind, Deadlines, Tier, Urgency
from canonical.invoice import Invoice
from canonical.item import Item, ItemId, Quantity
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from canonical.requisition import Requisition
from canonical.usage import UsageEvent
from process_apis.invoice_matching.deadlines import Ordered, invoice_due
from process_apis.order_to_receipt.deadlines import order_affected, order_due, replenishment_due
from process_apis.requisition_to_order.deadlines import urgency
from process_apis.usage_to_replenishment.deadlines import posting_due, usage_urgency, used_in

NOW = datetime(2026, 5, 12, 7, 30, tzinfo=UTC)
WINDOW = timedelta(hours=48)
CONSUMABLE = Item(id=ItemId("CON-1"), description="Suture", base_unit="EA", group="WOUND")
IMPLANT = Item(id=ItemId("IMP-1"), description="Baseplate", base_unit="EA", kind="implant")
NEED = ClinicalNeed(
    case="case_x", procedure="27447", procedure_name="Total knee", scheduled_at=NOW + WINDOW
)


def requisition(need: ClinicalNeed | None = None, *, urgent: bool = False) -> Requisition:
    return Requisition(
        facility="1710",
        location="OR01",
        cost_center="CC",
        supplier="S-1",
        needed_on=date(2026, 5, 14),
        lines=(),
        need=need,
        urgent=urgent,
    )


def needed_in(left: timedelta) -> ClinicalNeed:
    return msgspec.structs.replace(NEED, scheduled_at=NOW + left)


@pytest.mark.parametrize(
    ("wanted", "items", "groups", "tier"),
    [
        (requisition(needed_in(WINDOW)), [CONSUMABLE], (), "critical"),
        (requisition(needed_in(timedelta(hours=-1))), [CONSUMABLE], (), "critical"),
        (requisition(needed_in(WINDOW + timedelta(minutes=1))), [CONSUMABLE], (), "routine"),
        (requisition(needed_in(WINDOW + timedelta(minutes=1))), [IMPLANT], (), "urgent"),
        (requisition(), [CONSUMABLE, IMPLANT], (), "urgent"),
        (requisition(), [CONSUMABLE], ("TRAUMA", "WOUND"), "urgent"),
        (requisition(), [CONSUMABLE], ("TRAUMA",), "routine"),
        (requisition(), [IMPLANT], ("",), "urgent"),
        (requisition(), [msgspec.structs.replace(CONSUMABLE, group="")], ("",), "routine"),
        (requisition(urgent=True), [CONSUMABLE], (), "urgent"),
        (
            requisition(msgspec.structs.replace(NEED, scheduled_at=None)),
            [CONSUMABLE],
            (),
            "routine",
        ),
    ],
)
def test_the_tier_follows_from_the_case_the_items_and_the_requester(
    wanted: Requisition, items: list[Item], groups: tuple[str, ...], tier: Tier
):
    verdict = urgency(wanted, items, NOW, WINDOW, groups)
    assert (verdict.tier, verdict.need) == (tier, wanted.need)
    assert verdict.why


def an_order(told: Urgency | None) -> PurchaseOrder:
    price = Money(amount=Decimal(1))
    lines = tuple(
        OrderLine(
            line=number * 10,
            item=ItemId(f"CON-{number}"),
            description=f"Thing {number}",
            quantity=Quantity(value=Decimal(number), unit="BX"),
            unit_price=price,
            base_quantity=Quantity(value=Decimal(number), unit="EA"),
        )
        for number in range(1, 8)
    )
    return PurchaseOrder(
        number="4500000001",
        supplier="S-1",
        facility="1710",
        location="OR01",
        cost_center="CC",
        ordered_on=NOW.date(),
        needed_on=NOW.date(),
        lines=lines,
        total=price,
        urgency=told,
    )


@pytest.mark.parametrize(
    "kind", ["syntax-answer", "acknowledgement", "deviation", "shipment", "replenishment"]
)
def test_what_a_supplier_owes_is_due_sooner_the_more_it_matters(kind: DeadlineKind):
    tiers: tuple[Tier, ...] = ("critical", "urgent", "routine")
    dues = [order_due(an_order(Urgency(tier=tier)), kind, Deadlines()) for tier in tiers]
    assert dues[0].within < dues[1].within < dues[2].within
    assert [due.tier for due in dues] == list(tiers)
    assert all(due.owner and due.fix for due in dues)


def test_an_order_of_times_before_tiers_is_routine():
    due = order_due(an_order(None), "shipment", Deadlines())
    assert (due.tier, due.within) == ("routine", timedelta(days=7))


def test_who_is_affected_is_the_case_its_time_the_place_and_the_goods():
    words = order_affected(an_order(Urgency(tier="critical", need=NEED)))
    assert words == (
        "case case_x (27447 Total knee) on 2026-05-14 at 07:30 UTC; OR01 in 1710, needed on"
        " 2026-05-12; 1 BX Thing 1, 2 BX Thing 2, 3 BX Thing 3, 4 BX Thing 4, 5 BX Thing 5 and 2"
        " more"
    )
    assert order_affected(an_order(None)).startswith("OR01 in 1710")


def test_goods_for_a_case_are_due_before_it_and_others_in_the_time_of_their_tier():
    soon = Urgency(tier="critical", need=needed_in(timedelta(hours=5)))
    assert replenishment_due(an_order(soon), Deadlines(), NOW).within == timedelta(hours=5)
    far = Urgency(tier="urgent", need=needed_in(timedelta(days=30)))
    assert replenishment_due(an_order(far), Deadlines(), NOW).within == timedelta(hours=72)
    used = Urgency(tier="urgent", need=ClinicalNeed(case="case_x"))
    assert replenishment_due(an_order(used), Deadlines(), NOW).within == timedelta(hours=72)


def test_an_invoice_is_as_urgent_as_its_order():
    price = Money(amount=Decimal(1))
    bill = Invoice(
        number="INV-1", order="45", supplier="S-1", invoiced_on=NOW.date(), lines=(), total=price
    )
    told = Ordered(urgency=Urgency(tier="critical", need=NEED))
    due = invoice_due(bill, told, "invoice-exception", Deadlines())
    assert (due.tier, due.owner) == ("critical", "accounts-payable")
    assert due.affected.startswith("case case_x")
    assert invoice_due(bill, None, "invoice-exception", Deadlines()).tier == "routine"
    assert invoice_due(bill, Ordered(), "goods-for-invoice", Deadlines()).tier == "routine"


def usage(**told: str) -> UsageEvent:
    return UsageEvent(
        facility="1710", location="OR01", occurred_at=NOW, lines=(), context_token="ctx_1", **told
    )


def test_usage_in_a_procedure_is_urgent_and_its_case_goes_on_without_the_patient():
    told = usage(case="case_x", encounter="encounter_y", procedure="27447", clinician="DR")
    verdict = usage_urgency(told)
    assert (verdict.tier, verdict.need) == ("urgent", used_in(told))
    due = posting_due(told, verdict, Deadlines())
    assert (due.kind, due.within) == ("usage-posting", timedelta(minutes=30))
    assert "used in case case_x (27447); stock of OR01 in 1710 is overstated" in due.affected
    assert "ctx_1" not in f"{due}{verdict}"
    assert usage_urgency(usage()).tier == "routine"
    assert used_in(usage()) is None


def test_a_case_travels_with_what_is_bought_for_it():
    fields = {"case", "procedure", "procedure_name", "encounter", "scheduled_at"}
    assert fields <= set(ClinicalNeed.__struct_fields__) & set(SurgicalCase.__struct_fields__)
