"""What the simulated S/4HANA posts, refuses, and keeps in balance."""

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
ITEM = "API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionItem"
INVOICE = "API_SUPPLIERINVOICE_PROCESS_SRV/A_SupplierInvoice"
JOURNAL = "/sap/bc/srt/scs_ext/sap/journalentrycreaterequestconfi"
Row = dict[str, object]


class Erp:
    """A system and the few gestures these tests make."""

    def __init__(self) -> None:
        self.http = client(create_app())

    async def send(
        self, method: str, path: str, body: Row, headers: dict[str, str]
    ) -> httpx.Response:
        token = await self.http.get(f"{ROOT}/API_PRODUCT_SRV/", headers={"x-csrf-token": "Fetch"})
        headers = headers | {"x-csrf-token": token.headers["x-csrf-token"]}
        return await self.http.request(method, f"{ROOT}/{path}", json=body, headers=headers)

    async def post(self, path: str, body: Row) -> httpx.Response:
        return await self.send("POST", path, body, {})

    async def patch(self, body: Row, etag: str | None, item: str = "10") -> httpx.Response:
        path = f"{ITEM}(PurchaseRequisition='10000000',PurchaseRequisitionItem='{item}')"
        return await self.send("PATCH", path, body, {"if-match": etag} if etag else {})

    async def requisition_item(self) -> Row:
        path = f"{ITEM}(PurchaseRequisition='10000000',PurchaseRequisitionItem='10')"
        return dict((await self.http.get(f"{ROOT}/{path}")).json()["d"])

    async def etag(self) -> str:
        about = (await self.requisition_item())["__metadata"]
        assert isinstance(about, dict)
        return str(about["etag"])

    async def committed(self) -> Decimal:
        committed = (await self.state())["committed"]
        assert isinstance(committed, dict)
        return Decimal(committed["CC-OR-4711"])

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


def wished(**item: object) -> Row:
    line: Row = {
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
    return {"to_PurchaseReqnItem": [line | item]}


TAKEN_OVER: Row = {"PurchaseRequisition": "10000000", "PurchaseRequisitionItem": "10"}


async def test_a_requisition_commits_budget_and_its_order_takes_it_over():
    erp = Erp()
    assert (await erp.post(REQUISITION, wished())).status_code == 201
    assert await erp.committed() == Decimal("41420.00")
    assert (await erp.post(ORDER, bought(**TAKEN_OVER))).status_code == 201
    assert await erp.committed() == Decimal("41430.00")
    twice = wished()["to_PurchaseReqnItem"]
    assert isinstance(twice, list)
    assert await erp.refusal(REQUISITION, {"to_PurchaseReqnItem": twice * 2}) == "06/012"


async def test_a_requisition_item_says_how_much_of_it_is_ordered():
    erp = Erp()
    await erp.post(REQUISITION, wished())
    said = ("OrderedQuantity", "ProcessingStatus", "PurchasingDocument", "IsClosed")
    item = await erp.requisition_item()
    assert [item[name] for name in said] == ["0", "N", "", False]
    pieces = bought(
        OrderQuantity="6", PurchaseOrderQuantityUnit="ST", NetPriceAmount="7.00", **TAKEN_OVER
    )
    await erp.post(ORDER, pieces)
    item = await erp.requisition_item()
    assert [item[name] for name in said] == ["0.500", "B", "4500000001", False]
    assert await erp.committed() == Decimal("41250.00") + Decimal("127.50") + 42
    await erp.post(ORDER, bought(**TAKEN_OVER))
    item = await erp.requisition_item()
    assert [item[name] for name in said] == ["2.500", "B", "4500000002", True]
    assert await erp.committed() == Decimal("41250.00") + 42 + 180


@pytest.mark.parametrize("change", [{"IsDeleted": "X"}, {"IsClosed": True}])
async def test_a_deleted_or_closed_requisition_item_frees_its_budget_until_it_is_taken_back(
    change: Row,
):
    erp = Erp()
    await erp.post(REQUISITION, wished())
    etag = await erp.etag()
    assert (await erp.patch(change, etag)).status_code == 204
    assert await erp.committed() == 41250
    assert (await erp.state())["openRequisitions"] == []
    back: Row = {name: "" if value == "X" else False for name, value in change.items()}
    assert (await erp.patch(back, await erp.etag())).status_code == 204
    assert await erp.committed() == 41420


async def test_a_requisition_item_is_changed_only_as_it_was_read():
    erp = Erp()
    await erp.post(REQUISITION, wished())
    etag = await erp.etag()
    assert etag.startswith("W/\"datetimeoffset'")
    assert (await erp.patch({"IsDeleted": "X"}, None)).status_code == 428
    assert (
        await erp.patch({"IsClosed": False, "LastChangeDateTime": None}, "*")
    ).status_code == 204
    assert (await erp.patch({"IsDeleted": "X"}, etag)).status_code == 412
    assert await erp.committed() == 41420
    assert (await erp.patch({"IsDeleted": "X"}, await erp.etag())).status_code == 204


@pytest.mark.parametrize(
    ("item", "change", "status"),
    [
        ("99", {"IsDeleted": "X"}, 404),
        ("10", {"RequestedQuantity": "1"}, 501),
        ("10", {"Colour": "red"}, 400),
        ("10", {"IsDeleted": "XX"}, 400),
    ],
)
async def test_a_change_the_service_does_not_take_is_refused(item: str, change: Row, status: int):
    erp = Erp()
    await erp.post(REQUISITION, wished())
    assert (await erp.patch(change, "*", item)).status_code == status
    assert await erp.committed() == 41420


async def test_a_requisition_item_is_either_ordered_or_deleted():
    erp = Erp()
    await erp.post(REQUISITION, wished())
    await erp.patch({"IsDeleted": "X"}, "*")
    assert await erp.refusal(ORDER, bought(**TAKEN_OVER)) == "06/020"
    await erp.patch({"IsDeleted": ""}, "*")
    await erp.post(ORDER, bought(**TAKEN_OVER))
    assert (await erp.patch({"IsDeleted": "X"}, "*")).status_code == 400
    assert await erp.committed() == 41430


async def test_an_order_is_not_changed_here():
    erp = Erp()
    await erp.post(ORDER, bought())
    answer = await erp.send("PATCH", f"{ORDER}('4500000001')", {"Language": "DE"}, {})
    assert answer.status_code == 405


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
