"""The S/4HANA client against the simulated S/4HANA: each method, each refusal."""

from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import msgspec
import pytest

from canonical.charge import CostPosting
from canonical.errors import (
    Failure,
    InactiveItem,
    InvalidRequest,
    NotFound,
    NothingToPost,
    QuantityExceeded,
    SerialAlreadyUsed,
    StateConflict,
    UnknownCostCenter,
    UnknownItem,
    UnknownLot,
    UnknownOrder,
    UnknownSupplier,
    UpstreamRefused,
    WrongUnit,
)
from canonical.inventory import Movement, MovementLine, Reservation, ReservationLine
from canonical.invoice import Invoice, InvoiceLine
from canonical.item import Gtin, ItemCode, ItemId, Packaging, Quantity
from canonical.money import Money
from canonical.order import PurchaseOrder
from canonical.requisition import PricedLine, PricedRequisition
from canonical.shipment import Receipt, ReceivedLine
from sandbox.erp.app import Settings, create_app
from sandbox.erp.inprocess import client
from system_apis.erp.s4hana.client import S4Hana
from system_apis.erp.s4hana.settings import S4Settings

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
INSERT, SUTURES = ItemId("IMP-10001"), ItemId("CON-60001")
PLACE = ("1710", "OR01")


def connected() -> tuple[S4Hana, httpx.AsyncClient]:
    http = client(create_app(Settings(clock=lambda: NOW)))
    return S4Hana(http, S4Settings(), lambda: NOW), http


def each(value: str, unit: str = "EA") -> Quantity:
    return Quantity(value=Decimal(value), unit=unit)


def usd(amount: str) -> Money:
    return Money(amount=Decimal(amount))


def used(**line: object) -> Movement:
    piece = MovementLine(
        item=INSERT, quantity=each("1"), location="OR01", lot="TI2142A", serial="TI-000101"
    )
    return Movement(
        kind="consumption",
        facility="1710",
        cost_center="CC-OR-4711",
        on=NOW.date(),
        reference="TX-1",
        lines=(msgspec.structs.replace(piece, **line),),
    )


def promise(quantity: str = "2") -> Reservation:
    line = ReservationLine(item=INSERT, quantity=each(quantity), location="OR01")
    return Reservation(
        case="case-7f3a",
        facility="1710",
        cost_center="CC-OR-4711",
        needed_on=date(2026, 12, 1),
        lines=(line,),
    )


def wanted(**line: object) -> PricedRequisition:
    boxes = PricedLine(
        line=1,
        item=SUTURES,
        description="Suture 3-0 chromic gut",
        quantity=each("3", "BX"),
        unit_price=usd("75.00"),
        contract="4600000102",
        supplier_sku="L-560B",
        base_quantity=each("36"),
    )
    return PricedRequisition(
        facility="1710",
        location="OR01",
        cost_center="CC-OR-4711",
        supplier="17300002",
        needed_on=date(2026, 12, 5),
        lines=(msgspec.structs.replace(boxes, **line),),
        total=usd("225.00"),
    )


async def placed(erp: S4Hana) -> PurchaseOrder:
    requisition = await erp.raise_requisition(wanted(), key="requisition")
    return await erp.place_order(requisition, key="order")


def came(**line: object) -> Receipt:
    boxes = ReceivedLine(
        quantity=each("3", "BX"), order_line=1, lot="S24-118", expires=date(2028, 2, 29)
    )
    lines = (msgspec.structs.replace(boxes, **line),)
    return Receipt(order="4500000001", received_at=NOW, lines=lines, delivery_note="DN-9")


def bill(**changes: object) -> Invoice:
    line = InvoiceLine(order_line=1, quantity=each("3", "BX"), unit_price=usd("75.00"))
    invoice = Invoice(
        number="INV-5501",
        order="4500000001",
        supplier="17300002",
        invoiced_on=date(2026, 12, 7),
        lines=(line,),
        total=usd("225.00"),
    )
    return msgspec.structs.replace(invoice, **changes)


