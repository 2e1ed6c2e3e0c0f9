"""Accounting documents: every goods movement, invoice and journal entry posts one that balances."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sandbox.erp.store import Row, SapError
from sandbox.erp.system import System


@dataclass(frozen=True)
class Line:
    """One line of a document; debit is positive, credit negative."""

    account: str
    amount: Decimal
    cost_center: str = ""
    supplier: str = ""
    material: str = ""
    plant: str = ""
    order: str = ""
    order_item: str = ""
    assignment: str = ""
    text: str = ""


@dataclass(frozen=True)
class Voucher:
    """A document to post. `original` names what caused it: material document, invoice, itself."""

    kind: str
    on: date
    original_type: str
    original: str
    lines: tuple[Line, ...]
    reference: str = ""
    header_text: str = ""


_RANGES = {"WA": "4900000000", "WE": "5000000000", "RE": "5100000000", "SA": "0100000000"}


def post(system: System, voucher: Voucher) -> str:
    """Post a voucher and return its number, '' when there is nothing of value in it."""
    lines = [line for line in voucher.lines if line.amount]
    if sum(line.amount for line in lines):
        raise SapError(400, "F5/702", "Balance in transaction currency")
    if not lines:
        return ""
    document = system.store.number(_RANGES.get(voucher.kind, "0100000000"))
    for position, line in enumerate(lines, start=1):
        system.store["A_OperationalAcctgDocItemCube"].insert(
            _row(system, voucher, document, position, line)
        )
        system.balances[line.account] = system.balances.get(line.account, Decimal(0)) + line.amount
    return document


def _row(system: System, voucher: Voucher, document: str, position: int, line: Line) -> Row:
    currency = system.company.currency
    return {
        "CompanyCode": system.company.code,
        "FiscalYear": str(voucher.on.year),
        "AccountingDocument": document,
        "AccountingDocumentItem": str(position).zfill(3),
        "AccountingDocumentItemType": "K" if line.supplier else "",
        "AccountingDocumentType": voucher.kind,
        "PostingDate": voucher.on,
        "DocumentDate": voucher.on,
        "DebitCreditCode": "S" if line.amount > 0 else "H",
        "AssignmentReference": line.assignment,
        "DocumentItemText": line.text,
        "CostCenter": line.cost_center,
        "GLAccount": line.account,
        "Supplier": line.supplier,
        "Material": line.material,
        "Plant": line.plant,
        "PurchasingDocument": line.order,
        "PurchasingDocumentItem": line.order_item,
        "ReferenceDocumentType": voucher.original_type,
        "OriginalReferenceDocument": voucher.original or f"{document}{voucher.on.year}",
        "CompanyCodeCurrency": currency,
        "AmountInCompanyCodeCurrency": line.amount,
        "TransactionCurrency": currency,
        "AmountInTransactionCurrency": line.amount,
        "DocumentReferenceID": voucher.reference,
        "AccountingDocumentHeaderText": voucher.header_text,
    }
