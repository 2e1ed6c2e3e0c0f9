"""The simulated supplier against a small gateway: what it says to an order, and how it insists."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.supplier.app import Settings, create_app
from sandbox.supplier.behaviour import BEHAVIOURS
from standards.x12.conformance import examined
from standards.x12.reader import read
from system_apis.edi.x12.announcing import READERS

NOON = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)


def order(*lines: str, control: int = 1, number: str = "4500000001") -> bytes:
    lines = lines or ("PO1*10*10*EA*4.5**VN*SKU-1*UK*00614141999996", "PO1*20*3*BX*120**VN*SKU-2")
    segments = [
        "ST*850*0001",
        f"BEG*00*SA*{number}**20260104",
        *lines,
        f"CTT*{len(lines)}",
        f"SE*{len(lines) + 4}*0001",
    ]
    return (
        "ISA*00*          *00*          *ZZ*HOSPITAL       *ZZ*SUPPLIERONE    "
        f"*260105*0900*U*00401*{control:09}*0*P*>~GS*PO*HOSPITAL*SUPPLIER*20260105*0900*{control}"
        "*X*004010~" + "".join(f"{s}~" for s in segments) + f"GE*1*{control}~IEA*1*{control:09}~"
    ).encode()


class Gateway:
    """Hands out tokens and takes documents; the first `failing` deliveries are refused."""

    def __init__(self, failing: int = 0, status: int = 503):
        self.failing = failing
        self.status = status
        self.tokens = 0
        self.attempts = []
        self.taken = []
        self.app = Starlette(
            routes=[
                Route("/oauth/token", self.token, methods=["POST"]),
                Route("/system/v1/edi/x12", self.edi, methods=["POST"]),
            ]
        )

    async def token(self, request):
        form = (await request.body()).decode()
        assert "grant_type=client_credentials" in form
        assert "scope=system.edi.x12%3Awrite" in form
        self.tokens += 1
        return JSONResponse({"access_token": f"token-{self.tokens}"})

    async def edi(self, request):
        assert request.headers["content-type"] == "application/edi-x12"
        assert request.headers["authorization"] == f"Bearer token-{self.tokens}"
        body = await request.body()
        self.attempts.append(body)
        if self.failing:
            self.failing -= 1
            return Response(status_code=self.status)
        self.taken.append(body)
        return Response(b"ISA~", media_type="application/edi-x12")

    def kinds(self):
        return [_only_set(body).code for body in self.taken]


def _only_set(body):
    (found,) = (examined(each) for each in read(body))
    (group,) = found.groups
    assert group.verdict == "A", group
    return group.sets[0]


@asynccontextmanager
async def supplier(gateway, **changes):
    settings = Settings(
        gateway_url="http://gateway",
        token_url="http://gateway/oauth/token",
        client_id="supplier-one",
        client_secret="secret",
        pace=0.0,
        first_retry=0.001,
        transport=httpx.ASGITransport(app=gateway.app),
        clock=lambda: NOON,
        **changes,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://supplier") as client:
            yield client


async def told(gateway, count):
    for _ in range(500):
        if len(gateway.taken) >= count:
            await asyncio.sleep(0.01)
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"only {gateway.kinds()} arrived")


async def story(behaviour, count, *lines, **changes):
    """Send one order under a behaviour and return what the supplier announced."""
    gateway = Gateway()
    async with supplier(gateway, behaviour=behaviour, **changes) as client:
        assert (await client.post("/edi", content=order(*lines))).status_code == 202
        await told(gateway, count)
    assert len(gateway.taken) == count
    found = {}
    for body in gateway.taken:
        each = _only_set(body)
        found.setdefault(each.code, []).extend(f.facts for f in READERS[each.code](each, "SUP-1"))
    return found


async def test_an_accepted_order_is_acknowledged_shipped_and_billed():
    said = await story("accept", 4)
    assert list(said) == ["997", "855", "856", "810"]
    (verdict,), (answer,), (notice,), (bill,) = said.values()
    assert (verdict.group, verdict.accepted) == ("1", True)
    assert answer.accepted
    assert [(line.line, line.status) for line in answer.lines] == [
        (10, "accepted"),
        (20, "accepted"),
    ]
    assert [(line.order_line, line.lot) for line in notice.lines] == [
        (10, "L4500000001-10"),
        (20, "L4500000001-20"),
    ]
    assert notice.lines[0].expires > notice.shipped_on
    assert bill.total.amount == Decimal("405.00")
    assert bill.charges is None


def statuses(said):
    return [
        [(line.line, line.status, line.quantity.value) for line in answer.lines]
        for answer in said["855"]
    ]


async def test_a_backorder_ships_and_bills_nothing():
    said = await story("backorder", 2)
    assert statuses(said) == [[(10, "backordered", 10), (20, "backordered", 3)]]


async def test_a_partial_backorder_ships_what_there_is():
    said = await story("partial-backorder", 4)
    assert statuses(said) == [
        [(10, "accepted", 5), (10, "backordered", 5), (20, "accepted", 1), (20, "backordered", 2)]
    ]
    assert [line.quantity.value for line in said["856"][0].lines] == [5, 1]
    assert [line.quantity.value for line in said["810"][0].lines] == [5, 1]


async def test_a_partial_backorder_may_be_settled_by_a_second_acknowledgement():
    said = await story("partial-backorder-over-several-acks", 5)
    assert statuses(said)[1] == [(10, "accepted", 5), (20, "accepted", 2)]
    assert [line.quantity.value for line in said["856"][0].lines] == [10, 3]


async def test_a_rejected_line_is_neither_shipped_nor_billed():
    said = await story("line-rejection", 4)
    assert statuses(said) == [[(10, "rejected", 0), (20, "accepted", 3)]]
    assert [line.order_line for line in said["856"][0].lines] == [20]
    assert [line.order_line for line in said["810"][0].lines] == [20]


async def test_discrepancies_are_said_in_the_acknowledgement():
    price = (await story("price-discrepancy", 4))["855"][0].lines[0]
    assert (price.status, price.unit_price.amount) == ("price-changed", Decimal("4.95"))
    fewer = (await story("quantity-discrepancy", 4))["855"][0].lines[0]
    assert (fewer.status, fewer.quantity.value) == ("quantity-changed", 9)
    unit = (await story("uom-discrepancy", 4))["855"][0].lines[0]
    assert (unit.status, unit.quantity.unit) == ("accepted-with-changes", "BX")
    part = (await story("vendor-part-discrepancy", 4))["855"][0].lines[0]
    assert (part.status, part.supplier_sku) == (
        "accepted-with-changes",
        "SKU-1-R",
    )


@pytest.mark.parametrize(
    ("behaviour", "charges"),
    [
        ("added-taxes", "32.40"),
        ("shipping-charges", "25.00"),
        ("both-taxes-and-shipping", "57.40"),
        ("discount-terms", None),
    ],
)
async def test_taxes_freight_and_terms_come_with_the_invoice(behaviour, charges):
    (bill,) = (await story(behaviour, 4))["810"]
    assert (str(bill.charges.amount) if bill.charges else None) == charges
    assert bill.total.amount == Decimal("405.00") + Decimal(charges or 0)


async def test_seeded_faults_of_documents():
    dear = await story("invoice-price", 4)
    assert dear["855"][0].lines[0].unit_price.amount == Decimal("4.5")
    assert dear["810"][0].lines[0].unit_price.amount == Decimal("4.95")
    short = await story("short-shipment", 4)
    assert short["856"][0].lines[0].quantity.value == 9
    assert short["810"][0].lines[0].quantity.value == 10
    assert list(await story("lost-acknowledgement", 3)) == ["997", "856", "810"]


async def test_a_duplicate_is_the_same_bytes_again():
    gateway = Gateway()
    async with supplier(gateway, behaviour="duplicate") as client:
        await client.post("/edi", content=order())
        await told(gateway, 8)
    assert gateway.kinds() == ["997", "997", "855", "855", "856", "856", "810", "810"]
    assert gateway.taken[0::2] == gateway.taken[1::2]


async def test_catalogue_prices_and_controlled_items_follow_the_settings():
    said = await story(
        "accept",
        4,
        catalogue={"SKU-1": Decimal(5)},
        lot_controlled=frozenset({"SKU-1"}),
        serial_controlled=frozenset({"SKU-2"}),
    )
    assert statuses(said) == [[(10, "price-changed", 10), (20, "accepted", 3)]]
    one, two = said["856"][0].lines
    assert (one.lot, one.serials) == ("L4500000001-10", ())
    assert (two.lot, len(set(two.serials))) == ("", 3)


async def test_documents_survive_a_gateway_restart_byte_for_byte():
    gateway = Gateway(failing=3)
    async with supplier(gateway) as client:
        await client.post("/edi", content=order())
        await told(gateway, 4)
        shown = (await client.get("/sim/orders")).json()["orders"][0]
    assert gateway.kinds() == ["997", "855", "856", "810"]
    assert len(set(gateway.attempts[:4])) == 1
    assert shown["documents"][0]["attempts"] == 4
    assert shown["documents"][0]["status"] == 200


async def test_an_expired_token_is_replaced():
    gateway = Gateway(failing=1, status=401)
    async with supplier(gateway) as client:
        await client.post("/edi", content=order())
        await told(gateway, 4)
    assert gateway.tokens == 2


async def test_a_resend_of_an_interchange_is_one_order():
    gateway = Gateway()
    async with supplier(gateway) as client:
        for _ in range(3):
            assert (await client.post("/edi", content=order())).status_code == 202
        await told(gateway, 4)
        (shown,) = (await client.get("/sim/orders")).json()["orders"]
    assert shown["received"] == 3
    assert len(gateway.taken) == 4


async def test_a_500_after_the_commit_is_one_order_all_the_same():
    gateway = Gateway()
    async with supplier(gateway, behaviour="5xx-after-commit") as client:
        assert (await client.post("/edi", content=order())).status_code == 500
        assert (await client.post("/edi", content=order())).status_code == 202
        await told(gateway, 4)
    assert len(gateway.taken) == 4


async def test_the_behaviour_is_chosen_for_the_orders_to_come():
    gateway = Gateway()
    async with supplier(gateway) as client:
        await client.post("/edi", content=order())
        chosen = await client.post("/sim/behaviour", json={"name": "backorder"})
        assert chosen.status_code == 200
        await client.post("/edi", content=order(control=2, number="4500000002"))
        await told(gateway, 6)
        shown = (await client.get("/sim/orders")).json()["orders"]
        unknown = await client.post("/sim/behaviour", json={"name": "no-such"})
        unreadable = await client.post("/sim/behaviour", content=b"{")
    assert [each["behaviour"] for each in shown] == ["accept", "backorder"]
    assert unknown.status_code == 422
    assert unreadable.status_code == 400


def cancellation(control: int = 9, number: str = "4500000001") -> bytes:
    return (
        order(control=control, number=number)
        .replace(b"GS*PO", b"GS*PC")
        .replace(b"ST*850", b"ST*860")
        .replace(
            f"BEG*00*SA*{number}**20260104".encode(), f"BCH*01*SA*{number}***20260104".encode()
        )
    )


async def cancelled(behaviour, before, count):
    gateway = Gateway()
    async with supplier(gateway, behaviour=behaviour) as client:
        if before:
            await client.post("/edi", content=order())
            await told(gateway, before)
        for _ in range(2):
            assert (await client.post("/edi", content=cancellation())).status_code == 202
        await told(gateway, count)
        (shown,) = (await client.get("/sim/orders")).json()["orders"]
    said = [_only_set(body) for body in gateway.taken]
    (answer,) = (READERS["865"](each, "SUP-1")[0].facts for each in said if each.code == "865")
    return gateway.kinds(), answer.accepted, shown["cancelled"]


async def test_what_is_not_shipped_is_cancelled_and_nothing_more_comes_of_it():
    kinds, agreed, gone = await cancelled("ships-later", 2, 4)
    assert (kinds, agreed, gone) == (["997", "855", "997", "865"], True, True)


async def test_what_was_never_ordered_is_as_good_as_cancelled():
    assert await cancelled("accept", 0, 2) == (["997", "865"], True, True)


async def test_what_is_shipped_stays_ordered():
    kinds, agreed, gone = await cancelled("accept", 3, 6)
    assert (agreed, gone) == (False, False)
    assert sorted(kinds) == sorted(["997", "855", "856", "810", "997", "865"])


async def test_too_many_interchanges_are_throttled_with_advice():
    gateway = Gateway()
    async with supplier(gateway, limit="2/minute") as client:
        answers = [await client.post("/edi", content=order(control=n)) for n in range(1, 4)]
        assert (await client.get("/sim/orders")).status_code == 200
    assert [each.status_code for each in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0


async def test_what_is_no_order_is_refused():
    async with supplier(Gateway()) as client:
        assert (await client.post("/edi", content=b"hello")).status_code == 400
        short = order().replace(b"BEG*00*SA*4500000001**20260104", b"BEG*00")
        assert (await client.post("/edi", content=short)).status_code == 400


async def test_every_behaviour_is_sound_x12_for_a_single_piece_too():
    for number, behaviour in enumerate(sorted(BEHAVIOURS), 1):
        gateway = Gateway()
        async with supplier(gateway, behaviour=behaviour) as client:
            await client.post("/edi", content=order("PO1*1*1*EA*4.5**VN*SKU-1", control=number))
            await told(gateway, 1)
            await asyncio.sleep(0.02)
        for body in gateway.taken:
            each = _only_set(body)
            READERS[each.code](each, "SUP-1")


def test_an_unknown_behaviour_is_refused_at_the_start():
    settings = Settings(
        gateway_url="", token_url="", client_id="", client_secret="", behaviour="nice"
    )
    with pytest.raises(ValueError, match="unknown behaviour nice"):
        create_app(settings)
