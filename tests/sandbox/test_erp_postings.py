"""What the simulated S/4HANA posts, refuses, and keeps in balance."""

from datetime import date
from decimal import Decimal

import httpx
import pytest

from canonical.item import gtin
from sandbox.erp.app import create_app
from sandbox.erp.inprocess import client
from sandbox.erp.seed import hospital

ROOT = "/sap/opu/odata/sap"
GOODS = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
ORDER = "API_PURCHASEORDER_PROCESS_SRV/A_PurchaseOrder"
REQUISITION = "API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionHeader"
INVOICE = "API_SUPPLIERINVOICE_PROCESS_SRV/A_SupplierInvoice"
BUDGET = "ZBUDGET_AVAILABILITY_SRV/CostCenterBudgetSet"
JOURNAL = "/sap/bc/srt/scs_ext/sap/journalentrycreaterequestconfi"
Row = dict[str, object]


class Erp:
    """A system and the few gestures these tests make."""

    def __init__(self) -> None:
        self.http = client(create_app())

    async def post(self, path: str, body: Row) -> httpx.Response:
        token = await self.http.get(f"{ROOT}/API_PRODUCT_SRV/", headers={"x-csrf-token": "Fetch"})
        headers = {"x-csrf-token": token.headers["x-csrf-token"]}
        return await self.http.post(f"{ROOT}/{path}", json=body, headers=headers)

    async def refusal(self, path: str, body: Row) -> str:
        before = await self.state()
        answer = await self.post(path, body)
        after = await self.state()
        assert answer.status_code == 400
        assert {k: v for k, v in after.items() if k != "calls"} == {
            k: v for k, v in before.items() if k != "calls"
        }
        return str(answer.json()["error"]["code"])

    async def state(self) -> Row:
        return dict((await self.http.get("/sim/state")).json())

    async def on_hand(self, material: str, location: str = "OR01") -> Decimal:
        stock = (await self.state())["stock"]
        assert isinstance(stock, list)
        rows = [row for row in stock if (row["material"], row["location"]) == (material, location)]
        return sum((Decimal(row["quantity"]) for row in rows), Decimal(0))

    async def balances(self) -> dict[str, Decimal]:
        journal = (await self.state())["journal"]
        assert isinstance(journal, dict)
        assert Decimal(journal["sum"]) == 0
        return {account: Decimal(amount) for account, amount in journal["balances"].items()}


def issue(**item: object) -> Row:
    line: Row = {
        "Material": "IMP-20003",
        "Plant": "1710",
        "StorageLocation": "OR01",
        "GoodsMovementType": "201",
        "Batch": "LIMP003A",
        "CostCenter": "CC-OR-4711",
        "EntryUnit": "ST",
        "QuantityInEntryUnit": "1",
    }
    return {"GoodsMovementCode": "03", "to_MaterialDocumentItem": [line | item]}


def bought(**item: object) -> Row:
    line: Row = {
        "Material": "CON-60001",
        "Plant": "1710",
        "StorageLocation": "OR01",
        "OrderQuantity": "2",
        "PurchaseOrderQuantityUnit": "BX",
        "NetPriceAmount": "90.00",
        "NetPriceQuantity": "1",
        "RequisitionerName": "CC-OR-4711",
    }
    return {
        "Supplier": "17300002",
        "CompanyCode": "1710",
        "DocumentCurrency": "USD",
        "to_PurchaseOrderItem": [line | item],
    }


def received(**item: object) -> Row:
    line: Row = {
        "Material": "CON-60001",
        "Plant": "1710",
        "StorageLocation": "OR01",
        "GoodsMovementType": "101",
        "PurchaseOrder": "4500000001",
        "PurchaseOrderItem": "10",
        "Batch": "NEW1",
        "EntryUnit": "BX",
        "QuantityInEntryUnit": "2",
    }
    return {"GoodsMovementCode": "01", "to_MaterialDocumentItem": [line | item]}


