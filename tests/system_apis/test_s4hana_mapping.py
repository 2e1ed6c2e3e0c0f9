"""Tables of what S/4HANA says and what it means."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from canonical.charge import CostPosting
from canonical.errors import InvalidRequest, StateConflict, UpstreamGarbled, WrongUnit
from canonical.item import Item, ItemId, Packaging, Quantity
from canonical.money import Money
from system_apis.erp.s4hana import wire, wire_finance
from system_apis.erp.s4hana.mapping import VERSION, codes, finance, master, purchasing, stock
from system_apis.erp.s4hana.odata import keyed, where
from system_apis.erp.s4hana.settings import S4Settings

SUTURES = Item(
    id=ItemId("CON-60001"),
    description="Suture",
    base_unit="EA",
    packagings=(Packaging(unit="BX", factor=Decimal(12)),),
)


def test_the_version_is_what_the_steps_record():
    assert VERSION == "s4hana/1"


@pytest.mark.parametrize(
    ("theirs", "ours", "back"),
    [
        ("ST", "EA", "ST"),
        ("PC", "EA", "ST"),
        ("EA", "EA", "ST"),
        ("BX", "BX", "BX"),
        ("KAR", "CA", "KAR"),
        ("CAR", "CA", "KAR"),
        ("PAK", "PK", "PAK"),
        ("PAA", "PR", "PAA"),
        ("FL", "BT", "FL"),
    ],
)
def test_a_unit_is_read_in_every_spelling_and_written_in_one(theirs: str, ours: str, back: str):
    assert codes.unit(theirs) == ours
    assert codes.sap_unit(ours) == back


def test_a_unit_outside_the_table_is_refused_on_the_side_that_gave_it():
    with pytest.raises(UpstreamGarbled):
        codes.unit("QQ")
    with pytest.raises(WrongUnit):
        codes.sap_unit("QQ")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("/Date(1814313600000)/", date(2027, 6, 30)),
        ("/Date(1814313600000+0000)/", date(2027, 6, 30)),
        ("/Date(-86400000)/", date(1969, 12, 31)),
        ("/Date(253402214400000)/", date(9999, 12, 31)),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_milliseconds_since_1970(theirs: str | None, ours: date | None):
    assert codes.day(theirs) == ours
    if ours is not None and theirs is not None and "+" not in theirs:
        assert codes.sap_day(ours) == theirs


def test_another_form_of_date_is_garbled():
    with pytest.raises(UpstreamGarbled):
        codes.day("2027-06-30")


@pytest.mark.parametrize(
    ("price", "amount", "per"),
    [
        ("75", "75.00", "1"),
        ("75.10", "75.10", "1"),
        ("0.125", "1.25", "10"),
        ("0.0925", "9.25", "100"),
        ("0.00925", "9.25", "1000"),
        ("0.0000001", "0.00", "1000"),
    ],
)
def test_a_price_is_cents_for_so_many_units(price: str, amount: str, per: str):
    assert codes.net_price(Decimal(price)) == (Decimal(amount), Decimal(per))


@pytest.mark.parametrize(
    ("lot", "batch"),
    [("", ""), ("ti2142a", "TI2142A"), (" S24-118 ", "S24-118"), ("0123456789", "0123456789")],
)
def test_a_short_lot_is_its_batch_number(lot: str, batch: str):
    assert codes.batch(lot) == batch
    assert codes.lot_text(lot) == ""
    assert codes.lot(batch, "") == batch


def test_a_long_lot_is_a_digest_and_its_text_brings_it_back():
    batch = codes.batch("LOT-2026-11-0000451")
    assert len(batch) == 10
    assert batch != codes.batch("LOT-2026-11-0000452")
    assert codes.lot(batch, codes.lot_text("LOT-2026-11-0000451")) == "LOT-2026-11-0000451"


def test_a_serial_number_longer_than_the_field_is_refused():
    assert codes.serial("ti-000101") == "TI-000101"
    with pytest.raises(InvalidRequest):
        codes.serial("1234567890123456789")


def test_an_invoice_number_longer_than_the_field_stays_distinct_and_readable():
    assert codes.invoice_number("INV-5501") == "INV-5501"
    one, two = (codes.invoice_number(f"2026/NORTH/000{n}/00005501") for n in (1, 2))
    assert (len(one), one[-8:]) == (16, "00005501")
    assert one != two


def test_a_mark_is_the_same_for_the_same_key_and_fits_its_field():
    assert codes.reference("flow-1/order", 12) == codes.reference("flow-1/order", 16)[:12]
    assert codes.reference("flow-1/order", 16) != codes.reference("flow-2/order", 16)


@pytest.mark.parametrize(
    ("value", "plain"), [("36.000", "36"), ("2.50", "2.5"), ("0.000", "0"), ("400", "400")]
)
def test_a_quantity_loses_the_zeros_it_was_padded_with(value: str, plain: str):
    assert str(codes.quantity(Decimal(value), "ST").value) == plain


def test_a_filter_doubles_quotes_and_writes_booleans_bare():
    assert where(Material="O'Neil", IsClosed=False, Open=True) == (
        "Material eq 'O''Neil' and IsClosed eq false and Open eq true"
    )


def test_a_key_is_safe_in_a_path():
    assert keyed("Batch", Material="A/B", Batch="#1") == "Batch(Material='A%2FB',Batch='%231')"


def product(**changes: object) -> wire.Product:
    given: dict[str, object] = {"Product": "CON-60001", "BaseUnit": "ST", "ProductGroup": "CONSUM"}
    return wire.Product(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "active", "kind"),
    [
        ({}, True, "consumable"),
        ({"CrossPlantStatus": "01"}, False, "consumable"),
        ({"IsMarkedForDeletion": True}, False, "consumable"),
        ({"ProductGroup": "IMPLANT"}, True, "implant"),
        ({"ProductGroup": "L001"}, True, "consumable"),
    ],
)
def test_an_item_is_active_unless_blocked(changes: dict[str, object], active: bool, kind: str):
    item = master.item(product(**changes), {"IMPLANT": "implant"}, "EN")
    assert (item.active, item.kind, item.gtin, item.description) == (active, kind, None, "")


def test_an_item_is_described_in_the_language_asked_or_the_first_there_is():
    texts = wire.Results(
        tuple(
            wire.ProductDescription(Language=language, ProductDescription=text)
            for language, text in (("DE", "Nahtmaterial"), ("EN", "Suture"))
        )
    )
    described = product(to_Description=texts)
    assert master.item(described, {}, "EN").description == "Suture"
    assert master.item(described, {}, "FR").description == "Nahtmaterial"


def test_a_house_ean_is_no_gtin():
    units = wire.Results(
        (
            wire.ProductUnit(
                AlternativeUnit="ST",
                QuantityNumerator=Decimal(1),
                QuantityDenominator=Decimal(1),
                GlobalTradeItemNumber="2000001",
            ),
        )
    )
    assert master.item(product(to_ProductUnitsOfMeasure=units), {}, "EN").gtin is None


def test_a_supplier_marked_for_deletion_takes_no_orders():
    assert master.supplier(wire.Supplier(Supplier="1", DeletionIndicator=True)).blocked


@pytest.mark.parametrize(
    ("start", "end", "valid"),
    [
        (None, None, True),
        (date(2026, 1, 1), date(2026, 12, 31), True),
        (date(2026, 11, 21), None, False),
        (None, date(2026, 11, 19), False),
    ],
)
def test_a_cost_center_holds_for_its_time_slice(
    start: date | None,
    end: date | None,
    valid: bool,
):
    row = wire.CostCenter(
        CostCenter="CC-OR-4711",
        ValidityStartDate=codes.sap_day(start) if start else None,
        ValidityEndDate=codes.sap_day(end) if end else None,
    )
    assert master.is_valid(row, date(2026, 11, 20)) is valid


def test_a_cost_center_without_texts_has_no_name():
    assert master.cost_center(wire.CostCenter(CostCenter="X"), None).name == ""


def test_a_promise_withdrawn_beyond_what_was_promised_owes_nothing():
    rows = [
        wire.ReservationItem(
            Product="CON-60001",
            Plant="1710",
            StorageLocation="OR01",
            ResvnItmRequiredQtyInBaseUnit=Decimal(required),
            ResvnItmWithdrawnQtyInBaseUnit=Decimal(withdrawn),
        )
        for required, withdrawn in (("5.000", "2.000"), ("1.000", "3.000"))
    ]
    on_hand = [wire.MaterialStock(MatlWrhsStkQtyInMatlBaseUnit=Decimal("2.5"))]
    level = stock.stock_level(SUTURES, ("1710", "OR01"), on_hand, rows, Decimal(0))
    assert (level.reserved, level.on_hand) == (3, Decimal("2.5"))


def ordered(**changes: object) -> wire.OrderItem:
    given: dict[str, object] = {
        "PurchaseOrderItem": "1",
        "Material": "CON-60001",
        "Plant": "1710",
        "StorageLocation": "OR01",
        "OrderQuantity": Decimal(3),
        "PurchaseOrderQuantityUnit": "BX",
        "NetPriceAmount": Decimal("75.00"),
        "NetPriceQuantity": Decimal(1),
        "DocumentCurrency": "USD",
    }
    return wire.OrderItem(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("came", "owed"), [((), "36"), (("12",), "24"), (("30", "6"), "0"), (("40",), "0")]
)
def test_what_is_still_to_come_is_what_was_ordered_less_what_came(came: tuple[str, ...], owed: str):
    received = [
        wire.MaterialDocumentItem(
            Material="CON-60001",
            Plant="1710",
            StorageLocation="OR01",
            GoodsMovementType="101",
            QuantityInBaseUnit=Decimal(each),
        )
        for each in came
    ]
    assert stock.still_to_come(SUTURES, ordered(), received) == Decimal(owed)


def kept(**changes: object) -> wire.KeptRequisitionItem:
    given: dict[str, object] = {
        "PurchaseRequisition": "10000000",
        "PurchaseRequisitionItem": "10",
        "RequestedQuantity": Decimal(3),
        "BaseUnit": "BX",
    }
    return wire.KeptRequisitionItem(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("noted", "lines", "still"),
    [
        ("0", (), "36"),
        ("1", (), "24"),
        ("3", (), "0"),
        ("4", (), "0"),
        ("0", ({},), "0"),
        ("1", ({"OrderQuantity": Decimal(1)},), "24"),
        ("0", ({"OrderQuantity": Decimal(6), "PurchaseOrderQuantityUnit": "ST"},), "30"),
        ("0", ({"PurchaseRequisitionItem": "20"},), "36"),
        ("0", ({"PurchaseRequisition": "10000001"},), "36"),
    ],
)
def test_what_an_order_took_over_is_no_longer_requested_whoever_knows_of_it(
    noted: str, lines: tuple[dict[str, object], ...], still: str
):
    row = kept(OrderedQuantity=Decimal(noted))
    named = {"PurchaseRequisition": "10000000", "PurchaseRequisitionItem": "10"}
    placed = [ordered(**(named | line)) for line in lines]
    assert stock.still_requested(SUTURES, row, placed) == Decimal(still)


def test_only_what_is_open_is_withdrawn():
    rows = [kept(), kept(IsClosed=True), kept(IsDeleted="X", OrderedQuantity=Decimal(1))]
    assert purchasing.to_withdraw(rows) == (rows[0],)


def test_a_requisition_with_one_ordered_item_is_not_withdrawn_at_all():
    part = {"OrderedQuantity": Decimal(1), "PurchasingDocument": "4500000001"}
    with pytest.raises(StateConflict, match="4500000001"):
        purchasing.to_withdraw([kept(), kept(**part)])


DONE = {"IsCompletelyDelivered": True}


@pytest.mark.parametrize(
    ("header", "items", "status"),
    [
        ("", ({},), "open"),
        ("", (DONE, {}), "open"),
        ("", (DONE,), "received"),
        ("", (DONE | {"IsFinallyInvoiced": True},), "closed"),
        ("", (DONE, {"PurchasingDocumentDeletionCode": "L"}), "received"),
        ("", ({"PurchasingDocumentDeletionCode": "L"},), "cancelled"),
        ("L", ({},), "cancelled"),
        ("", (), "cancelled"),
    ],
)
def test_an_orders_status_follows_its_lines(
    header: str, items: tuple[dict[str, object], ...], status: str
):
    lines = tuple(ordered(**each) for each in items)
    row = wire.OrderDocument(
        PurchaseOrder="4500000001",
        DocumentCurrency="USD",
        PurchasingDocumentDeletionCode=header,
        to_PurchaseOrderItem=wire.Results(lines),
    )
    order = purchasing.order(row, {SUTURES.id: SUTURES})
    assert order.status == status
    assert (order.needed_on, order.ordered_on) == (date.min, date.min)


def test_a_received_line_is_in_base_units():
    row = wire.MaterialDocumentItem(
        Material="CON-60001",
        Plant="1710",
        StorageLocation="OR01",
        GoodsMovementType="101",
        MaterialDocument="5000000000",
        MaterialDocumentYear="2026",
        PurchaseOrder="4500000001",
        PurchaseOrderItem="00010",
        MaterialBaseUnit="ST",
        QuantityInBaseUnit=Decimal("36.000"),
    )
    [posted] = stock.receipts([row])
    assert posted.lines[0].order_line == 10
    assert posted.lines[0].quantity == Quantity(value=Decimal(36), unit="EA")


def test_the_value_of_a_document_is_its_debits():
    journal = [
        wire_finance.JournalItem(
            AccountingDocument="4900000000",
            FiscalYear="2026",
            DebitCreditCode=code,
            AmountInCompanyCodeCurrency=Decimal(amount),
        )
        for code, amount in (("S", "12.50"), ("S", "7.50"), ("H", "-20.00"))
    ]
    posted = finance.posted_journal(journal)
    assert posted is not None
    assert posted.amount == Money(amount=Decimal("20.00"))
    assert finance.posted_journal([]) is None


def billing(**changes: object) -> wire_finance.InvoiceItem:
    item = wire_finance.InvoiceItem(
        SupplierInvoiceItem="000001",
        PurchaseOrder="4500000001",
        PurchaseOrderItem="00010",
        DocumentCurrency="USD",
        SupplierInvoiceItemAmount=Decimal("225.00"),
        PurchaseOrderQuantityUnit="BX",
        QuantityInPurchaseOrderUnit=Decimal("3.000"),
        SupplierInvoice="5105600101",
        FiscalYear="2026",
    )
    return msgspec.structs.replace(item, **changes)


@pytest.mark.parametrize(
    ("header", "item", "boxes"),
    [
        ({}, {}, [3]),
        ({"SupplierInvoiceStatus": "A"}, {}, []),
        ({"IsReversed": True}, {}, []),
        ({"IsReversal": True}, {}, []),
        ({"FiscalYear": "2025"}, {}, []),
        ({"SupplierInvoiceIsCreditMemo": "X"}, {}, [-3]),
        ({}, {"IsSubsequentDebitCredit": "X"}, []),
        ({}, {"SuplrInvcDeliveryCostCndnType": "FRA1"}, []),
        ({}, {"QuantityInPurchaseOrderUnit": Decimal(0)}, []),
    ],
    ids=[
        *("posted", "parked", "reversed", "reversal", "other-year"),
        *("credit-memo", "subsequent", "delivery-costs", "no-quantity"),
    ],
)
def test_only_posted_invoices_bill_goods_and_a_credit_memo_gives_them_back(header, item, boxes):
    told = {"SupplierInvoice": "5105600101", "FiscalYear": "2026", "SupplierInvoiceStatus": "5"}
    document = wire_finance.InvoiceDocument(**told | header)
    lines = finance.billed([billing(**item)], [document])
    assert [line.quantity.value for line in lines] == boxes
    assert {(line.order_line, line.quantity.unit) for line in lines} <= {(10, "BX")}
    assert {line.unit_price.amount for line in lines} <= {Decimal(75)}


def test_a_negative_cost_swaps_debit_and_credit_and_text_is_escaped():
    posting = CostPosting(
        facility="1710",
        cost_center="CC-OR-4711",
        on=date(2026, 12, 1),
        amount=Money(amount=Decimal("-5.00")),
        reference="<T&X>",
    )
    at = datetime(2026, 12, 1, tzinfo=UTC)
    envelope = finance.journal_request(posting, S4Settings(), at, "MARK")
    first, second = envelope.split("<Item>")[1:]
    assert "51650000" in first
    assert '<AmountInTransactionCurrency currencyCode="USD">-5.00<' in first
    assert "<DebitCreditCode>H<" in first
    assert "<DebitCreditCode>S<" in second
    assert "&lt;T&amp;X&gt;" in envelope
