"""Supplier invoices and journal entries."""

import html
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from canonical.charge import CostPosting, PostedJournal
from canonical.errors import InvalidRequest, NothingToPost, WrongUnit
from canonical.inventory import PostedMovement
from canonical.invoice import Invoice, InvoiceLine, PostedInvoice
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from system_apis.erp.s4hana import wire, wire_finance
from system_apis.erp.s4hana.mapping import codes
from system_apis.erp.s4hana.settings import S4Settings

_DEBIT = "S"
_POSTED = "5"
_CENT_OF_A_CENT = Decimal("0.0001")


def invoice_document(
    invoice: Invoice, order: PurchaseOrder, settings: S4Settings, mark: str
) -> wire_finance.InvoiceDocument:
    """Bill the lines of an order; freight and other charges are unplanned delivery costs."""
    on = codes.sap_day(invoice.invoiced_on)
    items = tuple(
        _billed(at, line, order, settings) for at, line in enumerate(invoice.lines, start=1)
    )
    return wire_finance.InvoiceDocument(
        CompanyCode=settings.company_code,
        DocumentDate=on,
        PostingDate=on,
        InvoicingParty=invoice.supplier,
        SupplierInvoiceIDByInvcgParty=codes.invoice_number(invoice.number),
        DocumentCurrency=invoice.total.currency,
        InvoiceGrossAmount=invoice.total.amount,
        UnplannedDeliveryCost=invoice.charges.amount if invoice.charges else Decimal(0),
        DocumentHeaderText=invoice.number[:25],
        AssignmentReference=mark,
        to_SuplrInvcItemPurOrdRef=wire.Results(items),
    )


def _billed(
    at: int, line: InvoiceLine, order: PurchaseOrder, settings: S4Settings
) -> wire_finance.InvoiceItem:
    ordered = _ordered(line, order)
    return wire_finance.InvoiceItem(
        SupplierInvoiceItem=str(at),
        PurchaseOrder=order.number,
        PurchaseOrderItem=str(ordered.line),
        DocumentCurrency=line.unit_price.currency,
        SupplierInvoiceItemAmount=line.unit_price.times(line.quantity.value).amount,
        PurchaseOrderQuantityUnit=codes.sap_unit(ordered.quantity.unit),
        QuantityInPurchaseOrderUnit=_in_order_unit(line, ordered),
        TaxCode=settings.tax_code,
    )


def _ordered(line: InvoiceLine, order: PurchaseOrder) -> OrderLine:
    for candidate in order.lines:
        sku = line.supplier_sku and line.supplier_sku == candidate.supplier_sku
        named = sku or (line.gtin and line.gtin == candidate.gtin)
        if line.order_line == candidate.line or (line.order_line is None and named):
            return candidate
    raise InvalidRequest(
        f"an invoice line names no line of order {order.number}",
        where="lines",
        expected=f"order line {', '.join(str(each.line) for each in order.lines)}, or its code",
    )


def _in_order_unit(line: InvoiceLine, ordered: OrderLine) -> Decimal:
    if line.quantity.unit == ordered.quantity.unit:
        return line.quantity.value
    if line.quantity.unit == ordered.base_quantity.unit:
        return line.quantity.value * ordered.quantity.value / ordered.base_quantity.value
    raise WrongUnit(
        f"invoice line is in {line.quantity.unit}",
        expected=f"{ordered.quantity.unit} or {ordered.base_quantity.unit}",
        fix="ask the supplier for an invoice in the ordered unit",
    )


def posted_invoice(row: wire_finance.InvoiceDocument) -> PostedInvoice:
    """Return the document of a posted invoice."""
    return PostedInvoice(
        document=row.SupplierInvoice,
        year=row.FiscalYear,
        total=Money(amount=row.InvoiceGrossAmount, currency=row.DocumentCurrency),
    )


def reversed_invoice(row: wire_finance.InvoiceDocument) -> PostedInvoice:
    """Return the document that reverses a posted invoice."""
    return PostedInvoice(
        document=row.ReverseDocument,
        year=row.ReverseDocumentFiscalYear,
        total=Money(amount=-row.InvoiceGrossAmount, currency=row.DocumentCurrency),
    )


def billed(
    rows: Iterable[wire_finance.InvoiceItem], documents: Iterable[wire_finance.InvoiceDocument]
) -> tuple[InvoiceLine, ...]:
    """Return the goods that the posted ones of these invoices bill; a credit memo gives back.

    Delivery costs and subsequent debits refer to goods that another item bills.
    """
    signs = {
        (document.SupplierInvoice, document.FiscalYear): _sign(document)
        for document in documents
        if document.SupplierInvoiceStatus == _POSTED
        and not (document.IsReversed or document.IsReversal)
    }
    return tuple(
        _invoiced(row, signs[row.SupplierInvoice, row.FiscalYear])
        for row in rows
        if (row.SupplierInvoice, row.FiscalYear) in signs
        and row.QuantityInPurchaseOrderUnit
        and not (row.IsSubsequentDebitCredit or row.SuplrInvcDeliveryCostCndnType)
    )


