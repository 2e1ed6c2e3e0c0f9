"""The scanner: what is there, what was used, what came; and the lists that buyers look at."""

from decimal import Decimal
from urllib.parse import quote

from gateway.demo.stage import Stage
from tests.journeys.front_doors import FACILITY, ROOM, Floor, at_noon, ended, outputs

SUTURE = "CON-60001"
GS = "\x1d"


async def test_any_code_on_the_label_says_how_much_is_there(stage: Stage):
    floor, scanner = Floor(stage), stage.people["scanner"]
    sku = "2142-1-3422"
    for code, item, lot, serial in (
        ("00844588017735", "IMP-10001", "", ""),
        ("844588017735", "IMP-10001", "", ""),  # UPC-A, as printed on the box
        (
            "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101",
            "IMP-10001",
            "TI2142A",
            "TI-000101",
        ),
        (f"01008445880177351727063010TI2142A{GS}21TI-000101", "IMP-10001", "TI2142A", "TI-000101"),
        ("]d201008445880177351727063010TI2142A", "IMP-10001", "TI2142A", ""),
        (sku, "IMP-10001", "", ""),
        ("IMP-10001", "IMP-10001", "", ""),
        ("10841336100494", SUTURE, "", ""),  # the GTIN of the box of twelve
    ):
        path = f"/experience/v1/mobile/items/{quote(code, safe='')}/availability"
        seen = await floor.send(
            scanner, "GET", path, params={"facility": FACILITY, "location": ROOM}
        )
        assert seen.status == 200, (code, seen.body)
        told = (seen.body["item"], seen.body["lot"], seen.body["serial"])
        assert told == (item, lot, serial), code
        assert Decimal(seen.body["onHand"]) == await floor.stock(item)

    for code in ("NO-SUCH-THING", "00000000000017", "(01)00844588017735(10"):
        path = f"/experience/v1/mobile/items/{quote(code, safe='')}/availability"
        seen = await floor.send(
            scanner, "GET", path, params={"facility": FACILITY, "location": ROOM}
        )
        assert (seen.status, seen.slug) == (409, "unknown-item"), code


async def test_what_was_scanned_at_the_table_is_posted(stage: Stage):
    floor, scanner = Floor(stage), stage.people["scanner"]
    handed = await scanner.call(
        "POST",
        "/experience/v1/mobile/usage",
        json={
            "facility": FACILITY,
            "location": ROOM,
            "occurredAt": at_noon(0),
            "encounter": "V-SCANNED-1",
            "procedure": "27447",
            "lines": [
                {
                    "code": "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101",
                    "quantity": {"value": "1", "unit": "EA"},
                },
                {"code": SUTURE, "quantity": {"value": "1", "unit": "BX"}, "lot": "LCON001A"},
            ],
        },
    )
    trace = await floor.until(
        handed["transaction"], ended("usage-to-replenishment"), "it is posted"
    )
    assert await floor.stock("IMP-10001") == 3
    assert await floor.stock(SUTURE) == 60 - 12, "a box of twelve"
    assert outputs(trace, "post the consumption")[0]["value"]["amount"] == "1325.00"
    charge = (await stage.ehr.get("/fhir/ChargeItem")).json()["entry"][0]["resource"]
    assert charge["context"]["identifier"]["value"] == "V-SCANNED-1"
    assert charge["subject"], "R4 wants one even where the scanner knows the visit only"


async def test_an_order_is_received_by_scanner_in_two_parts_and_seen_in_every_list(stage: Stage):
    floor, scanner = Floor(stage), stage.people["scanner"]
    transaction = await floor.buy(SUTURE, 24)
    trace = await floor.until(
        transaction, lambda t: outputs(t, "850 to the supplier"), "it is ordered"
    )
    order = outputs(trace, "purchase order in the ERP")[0]["number"]

    (row,) = (await floor.operator.call("GET", "/experience/v1/procurement/orders"))["items"]
    assert (row["number"], row["transaction"], row["lines"]) == (order, transaction, 1)
    assert row["total"] == {"amount": "150.00", "currency": "USD"}

    for part, left in ((1, ["12"]), (2, [])):
        await scanner.call(
            "POST",
            "/experience/v1/mobile/receipts",
            json={
                "order": order,
                "receivedAt": at_noon(0),
                "lines": [
                    {
                        "code": "10841336100494",
                        "quantity": {"value": "1", "unit": "BX"},
                        "lot": f"LNEW00{part}",
                        "expires": at_noon(400)[:10],
                    }
                ],
            },
        )
        await floor.until(transaction, ended("receiving", part), f"part {part} is posted")
        seen = await floor.operator.call("GET", f"/process/v1/orders/{order}")
        still = [line["quantity"]["value"] for line in seen["outstanding"]["lines"]]
        assert still == left
        assert len(seen["receipts"]) == part
    await floor.until(transaction, ended("order-to-receipt"), "nothing is outstanding")
    assert await floor.stock(SUTURE) == 60 + 24

    (row,) = (await floor.operator.call("GET", "/experience/v1/procurement/orders"))["items"]
    assert row["status"] in ("received", "closed")
    seen = await floor.operator.call("GET", f"/process/v1/orders/{order}")
    assert seen["transaction"] == transaction
    assert {flow["name"] for flow in seen["flows"]} >= {"requisition-to-order", "order-to-receipt"}
    unknown = await floor.send(floor.operator, "GET", "/process/v1/orders/4599999999")
    assert (unknown.status, unknown.slug) == (404, "unknown-order")


async def test_what_does_not_fit_the_order_is_a_task_and_no_receipt(stage: Stage):
    floor, scanner = Floor(stage), stage.people["scanner"]
    transaction = await floor.buy(SUTURE, 12)
    trace = await floor.until(
        transaction, lambda t: outputs(t, "850 to the supplier"), "it is ordered"
    )
    order = outputs(trace, "purchase order in the ERP")[0]["number"]
    line = {"code": SUTURE, "quantity": {"value": "12", "unit": "EA"}, "lot": "LNEW001"}
    for change, reason in (
        ({"quantity": {"value": "13", "unit": "EA"}}, "quantity-exceeded"),
        ({"code": "IMP-10002"}, "unknown-item"),
        ({"lot": ""}, "unknown-lot"),
        ({"quantity": {"value": "1", "unit": "CA"}}, "wrong-unit"),
    ):
        await scanner.call(
            "POST",
            "/experience/v1/mobile/receipts",
            json={"order": order, "receivedAt": at_noon(0), "lines": [line | change]},
        )
        task = await floor.task(reason, transaction=transaction)
        assert (await floor.documents())["materialDocuments"] == 0
        assert (await floor.resolve(task, "abandon", "counted wrongly")).status == 200
    foreign = await floor.send(
        scanner,
        "POST",
        "/experience/v1/mobile/receipts",
        json={"order": "4599999999", "receivedAt": at_noon(0), "lines": [line]},
    )
    assert foreign.status == 202
    assert (await floor.task("unknown-order"))["affected"] == "Receipt for order 4599999999"
