"""Whether the supplier's word fits the order, and what is still to come."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.order import AcknowledgedLine, Acknowledgement, OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, ReceivedLine, ShipNotice, ShippedLine
from process_apis.order_to_receipt.rules import (
    Agreement,
    acknowledgement_review,
    agreed,
    deviation_task,
    later_review,
    notice_review,
    outstanding,
)

DAY = date(2026, 5, 12)


def quantity(value: str, unit: str = "BX") -> Quantity:
    return Quantity(value=Decimal(value), unit=unit)


def money(amount: str, currency: str = "USD") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def ordered(line: int, boxes: str) -> OrderLine:
    return OrderLine(
        line=line,
        item=ItemId(f"CON-{line}"),
        description="Suture",
        quantity=quantity(boxes),
        unit_price=money("90.00"),
        base_quantity=quantity(str(int(boxes) * 36), "EA"),
    )


ORDER = PurchaseOrder(
    number="4500000001",
    supplier="S-1",
    facility="1710",
    location="OR01",
    cost_center="CC-OR",
    ordered_on=DAY,
    needed_on=DAY,
    lines=(ordered(10, "2"), ordered(20, "5")),
    total=money("630.00"),
)


def promised(line: int, boxes: str, **changed: object) -> AcknowledgedLine:
    facts = {"status": "accepted", "quantity": quantity(boxes)} | changed
    return AcknowledgedLine(line=line, **facts)


def answer(*lines: AcknowledgedLine, accepted: bool = True) -> Acknowledgement:
    return Acknowledgement(
        order=ORDER.number, supplier="S-1", acknowledged_on=DAY, accepted=accepted, lines=lines
    )


@pytest.mark.parametrize(
    "answered",
    [
        answer(),
        answer(promised(10, "2"), promised(20, "5")),
        answer(promised(20, "5.0"), promised(10, "2", unit_price=money("90"))),
        answer(promised(10, "2", status="accepted-with-changes"), promised(20, "5")),
    ],
    ids=["as-a-whole", "line-by-line", "other-order-and-digits", "changes-of-no-matter"],
)
def test_an_answer_that_promises_what_was_ordered_is_accepted(answered: Acknowledgement):
    review = acknowledgement_review(ORDER, answered)
    assert (review.accepted, review.deviations) == (True, ())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (promised(10, "2", unit_price=money("91")), ["price 91 USD instead of 90.00 USD"]),
        (promised(10, "2", unit_price=money("89")), ["price 89 USD instead of 90.00 USD"]),
        (
            promised(10, "2", unit_price=money("90.00", "EUR")),
            ["price 90.00 EUR instead of 90.00 USD"],
        ),
        (promised(10, "1"), ["quantity 1 instead of 2"]),
        (promised(10, "3"), ["quantity 3 instead of 2"]),
        (promised(10, "2", quantity=quantity("72", "EA")), ["unit EA instead of BX"]),
        (promised(10, "2", status="backordered"), ["backordered"]),
        (
            promised(10, "2", status="backordered", note="ships in June"),
            ["backordered: ships in June"],
        ),
        (promised(10, "2", status="substituted"), ["substituted"]),
        (promised(10, "0", status="rejected"), ["rejected", "quantity 0 instead of 2"]),
        (
            promised(10, "1", status="price-changed", unit_price=money("95")),
            ["price-changed", "price 95 USD instead of 90.00 USD", "quantity 1 instead of 2"],
        ),
    ],
)
def test_every_way_in_which_a_line_is_answered_otherwise_is_found(
    line: AcknowledgedLine, words: list[str]
):
    review = acknowledgement_review(ORDER, answer(line, promised(20, "5")))
    assert not review.accepted
    assert [(found.line, found.what) for found in review.deviations] == [(10, it) for it in words]


@pytest.mark.parametrize(
    ("answered", "deviations"),
    [
        (answer(promised(10, "2")), [(20, "not acknowledged")]),
        (
            answer(promised(10, "2"), promised(20, "5"), promised(30, "1")),
            [(30, "the order has no such line")],
        ),
        (answer(accepted=False), [(0, "the supplier rejects the order")]),
        (
            answer(promised(10, "2"), promised(20, "5"), accepted=False),
            [(0, "the supplier rejects the order")],
        ),
        (
            answer(promised(10, "2"), promised(20, "0", status="rejected"), accepted=False),
            [(20, "rejected"), (20, "quantity 0 instead of 5")],
        ),
    ],
    ids=["missing-line", "unknown-line", "rejected", "rejected-for-no-line", "rejected-for-a-line"],
)
def test_lines_nobody_answers_and_orders_the_supplier_rejects_are_found(answered, deviations):
    review = acknowledgement_review(ORDER, answered)
    assert not review.accepted
    assert [(found.line, found.what) for found in review.deviations] == deviations


ACCEPTED_IN_PART = answer(
    promised(10, "2"), promised(20, "3"), promised(20, "2", status="backordered")
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (promised(20, "5", supplier_sku="SKU-9"), ["part SKU-9 instead of CON-20"]),
        (
            promised(20, "5", status="substituted", supplier_sku="SKU-9"),
            ["substituted: part SKU-9"],
        ),
        (
            promised(20, "5", status="substituted", supplier_sku="SKU-9", note="until June"),
            ["substituted: until June, part SKU-9"],
        ),
    ],
)
def test_another_part_than_was_ordered_is_named(line: AcknowledgedLine, words: list[str]):
    review = acknowledgement_review(ORDER, answer(promised(10, "2"), line))
    assert [found.what for found in review.deviations] == words


def test_a_line_that_is_answered_in_parts_is_reckoned_as_one():
    review = acknowledgement_review(ORDER, ACCEPTED_IN_PART)
    assert [(found.line, found.what) for found in review.deviations] == [(20, "2 BX backordered")]


def agreement_after(*answers: Acknowledgement) -> Agreement:
    held = Agreement(order=ORDER, unconfirmed=ORDER.lines)
    for one in answers:
        held = agreed(ORDER, held, one)
    return held


def boxes(lines: tuple[OrderLine, ...]) -> dict[int, int]:
    return {line.line: int(line.quantity.value) for line in lines}


WHOLE = answer(promised(10, "2"), promised(20, "5"))
REJECTED = {"status": "rejected"}


@pytest.mark.parametrize(
    ("answers", "coming", "open_still"),
    [
        ([], {10: 2, 20: 5}, {10: 2, 20: 5}),
        ([answer()], {10: 2, 20: 5}, {}),
        ([answer(accepted=False)], {}, {}),
        ([WHOLE], {10: 2, 20: 5}, {}),
        ([answer(promised(20, "5"))], {10: 2, 20: 5}, {10: 2}),
        ([answer(promised(10, "2"), promised(20, "4"))], {10: 2, 20: 4}, {}),
        ([answer(promised(10, "2", **REJECTED), promised(20, "5"))], {20: 5}, {}),
        (
            [answer(promised(10, "2", status="backordered"), promised(20, "5"))],
            {10: 2, 20: 5},
            {10: 2},
        ),
        ([ACCEPTED_IN_PART], {10: 2, 20: 5}, {20: 2}),
        ([ACCEPTED_IN_PART, answer(promised(20, "2"))], {10: 2, 20: 5}, {}),
        ([ACCEPTED_IN_PART, answer(promised(20, "2", **REJECTED))], {10: 2, 20: 3}, {}),
        ([ACCEPTED_IN_PART, WHOLE], {10: 2, 20: 5}, {}),
        (
            [answer(promised(10, "2", **REJECTED), promised(20, "5")), answer(promised(20, "5"))],
            {20: 5},
            {},
        ),
        ([answer(promised(10, "2", **REJECTED), promised(20, "5")), WHOLE], {10: 2, 20: 5}, {}),
        (
            [answer(promised(10, "72", quantity=quantity("72", "EA")), promised(20, "5"))],
            {10: 2, 20: 5},
            {},
        ),
        (
            [
                answer(
                    promised(10, "0", quantity=quantity("0", "EA"), **REJECTED), promised(20, "5")
                )
            ],
            {20: 5},
            {},
        ),
    ],
    ids=[
        "nothing-said",
        "as-a-whole",
        "rejected-as-a-whole",
        "line-by-line",
        "one-line-unanswered",
        "less-of-a-line",
        "a-line-rejected",
        "a-line-backordered",
        "part-of-a-line-backordered",
        "the-rest-confirmed",
        "the-rest-rejected",
        "all-confirmed-again",
        "what-was-rejected-stays-away",
        "what-was-rejected-comes-after-all",
        "in-another-unit",
        "rejected-in-another-unit",
    ],
)
def test_what_is_agreed_is_the_sum_of_all_that_the_supplier_said(answers, coming, open_still):
    held = agreement_after(*answers)
    assert (boxes(held.order.lines), boxes(held.unconfirmed)) == (coming, open_still)


def test_what_is_agreed_is_waited_for_in_base_units():
    held = agreement_after(answer(promised(10, "2", **REJECTED), promised(20, "4")))
    (still,) = outstanding(held.order, []).lines
    assert still.quantity == quantity("144", "EA")


@pytest.mark.parametrize(
    ("before", "now", "deviations"),
    [
        ([], WHOLE, []),
        ([ACCEPTED_IN_PART], WHOLE, []),
        ([ACCEPTED_IN_PART], answer(promised(20, "2")), []),
        ([ACCEPTED_IN_PART], answer(promised(20, "1")), [(20, "quantity 1 instead of 2")]),
        (
            [ACCEPTED_IN_PART],
            answer(promised(10, "2"), promised(20, "4")),
            [(20, "quantity 4 instead of 5")],
        ),
        ([WHOLE], answer(promised(10, "2")), [(20, "not acknowledged")]),
    ],
    ids=[
        "first",
        "all-again",
        "the-rest",
        "less-than-the-rest",
        "less-than-all",
        "nothing-was-open",
    ],
)
def test_a_later_answer_may_speak_of_the_whole_order_or_of_what_was_open(before, now, deviations):
    review = later_review(ORDER, agreement_after(*before), now)
    assert [(found.line, found.what) for found in review.deviations] == deviations
    assert review.accepted is (deviations == [])


def test_the_buyer_is_asked_with_every_deviation_and_who_waits_for_it():
    review = acknowledgement_review(ORDER, answer(promised(10, "1")))
    task = deviation_task(ORDER, review)
    assert task.detail == "line 10: quantity 1 instead of 2; line 20: not acknowledged"
    assert task.affected == "OR01 in 1710, needed on 2026-05-12"
    assert (task.reason, task.actions) == (
        "acknowledgement-deviates",
        ("accept", "reject", "abandon"),
    )


def shipped(line: int, value: str, unit: str = "BX", lot: str = "") -> ShippedLine:
    return ShippedLine(order_line=line, quantity=quantity(value, unit), lot=lot)


@pytest.mark.parametrize(
    ("lines", "deviations"),
    [
        ((shipped(10, "2"), shipped(20, "5")), []),
        ((shipped(10, "1"),), []),
        ((shipped(10, "1", lot="A"), shipped(10, "1", lot="B")), []),
        ((shipped(10, "3"),), [(10, "3 shipped, 2 ordered")]),
        (
            (shipped(10, "1", lot="A"), shipped(10, "2", lot="B")),
            [(10, "3 shipped, 2 ordered")],
        ),
        ((shipped(10, "72", "EA"),), [(10, "shipped by EA, ordered by BX")]),
        ((shipped(30, "1"),), [(30, "the order has no such line")]),
    ],
    ids=["all", "part", "two-lots", "too-much", "too-much-in-two-lots", "other-unit", "unknown"],
)
def test_a_ship_notice_is_held_against_the_order(lines, deviations):
    notice = ShipNotice(
        number="SN-1", order=ORDER.number, supplier="S-1", shipped_on=DAY, lines=lines
    )
    found = notice_review(ORDER, notice)
    assert [(one.line, one.what) for one in found] == deviations


def receipt(*lines: tuple[int | None, str]) -> PostedReceipt:
    return PostedReceipt(
        document="5000000001",
        year="2026",
        order=ORDER.number,
        lines=tuple(
            ReceivedLine(order_line=line, quantity=quantity(pieces, "EA")) for line, pieces in lines
        ),
    )


@pytest.mark.parametrize(
    ("receipts", "left"),
    [
        ([], [(10, "72 EA"), (20, "180 EA")]),
        ([receipt((10, "72"))], [(20, "180 EA")]),
        ([receipt((10, "36"), (10, "35"))], [(10, "1 EA"), (20, "180 EA")]),
        ([receipt((10, "36")), receipt((10, "36"), (20, "180"))], []),
        ([receipt((10, "73"), (20, "180"))], []),
        ([receipt((None, "500"))], [(10, "72 EA"), (20, "180 EA")]),
    ],
    ids=["nothing-came", "one-line", "one-piece-short", "in-two-parts", "too-much", "of-no-line"],
)
def test_what_is_still_to_come_is_said_by_line_with_its_unit(receipts, left):
    still = outstanding(ORDER, receipts)
    assert [(one.line, f"{one.quantity.value} {one.quantity.unit}") for one in still.lines] == left
    assert still.complete is (left == [])


def test_what_is_outstanding_is_written_with_its_unit():
    only = msgspec.structs.replace(ORDER, lines=(ordered(10, "1"),))
    assert msgspec.json.encode(outstanding(only, [])) == (
        b'{"lines":[{"line":10,"quantity":{"value":"36","unit":"EA"}}]}'
    )
