"""Supplier invoices against orders: duplicate check, balance check, payment block on variance; and
their reversal.
"""

from decimal import Decimal

from sandbox.erp import books, goods
from sandbox.erp.odata import entered
from sandbox.erp.store import Row, SapError, day, flag, number, text
from sandbox.erp.system import ZERO, System, cents

Billed = tuple[Row, Row]
"""An invoice item and the order item it bills."""


def create(system: System, given: dict[str, object]) -> Row:
    """Post a supplier invoice."""
    header, nested = entered(system.store["A_SupplierInvoice"].shape, given)
    party, reference = text(header, "InvoicingParty"), text(header, "SupplierInvoiceIDByInvcgParty")
    if system.store["A_Supplier"].get(party) is None:
        raise SapError(400, "F2/145", f"Supplier {party} does not exist")
    entered_before = system.store["A_SupplierInvoice"].find(
        {"InvoicingParty": party, "SupplierInvoiceIDByInvcgParty": reference}
    )
    standing = [row for row in entered_before if not flag(row, "IsReversed")]
    if standing:
        document = text(standing[0], "SupplierInvoice")
        message = f"Check if invoice already entered under accounting document number {document}"
        raise SapError(400, "M8/462", message)
    billed = [_billed(system, party, each) for each in nested["to_SuplrInvcItemPurOrdRef"]]
    gross, freight = number(header, "InvoiceGrossAmount"), number(header, "UnplannedDeliveryCost")
    debits = sum((number(row, "SupplierInvoiceItemAmount") for row, _ in billed), ZERO) + freight
    if debits != gross:
        message = f"Balance not zero: {debits - gross:f} debits: {debits:f} credits: {gross:f}"
        raise SapError(400, "M8/534", message)
    return _commit(system, header, billed)


def _billed(system: System, party: str, given: dict[str, object]) -> Billed:
    row, _ = entered(system.store["A_SuplrInvcItemPurOrdRef"].shape, given)
    order, item = text(row, "PurchaseOrder"), text(row, "PurchaseOrderItem")
    line = system.store["A_PurchaseOrderItem"].get(order, item)
    head = system.store["A_PurchaseOrder"].get(order)
    if line is None or head is None:
        raise SapError(400, "M8/321", f"Purchase order item {order} {item} does not exist")
    if text(head, "Supplier") != party:
        raise SapError(400, "M8/286", f"Order {order} belongs to another invoicing party")
    if text(row, "PurchaseOrderQuantityUnit") != text(line, "PurchaseOrderQuantityUnit"):
        raise SapError(400, "M8/082", f"Unit differs from order item {order} {item}")
    return row, line


def _commit(system: System, header: Row, billed: list[Billed]) -> Row:
    on = day(header, "PostingDate", system.today)
    document = system.store.number("5105600101")
    blocked = any(_varies(system, row, line) for row, line in billed)
    kept = system.store["A_SupplierInvoice"].insert(
        header
        | {
            "SupplierInvoice": document,
            "FiscalYear": str(on.year),
            "PostingDate": on,
            "CreationDate": system.today,
            "AccountingDocumentType": "RE",
            "SupplierInvoiceStatus": "5",
            "PaymentBlockingReason": "R" if blocked else "",
        }
    )
    lines: list[books.Line] = []
    for position, (row, line) in enumerate(billed, start=1):
        key: Row = {
            "SupplierInvoice": document,
            "FiscalYear": str(on.year),
            "SupplierInvoiceItem": str(position),
        }
        system.store["A_SuplrInvcItemPurOrdRef"].insert(row | key)
        lines += _cleared(system, row, line)
        _finish(system, line)
    books.post(system, _voucher(system, kept, lines))
    return kept


def _voucher(system: System, invoice: Row, lines: list[books.Line]) -> books.Voucher:
    company, party = system.company, text(invoice, "InvoicingParty")
    tail = [
        books.Line(company.freight, number(invoice, "UnplannedDeliveryCost"), supplier=""),
        books.Line(company.payables, -number(invoice, "InvoiceGrossAmount"), supplier=party),
    ]
    return books.Voucher(
        kind="RE",
        on=day(invoice, "PostingDate", system.today),
        original_type="RMRP",
        original=f"{text(invoice, 'SupplierInvoice')}{text(invoice, 'FiscalYear')}",
        lines=(*lines, *tail),
        reference=text(invoice, "SupplierInvoiceIDByInvcgParty"),
        header_text=text(invoice, "DocumentHeaderText"),
    )