def billed(gross: str, **header: object) -> Row:
    return {
        "CompanyCode": "1710",
        "InvoicingParty": "17300002",
        "SupplierInvoiceIDByInvcgParty": "INV-1",
        "DocumentCurrency": "USD",
        "InvoiceGrossAmount": gross,
        "to_SuplrInvcItemPurOrdRef": [
            {
                "PurchaseOrder": "4500000001",
                "PurchaseOrderItem": "10",
                "DocumentCurrency": "USD",
                "SupplierInvoiceItemAmount": "180.00",
                "PurchaseOrderQuantityUnit": "BX",
                "QuantityInPurchaseOrderUnit": "2",
            }
        ],
    } | header


async def test_an_issue_takes_stock_and_charges_the_cost_center():
    erp = Erp()
    before = await erp.balances()
    assert (await erp.post(GOODS, issue())).status_code == 201
    after = await erp.balances()
    assert await erp.on_hand("IMP-20003") == 1
    assert after["13100000"] == before["13100000"] - 960
    assert after["51600000"] == 960


def _two_lines() -> Row:
    line = issue(QuantityInEntryUnit="2")["to_MaterialDocumentItem"]
    assert isinstance(line, list)
    return {"GoodsMovementCode": "03", "to_MaterialDocumentItem": [*line, *line]}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (issue(QuantityInEntryUnit="3"), "M7/021"),
        (_two_lines(), "M7/021"),
        (issue(Batch=""), "M7/018"),
        (issue(Material="NONE"), "M3/305"),
        (issue(Plant="1720"), "M3/351"),
        (issue(EntryUnit="KAR"), "M3/070"),
        (issue(CostCenter="NONE"), "KI/101"),
        (issue(CostCenter="CC-XR-4790"), "KI/161"),
        (issue(QuantityInEntryUnit="0"), "M7/030"),
        (issue(GoodsMovementType="101"), "M7/209"),
        (issue(GoodsMovementType="202", Batch="NEVER"), "M7/042"),
        (issue(Material="IMP-10001", Batch="TI2142A"), "IO/304"),
        (
            issue(
                Material="IMP-10001",
                Batch="TI2142A",
                to_SerialNumbers=[{"Material": "IMP-10001", "SerialNumber": "TI-000201"}],
            ),
            "IO/231",
        ),
        ({"GoodsMovementCode": "99", "to_MaterialDocumentItem": []}, "M7/207"),
        ({"GoodsMovementCode": "03", "to_MaterialDocumentItem": []}, "M7/088"),
    ],
)
async def test_a_movement_that_cannot_be_posts_nothing(body: Row, code: str):
    assert await Erp().refusal(GOODS, body) == code


async def test_a_reversal_brings_stock_serial_and_cost_back():
    erp = Erp()
    before = await erp.balances()
    piece = {
        "Material": "IMP-10001",
        "Batch": "TI2142A",
        "to_SerialNumbers": [{"Material": "IMP-10001", "SerialNumber": "TI-000101"}],
    }
    assert (await erp.post(GOODS, issue(**piece))).status_code == 201
    assert await erp.refusal(GOODS, issue(**piece)) == "IO/231"
    back = issue(**piece, GoodsMovementType="202")
    assert (await erp.post(GOODS, back)).status_code == 201
    assert await erp.on_hand("IMP-10001") == 4
    assert await erp.balances() == before | {"51600000": 0}
    assert await erp.refusal(GOODS, back) == "IO/227"