async def test_an_item_comes_with_its_packagings_and_what_must_be_recorded():
    erp, _ = connected()
    insert, tube = await erp.item(INSERT), await erp.item(ItemId("CON-60004"))
    assert (insert.lot_controlled, insert.serial_controlled, insert.kind) == (True, True, "implant")
    assert insert.gtin == "00844588017735"
    assert tube.packagings == (
        Packaging(unit="BX", factor=Decimal(10), gtin=Gtin("10841470100503")),
        Packaging(unit="CA", factor=Decimal(100), gtin=Gtin("20841470100500")),
    )
    assert not (await erp.item(ItemId("CON-90001"))).active


async def test_the_first_items_are_listed_by_number():
    erp, _ = connected()
    assert [item.id for item in await erp.items(2)] == ["CON-60001", "CON-60002"]


async def test_stock_adds_up_batches_promises_and_what_is_coming():
    erp, _ = connected()
    await erp.reserve(promise(), key="case")
    await placed(erp)
    insert = await erp.stock(INSERT, *PLACE)
    sutures = await erp.stock(SUTURES, *PLACE)
    assert (insert.on_hand, insert.reserved, insert.unit) == (4, 2, "EA")
    assert (sutures.on_hand, sutures.on_order, sutures.projected) == (60, 36, 96)


async def test_an_item_without_stock_at_a_place_has_zero():
    erp, _ = connected()
    assert (await erp.stock(ItemId("IMP-20003"), "1710", "CS01")).on_hand == 0


async def test_a_lot_has_its_expiry_and_what_is_left_of_it():
    erp, _ = connected()
    lot = await erp.lot(INSERT, *PLACE, "ti2142a")
    assert (lot.on_hand, lot.expires, lot.number) == (2, date(2027, 6, 30), "ti2142a")


async def test_a_serial_number_is_on_hand_only_where_it_lies():
    erp, _ = connected()
    assert await erp.serial_on_hand(INSERT, *PLACE, "ti-000101")
    assert not await erp.serial_on_hand(INSERT, "1710", "CS01", "TI-000101")
    assert not await erp.serial_on_hand(INSERT, *PLACE, "TI-NONE")


async def test_a_blocked_supplier_says_so():
    erp, _ = connected()
    assert (await erp.supplier("17300009")).blocked
    assert not (await erp.supplier("17300001")).blocked


async def test_a_cost_center_shows_budget_and_commitment():
    erp, _ = connected()
    await erp.raise_requisition(wanted(), key="requisition")
    center = await erp.cost_center("CC-OR-4711")
    assert (center.budget, center.committed) == (usd("250000.00"), usd("41475.00"))
    assert not (await erp.cost_center("CC-XR-4790")).active


async def test_without_a_budget_service_a_cost_center_has_no_budget():
    _, http = connected()
    erp = S4Hana(http, S4Settings(budget_service=""), lambda: NOW)
    assert (await erp.cost_center("CC-OR-4711")).budget is None


async def test_a_reservation_is_used_up_by_the_issue_and_released_for_the_rest():
    erp, _ = connected()
    reservation = await erp.reserve(promise(), key="case")
    movement = msgspec.structs.replace(used(), reservation=reservation.number)
    await erp.post_movement(movement, key="usage")
    assert (await erp.stock(INSERT, *PLACE)).reserved == 1
    assert await erp.release(reservation, key="release") == reservation
    await erp.release(reservation, key="release")
    level = await erp.stock(INSERT, *PLACE)
    assert (level.on_hand, level.reserved) == (3, 0)


async def test_an_issue_has_the_value_the_books_moved_and_its_reversal_gives_it_back():
    erp, http = connected()
    posted = await erp.post_movement(used(), key="usage")
    assert posted.value == usd("1250.00")
    back = msgspec.structs.replace(used(), kind="consumption-reversal")
    assert (await erp.post_movement(back, key="reversal")).value == usd("1250.00")
    assert await erp.serial_on_hand(INSERT, *PLACE, "TI-000101")
    balances = (await http.get("/sim/state")).json()["journal"]["balances"]
    assert Decimal(balances["51600000"]) == 0


