"""S/4HANA in canonical words: the one class that others use.

S/4HANA takes no idempotency key. Every write therefore looks first for a document that carries the
key's mark in one of the vendor's reference fields (read before retry): after an answer that got
lost, the next call with the same key finds what was committed.
"""

import asyncio

import msgspec

from canonical.charge import CostPosting, PostedJournal
from canonical.errors import StateConflict, UpstreamGarbled
from canonical.invoice import Invoice, InvoiceLine, PostedInvoice
from system_apis.erp.s4hana import wire, wire_finance
from system_apis.erp.s4hana.mapping import VERSION, codes, finance
from system_apis.erp.s4hana.odata import keyed, where
from system_apis.erp.s4hana.purchasing import Purchasing

_INVOICE = "API_SUPPLIERINVOICE_PROCESS_SRV/A_SupplierInvoice"
_INVOICE_ITEM = "API_SUPPLIERINVOICE_PROCESS_SRV/A_SuplrInvcItemPurOrdRef"
_CANCEL_INVOICE = "API_SUPPLIERINVOICE_PROCESS_SRV/Cancel"
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

    async def take_back_cost(
        self, posting: CostPosting, done: PostedJournal | None, /, *, key: str
    ) -> PostedJournal | None:
        """Undo `post_cost`: the opposite entry, if there is one under `key`."""
        if done is None and await self._journal(codes.reference(key, 16)) is None:
            return None
        opposite = msgspec.structs.replace(posting, takes_back=not posting.takes_back)
        return await self.post_cost(opposite, key=codes.undoing(key))

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
        entered = await self._entered(invoice)
        found = [each for each in entered if not each.IsReversed]
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

    async def take_back_invoice(
        self, invoice: Invoice, done: PostedInvoice | None, /, *, key: str
    ) -> PostedInvoice | None:
        """Undo `post_invoice`: reverse the document that `key` marks, if it stands."""
        del done
        mark = codes.reference(key, 16)
        mine = [each for each in await self._entered(invoice) if each.AssignmentReference == mark]
        if not mine:
            return None
        posted = mine[0]
        name = {"SupplierInvoice": posted.SupplierInvoice, "FiscalYear": posted.FiscalYear}
        if not posted.IsReversed:
            await self._odata.call(
                _CANCEL_INVOICE,
                PostingDate=f"datetime'{self._clock().date()}T00:00:00'",
                ReversalReason=f"'{self._settings.reversal_reason}'",
                **{part: f"'{value}'" for part, value in name.items()},
            )
            posted = await self._invoice(posted.SupplierInvoice, posted.FiscalYear)
        return finance.reversed_invoice(posted)

    async def _entered(self, invoice: Invoice) -> tuple[wire_finance.InvoiceDocument, ...]:
        """Return what was entered under the supplier's number of an invoice."""
        number = codes.invoice_number(invoice.number)
        return await self._odata.rows(
            _INVOICE,
            wire.Many[wire_finance.InvoiceDocument],
            filter=where(InvoicingParty=invoice.supplier, SupplierInvoiceIDByInvcgParty=number),
        )

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
