"""Journal Entry - Post: the SOAP face; documents are read back by OData, which cannot post them."""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from sandbox.erp import books
from sandbox.erp.store import SapError
from sandbox.erp.system import System

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PATH = "/sap/bc/srt/scs_ext/sap/journalentrycreaterequestconfi"

_CONFIRMATION = """<soap-env:Envelope xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/">\
<soap-env:Header/><soap-env:Body>\
<n0:JournalEntryBulkCreateConfirmation xmlns:n0="http://sap.com/xi/SAPSCORE/SFIN">\
<MessageHeader><ReferenceID>{message}</ReferenceID></MessageHeader>\
<JournalEntryCreateConfirmation>\
<MessageHeader><ReferenceID>{message}</ReferenceID></MessageHeader>\
<JournalEntryCreateConfirmation><AccountingDocument>{document}</AccountingDocument>\
<CompanyCode>{company}</CompanyCode><FiscalYear>{year}</FiscalYear>\
</JournalEntryCreateConfirmation>\
<Log><MaximumLogItemSeverityCode>{severity}</MaximumLogItemSeverityCode>\
<Item><TypeID>{type_id}</TypeID><SeverityCode>{severity}</SeverityCode><Note>{note}</Note></Item>\
</Log></JournalEntryCreateConfirmation>\
</n0:JournalEntryBulkCreateConfirmation></soap-env:Body></soap-env:Envelope>"""


def create(system: System, body: bytes) -> str:
    """Post the journal entry of an envelope; a refusal is a confirmation without a document."""
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as exc:
        raise SapError(500, "SRT", "XML is not well-formed") from exc
    entry = root.find(".//JournalEntryCreateRequest/JournalEntry")
    if entry is None:
        raise SapError(500, "SRT", "JournalEntry is missing")
    message = _text(root, ".//JournalEntryCreateRequest/MessageHeader/ID")
    try:
        voucher = _voucher(system, entry)
        document = books.post(system, voucher)
    except SapError as refusal:
        number = refusal.code.split("/")[-1]
        type_id = f"{number}({refusal.code.split('/')[0]})"
        return _confirmation(message, ("0000000000", "", "0000"), ("3", type_id, refusal.message))
    year = str(voucher.on.year)
    posted = ("1", "605(RW)", f"Document posted successfully: BKPFF {document}{year}")
    return _confirmation(message, (document, system.company.code, year), posted)


def _voucher(system: System, entry: "Element") -> books.Voucher:
    if _text(entry, "CompanyCode") != system.company.code:
        raise SapError(400, "F5/165", f"Company code {_text(entry, 'CompanyCode')} does not exist")
    reference = _text(entry, "DocumentReferenceID")
    if len(reference) > 16:
        raise SapError(400, "SRT", "DocumentReferenceID is longer than 16")
    try:
        on = date.fromisoformat(_text(entry, "PostingDate"))
        lines = tuple(_line(system, each) for each in entry.findall("Item"))
    except (ValueError, InvalidOperation) as exc:
        raise SapError(400, "SRT", "A date or an amount is not readable") from exc
    return books.Voucher(
        kind=_text(entry, "AccountingDocumentType"),
        on=on,
        original_type="BKPFF",
        original="",
        lines=lines,
        reference=reference,
        header_text=_text(entry, "DocumentHeaderText"),
    )


def _line(system: System, item: "Element") -> books.Line:
    account = _text(item, "GLAccount")
    if account not in system.company.journal_accounts:
        raise SapError(400, "F5/506", f"G/L account {account} is not defined for manual posting")
    center = _text(item, "AccountAssignment/CostCenter")
    if center:
        system.require_cost_center(center)
    return books.Line(
        account,
        Decimal(_text(item, "AmountInTransactionCurrency")),
        cost_center=center,
        assignment=_text(item, "AssignmentReference"),
        text=_text(item, "DocumentItemText"),
    )


def _text(element: "Element", path: str) -> str:
    return (element.findtext(path) or "").strip()


def _confirmation(message: str, key: tuple[str, str, str], log: tuple[str, str, str]) -> str:
    document, company, year = key
    severity, type_id, note = log
    return _CONFIRMATION.format(
        message=escape(message),
        document=document,
        company=company,
        year=year,
        severity=severity,
        type_id=escape(type_id),
        note=escape(note),
    )
