"""The simulated S/4HANA behaves at its rim as the real one does."""

import httpx
import pytest

from sandbox.erp.app import Settings, create_app
from sandbox.erp.faults import Fault, FaultPlan
from sandbox.erp.inprocess import InProcess, client

ROOT = "/sap/opu/odata/sap"
PRODUCT = f"{ROOT}/API_PRODUCT_SRV/A_Product"
STOCK = f"{ROOT}/API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"
RESERVATION = f"{ROOT}/API_RESERVATION_DOCUMENT_SRV/A_ReservationDocumentHeader"
PROMISE = {
    "GoodsMovementType": "201",
    "CostCenter": "CC-OR-4711",
    "GoodsRecipientName": "MARK",
    "to_ReservationDocumentItem": [
        {
            "Product": "IMP-10001",
            "Plant": "1710",
            "StorageLocation": "OR01",
            "EntryUnit": "ST",
            "ResvnItmRequiredQtyInEntryUnit": "1",
        }
    ],
}


async def token(erp: httpx.AsyncClient) -> dict[str, str]:
    answer = await erp.get(f"{ROOT}/API_PRODUCT_SRV/", headers={"x-csrf-token": "Fetch"})
    return {"x-csrf-token": answer.headers["x-csrf-token"]}


async def test_a_caller_without_credentials_is_refused():
    stranger = httpx.AsyncClient(transport=InProcess(create_app()), base_url="http://erp")
    answer = await stranger.get(PRODUCT)
    assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)


async def test_a_write_needs_a_token_that_was_fetched_in_the_same_session():
    app = create_app()
    erp = client(app)
    refused = await erp.post(RESERVATION, json=PROMISE)
    assert (refused.status_code, refused.headers["x-csrf-token"]) == (403, "Required")
    borrowed = await token(client(app))
    assert (await erp.post(RESERVATION, json=PROMISE, headers=borrowed)).status_code == 403
    kept = await erp.post(RESERVATION, json=PROMISE, headers=await token(erp))
    assert kept.status_code == 201


async def test_numbers_travel_as_text_dates_as_milliseconds_and_links_deferred():
    erp = client(create_app())
    batch = (
        f"{ROOT}/API_BATCH_SRV/Batch(Material='IMP-10001',BatchIdentifyingPlant='',Batch='TI2142A')"
    )
    assert (await erp.get(batch)).json()["d"]["ShelfLifeExpirationDate"] == "/Date(1814313600000)/"
    rows = (await erp.get(STOCK, params={"$filter": "Material eq 'IMP-20003'"})).json()
    assert rows["d"]["results"][0]["MatlWrhsStkQtyInMatlBaseUnit"] == "2"
    product = (await erp.get(f"{PRODUCT}('IMP-10001')")).json()["d"]
    assert "__deferred" in product["to_Description"]


async def test_a_filter_joins_equalities_and_refuses_everything_else():
    erp = client(create_app())
    wanted = "Material eq 'IMP-10001' and StorageLocation eq 'OR01' and Batch eq 'TI2142B'"
    found = (await erp.get(STOCK, params={"$filter": wanted})).json()["d"]["results"]
    assert [row["MatlWrhsStkQtyInMatlBaseUnit"] for row in found] == ["2"]
    for refused in (
        "Material ne 'X'",
        "Material eq 'A' or Material eq 'B'",
        "startswith(Batch,'A')",
    ):
        answer = await erp.get(STOCK, params={"$filter": refused})
        assert answer.status_code == 501
        assert set(answer.json()["error"]) == {"code", "message"}


async def test_a_value_with_a_quote_and_the_word_and_is_one_value():
    erp = client(create_app())
    answer = await erp.get(STOCK, params={"$filter": "Material eq 'O''Neil and Sons'"})
    assert answer.json() == {"d": {"results": []}}


