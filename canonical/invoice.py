"""Supplier invoices and the three-way match."""

from datetime import date

import msgspec

from canonical.item import Quantity
from canonical.money import Money


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One billed line (X12 810 IT1)."""

    order_line: int | None
    quantity: Quantity
    unit_price: Money
    supplier_sku: str = ""
    gtin: str = ""


class Invoice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A supplier's invoice (X12 810). `total` is what TDS01 says, allowances, charges and taxes
    included.
    """

    number: str
    order: str
    supplier: str
    invoiced_on: date
    lines: tuple[InvoiceLine, ...]
    total: Money
    charges: Money | None = None


class LineMatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The verdict on one line: `matched`, or each reason why not, in words."""

    line: int
    matched: bool
    reasons: tuple[str, ...] = ()


class MatchResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Order, receipt and invoice held against each other."""

    invoice: str
    order: str
    matched: bool
    lines: tuple[LineMatch, ...]
    reasons: tuple[str, ...] = ()


class PostedInvoice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The ERP's document for a posted supplier invoice."""

    document: str
    year: str
    total: Money