async def test_a_cost_posting_moves_expense_to_the_case():
    erp, http = connected()
    posting = CostPosting(
        facility="1710",
        cost_center="CC-OR-4711",
        on=NOW.date(),
        amount=usd("1250.00"),
        reference="TX-1 <knee> & more",
        case="case-7f3a",
    )
    posted = await erp.post_cost(posting, key="cost")
    assert (posted.year, posted.amount) == ("2026", usd("1250.00"))
    balances = (await http.get("/sim/state")).json()["journal"]["balances"]
    assert (balances["51650000"], balances["51600000"]) == ("1250.00", "-1250.00")


async def test_an_order_keeps_what_the_requisition_said():
    erp, _ = connected()
    order = await placed(erp)
    [line] = order.lines
    assert (order.supplier, order.cost_center, order.needed_on) == (
        "17300002",
        "CC-OR-4711",
        date(2026, 12, 5),
    )
    assert (line.quantity, line.base_quantity) == (each("3", "BX"), each("36"))
    assert (line.gtin, line.supplier_sku) == ("10841336100494", "L-560B")
    assert (order.total, order.status) == (usd("225.00"), "open")
    assert await erp.orders(10) == (order,)


async def coming(erp: S4Hana) -> Decimal:
    return (await erp.stock(SUTURES, *PLACE)).on_order


async def committed(erp: S4Hana) -> Money | None:
    return (await erp.cost_center("CC-OR-4711")).committed


async def test_what_is_requested_counts_as_coming_once_until_it_is_received():
    erp, _ = connected()
    assert await coming(erp) == 0
    requisition = await erp.raise_requisition(wanted(), key="requisition")
    assert await coming(erp) == 36
    assert (await erp.stock(SUTURES, "1710", "CS01")).on_order == 0
    order = await erp.place_order(requisition, key="order")
    assert await coming(erp) == 36
    await erp.post_receipt(came(quantity=each("1", "BX")), order, key="part")
    assert await coming(erp) == 24
    await erp.post_receipt(came(quantity=each("2", "BX")), order, key="rest")
    level = await erp.stock(SUTURES, *PLACE)
    assert (level.on_hand, level.on_order) == (96, 0)


async def test_a_withdrawn_requisition_is_no_longer_coming_and_gives_its_budget_back():
    erp, http = connected()
    before = await committed(erp)
    requisition = msgspec.structs.replace(
        wanted(), lines=(*wanted().lines, msgspec.structs.replace(wanted().lines[0], line=2))
    )
    raised = await erp.raise_requisition(requisition, key="requisition")
    assert (await coming(erp), await committed(erp)) == (72, usd("41700.00"))
    assert await erp.withdraw_requisition(raised, key="withdraw") == raised
    assert (await coming(erp), await committed(erp)) == (0, before)
    assert await erp.withdraw_requisition(raised, key="another") == raised
    assert await committed(erp) == before
    calls = (await http.get("/sim/state")).json()["calls"]
    assert calls["PATCH API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionItem"] == 2


async def test_another_requisition_for_the_same_item_stays_open():
    erp, _ = connected()
    first = await erp.raise_requisition(wanted(), key="first")
    await erp.raise_requisition(wanted(quantity=each("1", "BX")), key="second")
    await erp.withdraw_requisition(first, key="withdraw")
    assert await coming(erp) == 12


@pytest.mark.parametrize("quantity", [each("3", "BX"), each("1", "BX"), each("6")])
async def test_a_requisition_that_is_ordered_even_in_part_cannot_be_withdrawn(quantity: Quantity):
    erp, _ = connected()
    raised = await erp.raise_requisition(wanted(), key="requisition")
    price = usd("6.25") if quantity.unit == "EA" else usd("75.00")
    line = msgspec.structs.replace(raised.lines[0], quantity=quantity, unit_price=price)
    order = await erp.place_order(msgspec.structs.replace(raised, lines=(line,)), key="order")
    assert (await coming(erp), await committed(erp)) == (36, usd("41475.00"))
    with pytest.raises(StateConflict, match=order.number):
        await erp.withdraw_requisition(raised, key="withdraw")
    assert (await coming(erp), await committed(erp)) == (36, usd("41475.00"))


async def test_a_requisition_that_was_withdrawn_cannot_be_ordered():
    erp, _ = connected()
    raised = await erp.raise_requisition(wanted(), key="requisition")
    await erp.withdraw_requisition(raised, key="withdraw")
    with pytest.raises(UpstreamRefused, match="deleted"):
        await erp.place_order(raised, key="order")