async def test_a_receipt_stops_at_the_ordered_quantity_and_averages_the_price():
    erp = Erp()
    assert (await erp.post(ORDER, bought())).status_code == 201
    assert await erp.refusal(GOODS, received(QuantityInEntryUnit="3")) == "M7/022"
    assert (
        await erp.post(GOODS, received(EntryUnit="ST", QuantityInEntryUnit="20"))
    ).status_code == 201
    assert await erp.refusal(GOODS, received(EntryUnit="ST", QuantityInEntryUnit="5")) == "M7/022"
    assert (
        await erp.post(GOODS, received(EntryUnit="ST", QuantityInEntryUnit="4"))
    ).status_code == 201
    assert await erp.on_hand("CON-60001") == 84
    assert (await erp.balances())["21120000"] == -180
    # 240 pieces at 6.25 and 24 at 7.50 in the plant: (1500 + 180) / 264
    assert (await erp.post(GOODS, issue(Material="CON-60001", Batch="NEW1"))).status_code == 201
    assert (await erp.balances())["51600000"] == Decimal("6.36")


async def test_an_order_within_its_tolerance_may_come_in_over():
    erp = Erp()
    assert (await erp.post(ORDER, bought(OverdelivTolrtdLmtRatioInPct="50"))).status_code == 201
    assert (await erp.post(GOODS, received(QuantityInEntryUnit="3"))).status_code == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"PurchaseOrder": "4599999999"}, "M7/001"),
        ({"Material": "CON-60002"}, "M7/126"),
    ],
)
async def test_a_receipt_must_fit_its_order(change: Row, code: str):
    erp = Erp()
    await erp.post(ORDER, bought())
    assert await erp.refusal(GOODS, received(**change)) == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (bought() | {"Supplier": "17399999"}, "F2/145"),
        (bought() | {"Supplier": "17300009"}, "06/027"),
        (bought() | {"CompanyCode": "9999"}, "06/140"),
        (bought(Material="CON-90001"), "06/052"),
        (bought(PurchaseOrderQuantityUnit="KAR"), "M3/070"),
        (bought(OrderQuantity="0"), "06/065"),
        (bought(NetPriceAmount="0", PurchaseOrderQuantityUnit="ST"), "06/215"),
        (bought() | {"to_PurchaseOrderItem": []}, "06/024"),
    ],
)
async def test_an_order_that_may_not_be_placed_is_refused(body: Row, code: str):
    assert await Erp().refusal(ORDER, body) == code


async def test_an_order_without_a_price_takes_the_info_records():
    answer = await Erp().post(ORDER, bought(NetPriceAmount="0"))
    [line] = answer.json()["d"]["to_PurchaseOrderItem"]["results"]
    assert (line["NetPriceAmount"], line["PurchasingInfoRecord"]) == ("75.00", "5300000025")


async def test_a_requisition_commits_budget_and_its_order_takes_it_over():
    erp = Erp()
    wanted: Row = {
        "PurchaseRequisitionItem": "10",
        "Material": "CON-60001",
        "Plant": "1710",
        "StorageLocation": "OR01",
        "RequestedQuantity": "2",
        "BaseUnit": "BX",
        "PurchaseRequisitionPrice": "85.00",
        "PurReqnPriceQuantity": "1",
        "FixedSupplier": "17300002",
        "RequisitionerName": "CC-OR-4711",
    }

    async def committed() -> Decimal:
        year = date.today().year  # noqa: DTZ011  the simulation's own clock
        answer = await erp.http.get(f"{ROOT}/{BUDGET}(CostCenter='CC-OR-4711',FiscalYear='{year}')")
        return Decimal(answer.json()["d"]["CommittedAmount"])

    assert (await erp.post(REQUISITION, {"to_PurchaseReqnItem": [wanted]})).status_code == 201
    assert await committed() == Decimal("41420.00")
    order = bought(PurchaseRequisition="10000000", PurchaseRequisitionItem="10")
    assert (await erp.post(ORDER, order)).status_code == 201
    assert await committed() == Decimal("41430.00")
    twice = {"to_PurchaseReqnItem": [wanted, wanted]}
    assert await erp.refusal(REQUISITION, twice) == "06/012"


async def invoiced() -> Erp:
    erp = Erp()
    await erp.post(ORDER, bought())
    await erp.post(GOODS, received())
    return erp


