"""A credit takes back what was posted and still counts as used, and never more."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from canonical.charge import RecordedCharge
from canonical.errors import BusinessFailure, InvalidRequest, NeverUsed, UnknownLot
from canonical.inventory import Movement, MovementLine, PostedMovement
from canonical.item import Item, ItemCode, ItemId, Quantity
from canonical.money import Money
from canonical.usage import ResolvedUsage, UsageLine, UsageReversal
from process_apis.usage_reversal.rules import (
    Credit,
    EarlierReversal,
    PostedUsage,
    TakenBack,
    charge_back,
    credit_of,
    free_again,
    goods_back,
    taken_back,
)

GLOVE, INSERT = ItemId("CON-60008"), ItemId("IMP-10001")
TODAY = date(2026, 11, 20)


def each(value: str) -> Quantity:
    return Quantity(value=Decimal(value), unit="EA")


def used(item: ItemId, value: str, **more: str) -> ResolvedUsage:
    return ResolvedUsage(item=item, description="", quantity=each(value), **more)


def posted(document: str, *lines: ResolvedUsage) -> PostedUsage:
    return PostedUsage(
        lines=lines,
        consumption=Movement(
            kind="consumption",
            facility="1710",
            cost_center="CC",
            on=TODAY,
            reference="C-1",
            lines=tuple(
                MovementLine(item=one.item, quantity=one.quantity, location="OR01") for one in lines
            ),
        ),
        movement=PostedMovement(
            document=document, year="2026", value=Money(amount=Decimal(1), currency="USD")
        ),
        charge=RecordedCharge(ids=tuple(f"{document}-{n}" for n in range(1, len(lines) + 1))),
    )


FIRST = posted(
    "D1",
    used(GLOVE, "5", lot="A", reference="L1"),
    used(INSERT, "1", lot="T", serial="S1", reference="L2"),
)
SECOND = posted("D2", used(GLOVE, "3", lot="B", reference="L3"))


def reversal(*names: tuple[str, ...]) -> UsageReversal:
    return UsageReversal(
        facility="1710",
        occurred_at=datetime(2026, 11, 20, tzinfo=UTC),
        names=names,
        source="EHR",
        encounter="E",
    )


def credit(item: ItemId, value: str, **more: str) -> Credit:
    return Credit(item=item, quantity=each(value), **more)


def found(
    *credits_: Credit, before: tuple[EarlierReversal, ...] = ()
) -> list[tuple[str, int, str]]:
    lines = taken_back(reversal(), list(credits_), (FIRST, SECOND), before)
    return [(line.document, line.line, str(line.quantity.value)) for line in lines]


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (credit(INSERT, "1", serial="S1"), [("D1", 2, "1")]),
        (credit(GLOVE, "2", lot="A"), [("D1", 1, "2")]),
        (credit(GLOVE, "2", reference="L1"), [("D1", 1, "2")]),
        (credit(GLOVE, "2", lot="B", reference="other"), [("D2", 1, "2")]),
        (credit(GLOVE, "8"), [("D2", 1, "3"), ("D1", 1, "5")]),
    ],
    ids=["serial", "lot", "own-number", "number-of-its-own", "everything"],
)
def test_a_credit_finds_its_line(wanted: Credit, taken: list[tuple[str, int, str]]):
    assert found(wanted) == taken


@pytest.mark.parametrize(
    ("wanted", "failure"),
    [
        (credit(GLOVE, "9"), NeverUsed),
        (credit(GLOVE, "1", lot="C"), NeverUsed),
        (credit(INSERT, "1", serial="S2"), NeverUsed),
        (credit(ItemId("CON-1"), "1"), NeverUsed),
        (credit(GLOVE, "1"), UnknownLot),
    ],
    ids=["too-much", "another-lot", "another-serial", "another-item", "which-lot"],
)
def test_what_was_not_used_is_not_taken_back(wanted: Credit, failure: type[BusinessFailure]):
    with pytest.raises(failure):
        found(wanted)


def earlier(*credits_: Credit) -> EarlierReversal:
    return EarlierReversal(lines=taken_back(reversal(), list(credits_), (FIRST, SECOND), ()))


def test_two_credits_of_one_message_share_what_there_is():
    with pytest.raises(NeverUsed):
        found(credit(GLOVE, "3", lot="A"), credit(GLOVE, "3", lot="A"))


def test_the_same_credit_takes_back_once_by_its_number_or_its_serial():
    numbered = credit(GLOVE, "2", lot="A", reference="K1")
    piece = credit(INSERT, "1", serial="S1")
    assert found(numbered, piece, before=(earlier(numbered, piece),)) == []
    other = credit(GLOVE, "2", lot="A", reference="K2")
    assert found(other, before=(earlier(numbered),)) == [("D1", 1, "2")]
    with pytest.raises(NeverUsed):
        found(credit(GLOVE, "4", lot="A", reference="K3"), before=(earlier(numbered),))


def test_a_thing_of_the_senders_takes_back_all_that_was_reported_under_it():
    told = posted("D1", used(GLOVE, "5", reference="Procedure/7/x"), used(INSERT, "1"))
    named = reversal(("Procedure/7", "urn:uuid:1"))
    lines = taken_back(named, [], (told,), ())
    assert [(line.item, line.left) for line in lines] == [(GLOVE, 0)]
    assert taken_back(named, [], (told,), (EarlierReversal(lines=lines),)) == ()
    with pytest.raises(NeverUsed):
        taken_back(reversal(("Procedure/70",)), [], (told,), ())


def lines_of(*credits_: Credit) -> tuple[TakenBack, ...]:
    return taken_back(reversal(), list(credits_), (FIRST,), ())


def test_goods_come_back_to_where_they_were_taken_and_name_what_they_reverse():
    movement = goods_back(FIRST, lines_of(credit(GLOVE, "2")), TODAY)
    assert movement.reverses == FIRST.movement
    [line] = movement.lines
    assert (line.location, line.lot, line.reverses, line.quantity) == ("OR01", "A", 1, each("2"))


def test_only_a_whole_line_is_a_wrong_charge_and_only_what_is_gone_is_free_again():
    lines = lines_of(credit(GLOVE, "2"), credit(INSERT, "1", serial="S1"))
    told = charge_back(reversal(), lines, TODAY).credits
    assert [(one.id, one.whole) for one in told] == [("D1-1", False), ("D1-2", True)]
    assert free_again(reversal(), lines) == [
        ("serial", "IMP-10001/S1"),
        ("usage-line", "EHR/E/L2"),
    ]


def test_a_credit_is_counted_in_the_items_base_unit():
    item = Item(id=GLOVE, description="Glove", base_unit="EA", kind="consumable", active=True)
    code = (ItemCode(scheme="erp", value=GLOVE),)
    assert credit_of(UsageLine(codes=code, quantity=each("2")), item).quantity == each("2")
    with pytest.raises(InvalidRequest):
        credit_of(UsageLine(codes=code, quantity=each("0")), item)