async def test_a_requisition_the_erp_does_not_have_cannot_be_withdrawn():
    erp, _ = connected()
    with pytest.raises(InvalidRequest):
        await erp.withdraw_requisition(wanted(), key="withdraw")
    with pytest.raises(NotFound):
        await erp.withdraw_requisition(
            msgspec.structs.replace(wanted(), number="10009999"), key="withdraw"
        )


async def test_a_price_below_a_cent_survives_the_order():
    erp, _ = connected()
    gloves = wanted(
        item=ItemId("CON-60008"),
        quantity=each("400"),
        unit_price=usd("0.0925"),
        base_quantity=each("400"),
    )
    order = await erp.place_order(gloves, key="order")
    assert order.lines[0].unit_price == usd("0.0925")
    assert order.total == usd("37.00")


async def test_a_receipt_is_kept_in_base_units_with_its_lot():
    erp, _ = connected()
    order = await placed(erp)
    posted = await erp.post_receipt(came(), order, key="receipt")
    [line] = posted.lines
    assert (line.order_line, line.quantity, line.lot) == (1, each("36"), "S24-118")
    assert await erp.receipts(order.number) == (posted,)
    assert (await erp.lot(SUTURES, *PLACE, "S24-118")).expires == date(2028, 2, 29)
    assert (await erp.order(order.number)).status == "received"


async def test_a_lot_longer_than_a_batch_number_is_found_again():
    erp, _ = connected()
    order = await placed(erp)
    long_lot = "LOT-2026-11-0000451"
    posted = await erp.post_receipt(came(lot=long_lot), order, key="receipt")
    assert posted.lines[0].lot == long_lot
    assert (await erp.lot(SUTURES, *PLACE, long_lot)).on_hand == 36
    movement = used(item=SUTURES, quantity=each("6"), lot=long_lot, serial="")
    await erp.post_movement(movement, key="usage")
    assert (await erp.lot(SUTURES, *PLACE, long_lot)).on_hand == 30


@pytest.mark.parametrize(
    "code",
    [
        ItemCode(scheme="gtin", value="10841336100494"),
        ItemCode(scheme="supplier-sku", value="L-560B"),
        ItemCode(scheme="erp", value="CON-60001"),
    ],
)
async def test_a_received_line_may_name_the_item_by_any_code(code: ItemCode):
    erp, _ = connected()
    order = await placed(erp)
    posted = await erp.post_receipt(came(order_line=None, codes=(code,)), order, key="receipt")
    assert posted.lines[0].order_line == 1


async def test_serial_numbers_come_in_with_their_receipt():
    erp, _ = connected()
    order = await erp.place_order(
        msgspec.structs.replace(
            wanted(
                item=INSERT,
                quantity=each("2"),
                unit_price=usd("1250.00"),
                base_quantity=each("2"),
            ),
            supplier="17300001",
        ),
        key="order",
    )
    serials = ("TI-000301", "TI-000302")
    receipt = came(quantity=each("2"), lot="TI2142C", serials=serials)
    posted = await erp.post_receipt(receipt, order, key="receipt")
    assert posted.lines[0].serials == serials
    assert await erp.serial_on_hand(INSERT, *PLACE, "TI-000302")


async def test_a_part_delivery_declared_complete_is_no_longer_on_order():
    erp, _ = connected()
    order = await placed(erp)
    part = msgspec.structs.replace(came(quantity=each("1", "BX")), complete=True)
    await erp.post_receipt(part, order, key="receipt")
    assert (await erp.stock(SUTURES, *PLACE)).on_order == 0


async def test_an_invoice_with_charges_closes_the_order():
    erp, http = connected()
    order = await placed(erp)
    await erp.post_receipt(came(), order, key="receipt")
    posted = await erp.post_invoice(bill(total=usd("237.50"), charges=usd("12.50")), key="invoice")
    assert posted.total == usd("237.50")
    assert (await erp.order(order.number)).status == "closed"
    state = (await http.get("/sim/state")).json()
    assert state["journal"]["balances"]["21120000"] == "0.00"
    assert [row["blocked"] for row in state["supplierInvoices"]] == [False]