async def test_an_invoice_clears_what_was_received_and_owes_the_supplier():
    erp = await invoiced()
    assert (await erp.post(INVOICE, billed("180.00"))).status_code == 201
    balances = await erp.balances()
    assert (balances["21120000"], balances["21100000"]) == (0, -180)
    assert await erp.refusal(INVOICE, billed("180.00")) == "M8/462"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (billed("181.00"), "M8/534"),
        (billed("180.00", InvoicingParty="17300001"), "M8/286"),
        (billed("180.00", InvoicingParty="17399999"), "F2/145"),
    ],
)
async def test_an_invoice_that_does_not_fit_is_refused(body: Row, code: str):
    assert await (await invoiced()).refusal(INVOICE, body) == code


async def test_an_invoice_dearer_than_ordered_waits_for_payment():
    erp = await invoiced()
    body = billed("200.00")
    items = body["to_SuplrInvcItemPurOrdRef"]
    assert isinstance(items, list)
    items[0]["SupplierInvoiceItemAmount"] = "200.00"
    answer = await erp.post(INVOICE, body)
    assert answer.json()["d"]["PaymentBlockingReason"] == "R"
    assert (await erp.balances())["52041000"] == 20


async def test_an_invoice_before_the_goods_waits_for_payment():
    erp = Erp()
    await erp.post(ORDER, bought())
    assert (await erp.post(INVOICE, billed("180.00"))).json()["d"]["PaymentBlockingReason"] == "R"


def entry(*amounts: str, company: str = "1710", account: str = "51600000") -> str:
    items = "".join(
        f"<Item><GLAccount>{account}</GLAccount>"
        f"<AmountInTransactionCurrency>{amount}</AmountInTransactionCurrency></Item>"
        for amount in amounts
    )
    return (
        "<e><JournalEntryCreateRequest><MessageHeader><ID>1</ID></MessageHeader><JournalEntry>"
        f"<CompanyCode>{company}</CompanyCode><PostingDate>2026-12-01</PostingDate>"
        f"<AccountingDocumentType>SA</AccountingDocumentType>{items}"
        "</JournalEntry></JournalEntryCreateRequest></e>"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (entry("10.00", "-10.00"), "<AccountingDocument>0100000001</AccountingDocument>"),
        (entry("10.00", "-9.00"), "702(F5)"),
        (entry("ten", "-9.00"), "not readable"),
        (entry("10.00", "-10.00", company="9"), "165(F5)"),
        (entry("10.00", "-10.00", account="21100000"), "506(F5)"),
    ],
)
async def test_a_journal_entry_posts_in_balance_or_not_at_all(body: str, said: str):
    erp = Erp()
    answer = await erp.http.post(JOURNAL, content=body)
    assert (answer.status_code, said in answer.text) == (200, True)
    await erp.balances()


@pytest.mark.parametrize("body", ["<e>", "<e/>"])
async def test_an_envelope_without_an_entry_is_a_server_error(body: str):
    assert (await Erp().http.post(JOURNAL, content=body)).status_code == 500


def test_the_hospital_is_consistent_with_itself():
    seed = hospital()
    items = {item.id: item for item in seed.items}
    lots = {(lot.item, lot.number): lot for lot in seed.lots}
    for item in seed.items:
        for code in (item.gtin, *(pack.gtin for pack in item.packagings)):
            assert not code or gtin(code) == code
    for row in seed.stock:
        item = items[row.item]
        assert bool(row.lot) == item.lot_controlled
        assert not row.lot or lots[row.item, row.lot].expires.year in range(2027, 2030)
        assert len(row.serials) == (row.quantity if item.serial_controlled else 0)
    suppliers = {supplier.id for supplier in seed.suppliers}
    for price in seed.contracts:
        units = {items[price.item].base_unit, *(p.unit for p in items[price.item].packagings)}
        assert (price.supplier in suppliers, price.unit in units) == (True, True)
