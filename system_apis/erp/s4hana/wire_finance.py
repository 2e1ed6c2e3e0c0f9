"""S/4HANA's own messages of supplier invoices and journal entries; the rules of `wire.py` hold."""

from decimal import Decimal

import msgspec

from system_apis.erp.s4hana.wire import ZERO, Results


class InvoiceItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    SupplierInvoiceItem: str
    PurchaseOrder: str
    PurchaseOrderItem: str
    DocumentCurrency: str
    SupplierInvoiceItemAmount: Decimal
    PurchaseOrderQuantityUnit: str
    QuantityInPurchaseOrderUnit: Decimal
    SupplierInvoice: str = ""
    FiscalYear: str = ""
    TaxCode: str = ""
    IsSubsequentDebitCredit: str = ""
    SuplrInvcDeliveryCostCndnType: str = ""


class InvoiceDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    SupplierInvoice: str = ""
    FiscalYear: str = ""
    CompanyCode: str = ""
    DocumentDate: str | None = None
    PostingDate: str | None = None
    InvoicingParty: str = ""
    SupplierInvoiceIDByInvcgParty: str = ""
    DocumentCurrency: str = ""
    InvoiceGrossAmount: Decimal = ZERO
    UnplannedDeliveryCost: Decimal = ZERO
    DocumentHeaderText: str = ""
    AssignmentReference: str = ""
    SupplierInvoiceStatus: str = ""
    SupplierInvoiceIsCreditMemo: str = ""
    IsReversal: bool = False
    IsReversed: bool = False
    ReverseDocument: str = ""
    ReverseDocumentFiscalYear: str = ""
    to_SuplrInvcItemPurOrdRef: Results[InvoiceItem] = Results()


class JournalItem(msgspec.Struct, frozen=True, kw_only=True):
    AccountingDocument: str
    FiscalYear: str
    DebitCreditCode: str
    AmountInCompanyCodeCurrency: Decimal
    CompanyCodeCurrency: str = "USD"