@pytest.mark.parametrize(
    "line",
    [
        InvoiceLine(
            order_line=None, quantity=each("3", "BX"), unit_price=usd("75"), gtin="10841336100494"
        ),
        InvoiceLine(
            order_line=None, quantity=each("36"), unit_price=usd("6.25"), supplier_sku="L-560B"
        ),
    ],
)
async def test_an_invoice_line_may_name_the_item_and_bill_base_units(line: InvoiceLine):
    erp, http = connected()
    order = await placed(erp)
    await erp.post_receipt(came(), order, key="receipt")
    await erp.post_invoice(bill(lines=(line,)), key="invoice")
    [kept] = (await http.get("/sim/state")).json()["supplierInvoices"]
    assert not kept["blocked"]


async def test_what_the_erp_does_not_know_is_named():
    erp, _ = connected()
    with pytest.raises(UnknownItem):
        await erp.item(ItemId("O'Neil/1"))
    with pytest.raises(UnknownItem):
        await erp.stock(ItemId("NONE"), *PLACE)
    with pytest.raises(UnknownLot):
        await erp.lot(INSERT, *PLACE, "NEVER")
    with pytest.raises(UnknownSupplier):
        await erp.supplier("17399999")
    with pytest.raises(UnknownCostCenter):
        await erp.cost_center("NONE")
    with pytest.raises(UnknownOrder):
        await erp.order("4599999999")


@pytest.mark.parametrize(
    ("movement", "failure"),
    [
        (used(lot="TI2142B"), SerialAlreadyUsed),
        (used(lot=""), UnknownLot),
        (used(quantity=each("1", "BX")), WrongUnit),
        (used(quantity=each("1", "XX")), WrongUnit),
        (used(item=ItemId("NONE")), UnknownItem),
        (used(serial="A-SERIAL-NUMBER-TOO-LONG"), InvalidRequest),
        (
            used(item=ItemId("IMP-20003"), quantity=each("3"), lot="LIMP003A", serial=""),
            QuantityExceeded,
        ),
        (msgspec.structs.replace(used(), cost_center="NONE"), UnknownCostCenter),
    ],
)
async def test_a_movement_the_erp_refuses_is_a_named_failure(
    movement: Movement, failure: type[Failure]
):
    erp, http = connected()
    with pytest.raises(failure):
        await erp.post_movement(movement, key="usage")
    assert (await http.get("/sim/state")).json()["materialDocuments"] == []


async def test_a_requisition_for_a_blocked_item_is_refused():
    erp, _ = connected()
    with pytest.raises(InactiveItem):
        await erp.raise_requisition(wanted(item=ItemId("CON-90001")), key="requisition")


async def test_an_order_with_a_blocked_supplier_is_refused_in_the_vendors_words():
    erp, _ = connected()
    with pytest.raises(UpstreamRefused, match="blocked for purchasing"):
        await erp.place_order(msgspec.structs.replace(wanted(), supplier="17300009"), key="order")


async def test_a_receipt_beyond_the_order_is_refused():
    erp, _ = connected()
    order = await placed(erp)
    with pytest.raises(QuantityExceeded):
        await erp.post_receipt(came(quantity=each("4", "BX")), order, key="receipt")


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ({"order_line": 9}, InvalidRequest),
        ({"order_line": None}, InvalidRequest),
        ({"order_line": None, "codes": (ItemCode(scheme="ehr", value="X"),)}, InvalidRequest),
        ({"order_line": None, "codes": (ItemCode(scheme="gtin", value=""),)}, InvalidRequest),
        ({"quantity": each("0", "BX")}, NothingToPost),
    ],
)
async def test_a_receipt_that_names_nothing_on_the_order_is_refused(
    line: dict[str, object], failure: type[Failure]
):
    erp, _ = connected()
    order = await placed(erp)
    with pytest.raises(failure):
        await erp.post_receipt(came(**line), order, key="receipt")