async def test_a_query_pages_sorts_selects_and_expands():
    erp = client(create_app())
    asked = {
        "$orderby": "Product desc",
        "$skip": "1",
        "$top": "1",
        "$select": "Product,to_Description",
        "$expand": "to_Description",
    }
    [row] = (await erp.get(PRODUCT, params=asked)).json()["d"]["results"]
    assert set(row) == {"__metadata", "Product", "to_Description"}
    assert row["Product"] == "IMP-50002"
    assert row["to_Description"]["results"][0]["Language"] == "EN"


async def test_a_navigation_property_can_be_followed():
    erp = client(create_app())
    answer = await erp.get(f"{PRODUCT}('CON-60004')/to_ProductUnitsOfMeasure")
    units = [row["AlternativeUnit"] for row in answer.json()["d"]["results"]]
    assert units == ["ST", "BX", "KAR"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("API_PRODUCT_SRV/A_Product('NONE')", 404),
        ("API_PRODUCT_SRV/A_Nothing", 404),
        ("API_BATCH_SRV/A_Product('IMP-10001')", 404),
        ("API_BATCH_SRV/Batch('TI2142A')", 400),
        ("API_PRODUCT_SRV/A_Product?$filter=Colour eq 'red'", 400),
        ("API_PRODUCT_SRV/A_Product?$search=tibia", 501),
    ],
)
async def test_what_does_not_exist_is_refused_in_the_vendors_body(path: str, status: int):
    answer = await client(create_app()).get(f"{ROOT}/{path}")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]["lang"] == "en"


@pytest.mark.parametrize(
    "wrong",
    [
        {"GoodsRecipientName": "longer than twelve"},
        {"Colour": "red"},
        {"ReservationDate": "tomorrow"},
        {"IsCheckedAgainstFactoryCal": "yes"},
        {"to_ReservationDocumentItem": []},
    ],
)
async def test_a_create_with_a_property_the_service_does_not_take_is_refused(wrong: object):
    app = create_app()
    erp = client(app)
    headers = await token(erp)
    answer = await erp.post(RESERVATION, json=PROMISE | dict(wrong), headers=headers)  # type: ignore[call-overload]
    assert answer.status_code == 400
    assert (await erp.get("/sim/state")).json()["reservations"] == 0


async def test_calls_beyond_the_limit_are_throttled_but_not_the_totals():
    erp = client(create_app(Settings(limits=("2/minute",))))
    answers = [await erp.get(f"{PRODUCT}('IMP-10001')") for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "60"
    assert (await erp.get("/sim/state")).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "kept"),
    [("5xx-before", 500, 0), ("5xx-after-commit", 500, 1), ("throttled", 429, 0), ("down", 503, 0)],
)
async def test_a_planned_fault_happens_once(kind: str, status: int, kept: int):
    erp = client(create_app())
    headers = await token(erp)
    planned = await erp.post(
        "/sim/faults", json={"path": "A_Reservation", "kind": kind, "times": 1}
    )
    assert planned.status_code == 204
    assert (await erp.post(RESERVATION, json=PROMISE, headers=headers)).status_code == status
    assert (await erp.get("/sim/state")).json()["reservations"] == kept
    assert (await erp.post(RESERVATION, json=PROMISE, headers=headers)).status_code == 201


async def test_a_lost_answer_has_committed_and_breaks_the_connection():
    plan = FaultPlan([Fault(path="A_Reservation", kind="lost-answer")])
    erp = client(create_app(Settings(faults=plan)))
    headers = await token(erp)
    with pytest.raises(httpx.RemoteProtocolError):
        await erp.post(RESERVATION, json=PROMISE, headers=headers)
    assert (await erp.get("/sim/state")).json()["reservations"] == 1


async def test_a_slow_system_still_answers():
    plan = FaultPlan([Fault(path="A_Product", kind="slow", method="GET")], slow_seconds=0.01)
    answer = await client(create_app(Settings(faults=plan))).get(f"{PRODUCT}('IMP-10001')")
    assert answer.status_code == 200
    assert plan.faults[0].times == 0


async def test_an_unknown_fault_is_refused():
    erp = client(create_app())
    answer = await erp.post("/sim/faults", json={"path": "A", "kind": "gremlins"})
    assert answer.status_code == 400