def _sign(document: wire_finance.InvoiceDocument) -> int:
    return -1 if document.SupplierInvoiceIsCreditMemo else 1


def _invoiced(row: wire_finance.InvoiceItem, sign: int) -> InvoiceLine:
    value = row.QuantityInPurchaseOrderUnit
    price = (row.SupplierInvoiceItemAmount / value).quantize(_CENT_OF_A_CENT)
    return InvoiceLine(
        order_line=int(row.PurchaseOrderItem),
        quantity=codes.quantity(sign * value, row.PurchaseOrderQuantityUnit),
        unit_price=Money(amount=price, currency=row.DocumentCurrency),
    )


def posted_movement(
    row: wire.MaterialDocument, journal: Iterable[wire_finance.JournalItem], currency: str
) -> PostedMovement:
    """Return the document of a movement with the value its accounting document moved."""
    value = _debits(journal)
    return PostedMovement(
        document=row.MaterialDocument,
        year=row.MaterialDocumentYear,
        value=Money(amount=value, currency=currency),
    )


def posted_journal(journal: Iterable[wire_finance.JournalItem]) -> PostedJournal | None:
    """Return the journal entry of these lines, or nothing when there are none."""
    lines = tuple(journal)
    if not lines:
        return None
    return PostedJournal(
        document=lines[0].AccountingDocument,
        year=lines[0].FiscalYear,
        amount=Money(amount=_debits(lines), currency=lines[0].CompanyCodeCurrency),
    )


def _debits(journal: Iterable[wire_finance.JournalItem]) -> Decimal:
    amounts = (row.AmountInCompanyCodeCurrency for row in journal if row.DebitCreditCode == _DEBIT)
    return sum(amounts, Decimal("0.00"))


_ENVELOPE = """<?xml version="1.0" encoding="utf-8"?>\
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:sfin="http://sap.com/xi/SAPSCORE/SFIN"><soapenv:Header/><soapenv:Body>\
<sfin:JournalEntryBulkCreateRequest>\
<MessageHeader><ID>{mark}</ID><CreationDateTime>{at}</CreationDateTime></MessageHeader>\
<JournalEntryCreateRequest>\
<MessageHeader><ID>{mark}</ID><CreationDateTime>{at}</CreationDateTime></MessageHeader>\
<JournalEntry><OriginalReferenceDocumentType>BKPFF</OriginalReferenceDocumentType>\
<BusinessTransactionType>RFBU</BusinessTransactionType>\
<AccountingDocumentType>{kind}</AccountingDocumentType>\
<DocumentReferenceID>{mark}</DocumentReferenceID>\
<DocumentHeaderText>{header}</DocumentHeaderText><CreatedByUser>{user}</CreatedByUser>\
<CompanyCode>{company}</CompanyCode><DocumentDate>{on}</DocumentDate>\
<PostingDate>{on}</PostingDate>{items}</JournalEntry></JournalEntryCreateRequest>\
</sfin:JournalEntryBulkCreateRequest></soapenv:Body></soapenv:Envelope>"""

_ITEM = """<Item><ReferenceDocumentItem>{at}</ReferenceDocumentItem>\
<GLAccount>{account}</GLAccount>\
<AmountInTransactionCurrency currencyCode="{currency}">{amount}</AmountInTransactionCurrency>\
<DebitCreditCode>{code}</DebitCreditCode><DocumentItemText>{text}</DocumentItemText>\
<AssignmentReference>{case}</AssignmentReference>\
<AccountAssignment><CostCenter>{center}</CostCenter></AccountAssignment></Item>"""


def journal_request(posting: CostPosting, settings: S4Settings, at: datetime, mark: str) -> str:
    """Move a case's cost out of the cost centre's supply expense, or back into it: Journal Entry -
    Post, one line on the case cost account and one on the expense account, the case as assignment.
    """
    amount = -posting.amount.amount if posting.takes_back else posting.amount.amount
    if not amount:
        raise NothingToPost("the case has no cost", fix="nothing to do")
    accounts = (settings.case_cost_account, amount), (settings.expense_account, -amount)
    items = "".join(
        _ITEM.format(
            at=position,
            account=html.escape(account),
            currency=html.escape(posting.amount.currency),
            amount=f"{signed:.2f}",
            code=_DEBIT if signed > 0 else "H",
            text=html.escape(posting.reference[:50]),
            case=html.escape(posting.case[:18]),
            center=html.escape(posting.cost_center),
        )
        for position, (account, signed) in enumerate(accounts, start=1)
    )
    return _ENVELOPE.format(
        mark=mark,
        at=at.isoformat(),
        kind=html.escape(settings.journal_type),
        header=html.escape(posting.reference[:25]),
        user=html.escape(settings.user[:12]),
        company=html.escape(settings.company_code),
        on=posting.on.isoformat(),
        items=items,
    )