@pytest.mark.parametrize(
    ("besides", "standing", "billed"),
    [
        ("", {}, [(1, "3", "BX")]),
        ("INV-5502", {}, [(1, "3", "BX")]),
        ("INV-5501", {}, []),
        ("", {"IsReversed": True, "ReverseDocument": "5105600102"}, []),
        ("", {"SupplierInvoiceStatus": "A"}, []),
        ("", {"SupplierInvoiceIDByInvcgParty": ""}, [(1, "3", "BX")]),
    ],
    ids=["all", "besides-another", "besides-itself", "reversed", "parked", "without-a-number"],
)
async def test_what_was_billed_of_an_order_is_known_by_its_lines(
    besides: str, standing: dict[str, object], billed: list[tuple[int, str, str]]
):
    app = create_app(Settings(clock=lambda: NOW))
    erp = S4Hana(client(app), S4Settings(), lambda: NOW)
    order = await placed(erp)
    assert await erp.invoiced(order.number) == ()
    await erp.post_receipt(came(), order, key="receipt")
    await erp.post_invoice(bill(), key="invoice")
    table = app.state.system.store["A_SupplierInvoice"]
    for row in list(table.rows()):
        table.update(row, **standing)
    lines = await erp.invoiced(order.number, besides)
    told = [(line.order_line, f"{line.quantity.value}", line.quantity.unit) for line in lines]
    assert told == billed
    assert await erp.invoiced("4599999999") == ()


async def test_an_invoice_that_others_entered_is_a_conflict():
    erp, _ = connected()
    order = await placed(erp)
    await erp.post_receipt(came(), order, key="receipt")
    await erp.post_invoice(bill(), key="invoice")
    with pytest.raises(StateConflict, match="5105600101"):
        await erp.post_invoice(bill(), key="another")


@pytest.mark.parametrize(
    ("invoice", "failure"),
    [
        (bill(order="4599999999"), UnknownOrder),
        (bill(supplier="17300001"), UpstreamRefused),
        (bill(total=usd("300.00")), UpstreamRefused),
        (
            bill(lines=(InvoiceLine(order_line=9, quantity=each("1"), unit_price=usd("1")),)),
            InvalidRequest,
        ),
        (
            bill(lines=(InvoiceLine(order_line=1, quantity=each("1", "CA"), unit_price=usd("1")),)),
            WrongUnit,
        ),
    ],
)
async def test_an_invoice_that_does_not_fit_is_refused(invoice: Invoice, failure: type[Failure]):
    erp, http = connected()
    await placed(erp)
    with pytest.raises(failure):
        await erp.post_invoice(invoice, key="invoice")
    assert (await http.get("/sim/state")).json()["supplierInvoices"] == []


async def test_a_case_without_cost_posts_nothing():
    erp, http = connected()
    posting = CostPosting(
        facility="1710", cost_center="CC-OR-4711", on=NOW.date(), amount=usd("0"), reference="TX-1"
    )
    with pytest.raises(NothingToPost):
        await erp.post_cost(posting, key="cost")
    assert (
        "POST journalentrycreaterequestconfi" not in (await http.get("/sim/state")).json()["calls"]
    )


async def test_a_journal_entry_the_erp_refuses_is_a_named_failure():
    _, http = connected()
    erp = S4Hana(http, S4Settings(case_cost_account="99999999"), lambda: NOW)
    posting = CostPosting(
        facility="1710", cost_center="CC-OR-4711", on=NOW.date(), amount=usd("5"), reference="TX-1"
    )
    with pytest.raises(UpstreamRefused, match="F5/506"):
        await erp.post_cost(posting, key="cost")
    blocked = S4Hana(http, S4Settings(), lambda: NOW)
    with pytest.raises(UnknownCostCenter):
        await blocked.post_cost(msgspec.structs.replace(posting, cost_center="NONE"), key="cost")


async def test_a_reservation_without_a_number_cannot_be_released():
    erp, _ = connected()
    with pytest.raises(InvalidRequest):
        await erp.release(promise(), key="release")


async def test_packagings_of_items_seen_lately_are_not_asked_again():
    erp, http = connected()
    await placed(erp)
    before = (await http.get("/sim/state")).json()["calls"]["GET API_PRODUCT_SRV/A_Product"]
    await erp.orders(10)
    after = (await http.get("/sim/state")).json()["calls"]["GET API_PRODUCT_SRV/A_Product"]
    assert after == before
