"""S/4HANA in canonical words: the one class that others use.

S/4HANA takes no idempotency key. Every write therefore looks first for a document that carries the
key's mark in one of the vendor's reference fields (read before retry): after an answer that got
lost, the next call with the same key finds what was committed.
"""

import asyncio

from canonical.charge import CostPosting, PostedJournal
from canonical.errors import StateConflict, UpstreamGarbled
from canonical.invoice import Invoice, InvoiceLine, PostedInvoice
from system_apis.erp.s4hana import wire, wire_finance
from system_apis.erp.s4hana.mapping import VERSION, codes, finance
from system_apis.erp.s4hana.odata import keyed, where
from system_apis.erp.s4hana.purchasing import Purchasing

_INVOICE = "API_SUPPLIERINVOICE_PROCESS_SRV/A_SupplierInvoice"
_INVOICE_ITEM = "API_SUPPLIERINVOICE_PROCESS_SRV/A_SuplrInvcItemPurOrdRef"
_JOURNAL = "API_OPLACCTGDOCITEMCUBE_SRV/A_OperationalAcctgDocItemCube"


class S4Hana(Purchasing):
    """One S/4HANA behind the canonical ERP contract.

    The httpx client brings the address, the credentials, the cookie jar and the outbound policies.
    """

    system = "ERP"
    mapping_version = VERSION

    async def post_cost(self, posting: CostPosting, *, key: str) -> PostedJournal:
        """Move a case's cost from the cost centre's expense account to the case."""
        mark = codes.reference(key, 16)
        found = await self._journal(mark)
        if found is None:
            await self._odata.soap(
                finance.journal_request(posting, self._settings, self._clock(), mark)
            )
            found = await self._journal(mark)
        if found is None:
            raise UpstreamGarbled("a confirmed journal entry cannot be read back")
        return found

    async def invoiced(self, order: str, besides: str = "") -> tuple[InvoiceLine, ...]:
        """Return what posted invoices bill of an order, in its units; not what is billed by the one
        with the supplier's number `besides`: an invoice at hand may have been posted already.
        """
        rows = await self._odata.rows(
            _INVOICE_ITEM,
            wire.Many[wire_finance.InvoiceItem],
            filter=where(PurchaseOrder=order),
        )
        names = sorted({(row.SupplierInvoice, row.FiscalYear) for row in rows})
        documents = await asyncio.gather(*(self._invoice(*name) for name in names))
        own = codes.invoice_number(besides)
        others = (each for each in documents if each.SupplierInvoiceIDByInvcgParty != own)
        return finance.billed(rows, others if besides else documents)

    async def post_invoice(self, invoice: Invoice, *, key: str) -> PostedInvoice:
        """Post a supplier's invoice; one that others entered under its number is a conflict."""
        mark = codes.reference(key, 16)
        order = await self.order(invoice.order)
        number = codes.invoice_number(invoice.number)
        found = await self._odata.rows(
            _INVOICE,
            wire.Many[wire_finance.InvoiceDocument],
            filter=where(InvoicingParty=invoice.supplier, SupplierInvoiceIDByInvcgParty=number),
        )
        if found and found[0].AssignmentReference != mark:
            raise StateConflict(
                f"invoice {invoice.number} is already in the ERP as {found[0].SupplierInvoice}",
                fix="compare both documents; cancel one, or ask the supplier for a new number",
            )
        if found:
            return finance.posted_invoice(found[0])
        document = finance.invoice_document(invoice, order, self._settings, mark)
        created = await self._odata.create(
            _INVOICE, document, wire.One[wire_finance.InvoiceDocument]
        )
        return finance.posted_invoice(created)

    async def _invoice(self, number: str, year: str) -> wire_finance.InvoiceDocument:
        path = keyed(_INVOICE, SupplierInvoice=number, FiscalYear=year)
        document = await self._odata.one(path, wire.One[wire_finance.InvoiceDocument])
        if document is None:
            raise UpstreamGarbled(f"invoice document {number} has items and no header")
        return document

    async def _journal(self, mark: str) -> PostedJournal | None:
        lines = await self._odata.rows(
            _JOURNAL,
            wire.Many[wire_finance.JournalItem],
            filter=where(
                DocumentReferenceID=mark, AccountingDocumentType=self._settings.journal_type
            ),
        )
        return finance.posted_journal(lines)