def _cleared(system: System, row: Row, line: Row) -> list[books.Line]:
    """Clear GR/IR at the order's price; what the supplier asks beyond is a price difference."""
    amount = number(row, "SupplierInvoiceItemAmount")
    expected = cents(number(row, "QuantityInPurchaseOrderUnit") * _price(line))
    tail = (text(line, "Material"), text(line, "Plant"), *_key(line))
    return [
        books.Line(system.company.clearing, expected, "", "", *tail),
        books.Line(system.company.price_difference, amount - expected, "", "", *tail),
    ]


def _varies(system: System, row: Row, line: Row) -> bool:
    """Say whether the item must wait for payment: more than received, or dearer than ordered."""
    factor = system.factor(text(line, "Material"), text(line, "PurchaseOrderQuantityUnit"))
    quantity = number(row, "QuantityInPurchaseOrderUnit")
    received = goods.received(system, *_key(line)) / factor
    dearer = number(row, "SupplierInvoiceItemAmount") > cents(quantity * _price(line))
    return dearer or system.invoiced(*_key(line)) + quantity > received


def _finish(system: System, line: Row) -> None:
    done = system.invoiced(*_key(line)) >= number(line, "OrderQuantity")
    system.store["A_PurchaseOrderItem"].update(line, IsFinallyInvoiced=done)


def _key(line: Row) -> tuple[str, str]:
    return text(line, "PurchaseOrder"), text(line, "PurchaseOrderItem")


def _price(line: Row) -> Decimal:
    return number(line, "NetPriceAmount") / number(line, "NetPriceQuantity")


def cancel(system: System, number_: str, year: str) -> Row:
    """Post the opposite of an invoice and return what the function import answers."""
    found = system.store["A_SupplierInvoice"].get(number_, year)
    if found is None:
        raise SapError(404, "M8/107", f"Invoice document {number_} {year} does not exist")
    if flag(found, "IsReversed") or flag(found, "IsReversal"):
        raise SapError(400, "M8/459", f"Document {number_} {year} has already been reversed")
    document = system.store.number("5105600101")
    _oppose(system, found, document)
    system.store["A_SupplierInvoice"].insert(
        {name: value for name, value in found.items() if name != "SupplierInvoiceIDByInvcgParty"}
        | {
            "SupplierInvoice": document,
            "FiscalYear": str(system.today.year),
            "PostingDate": system.today,
            "CreationDate": system.today,
            "ReverseDocument": number_,
            "ReverseDocumentFiscalYear": year,
            "AssignmentReference": "",
            "IsReversal": True,
        }
    )
    own: Row = {"ReverseDocument": document, "ReverseDocumentFiscalYear": str(system.today.year)}
    system.store["A_SupplierInvoice"].update(found, IsReversed=True, **own)
    for row in system.store["A_SuplrInvcItemPurOrdRef"].find(
        {"SupplierInvoice": number_, "FiscalYear": year}
    ):
        key = text(row, "PurchaseOrder"), text(row, "PurchaseOrderItem")
        line = system.store["A_PurchaseOrderItem"].get(*key)
        if line is not None:
            _finish(system, line)
    return {"ReverseDocument": document, "FiscalYear": str(system.today.year), "Success": True}


def _oppose(system: System, invoice: Row, document: str) -> None:
    """Post every accounting line of an invoice with the other sign."""
    original = f"{text(invoice, 'SupplierInvoice')}{text(invoice, 'FiscalYear')}"
    posted = system.store["A_OperationalAcctgDocItemCube"].find(
        {"OriginalReferenceDocument": original, "ReferenceDocumentType": "RMRP"}
    )
    lines = tuple(
        books.Line(
            text(row, "GLAccount"),
            -number(row, "AmountInCompanyCodeCurrency"),
            supplier=text(row, "Supplier"),
            material=text(row, "Material"),
            plant=text(row, "Plant"),
            order=text(row, "PurchasingDocument"),
            order_item=text(row, "PurchasingDocumentItem"),
        )
        for row in posted
    )
    voucher = books.Voucher(
        kind="RE",
        on=system.today,
        original_type="RMRP",
        original=f"{document}{system.today.year}",
        lines=lines,
    )
    books.post(system, voucher)
