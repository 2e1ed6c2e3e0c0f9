"""Every posting to S/4HANA can be undone once, by whoever finds it: the books are as before."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from canonical.errors import AlreadyShipped, QuantityExceeded, UpstreamFailure, UpstreamRefused
from canonical.inventory import Movement, MovementLine, PostedMovement
from canonical.item import ItemId, Quantity
from canonical.order import PurchaseOrder
from canonical.shipment import Receipt, ReceivedLine
from system_apis.erp.s4hana.client import S4Hana
from tests.system_apis.test_s4hana_faults import (
    BILL,
    BOXES,
    COST,
    NOW,
    PROMISE,
    USED,
    WANTED,
    connected,
)

GLOVE = ItemId("CON-60008")
PIECE = Movement(
    kind="consumption",
    facility="1710",
    cost_center="CC-OR-4711",
    on=NOW.date(),
    reference="TX-1",
    lines=(
        MovementLine(
            item=ItemId("IMP-10001"),
            quantity=Quantity(value=Decimal(1), unit="EA"),
            location="OR01",
            lot="TI2142A",
            serial="TI-000101",
        ),
        *USED.lines,
    ),
)


class Deed:
    """One posting with its undoing, and what has to be there before it."""

    def __init__(
        self,
        service: str,
        write: Callable[[S4Hana, str], Awaitable[Any]],
        undo: Callable[[S4Hana, Any, str], Awaitable[Any]],
        *before: "Deed",
        method: str = "POST",
    ) -> None:
        self.service, self.write, self.undo = service, write, undo
        self.before, self.method = before, method


def receipt(order: PurchaseOrder) -> Receipt:
    line = ReceivedLine(quantity=BOXES, order_line=order.lines[0].line, lot="S24-118")
    return Receipt(order=order.number, received_at=NOW, lines=(line,))


async def take_in(erp: S4Hana, key: str) -> Any:
    order = await erp.order("4500000001")
    return await erp.post_receipt(receipt(order), order, key=key)


async def send_back(erp: S4Hana, done: Any, key: str) -> Any:
    order = await erp.order("4500000001")
    return await erp.take_back_receipt(receipt(order), order, done, key=key)


async def place(erp: S4Hana, key: str) -> Any:
    raised = await erp.raise_requisition(WANTED, key="requisition")
    return await erp.place_order(raised, key=key)


REQUISITION = Deed(
    "PURCHASEREQ",
    lambda erp, key: erp.raise_requisition(WANTED, key=key),
    lambda erp, done, key: erp.take_back_requisition(WANTED, done, key=key),
    method="PATCH",
)
ORDER = Deed(
    "PURCHASEORDER",
    place,
    lambda erp, done, key: erp.cancel_order(WANTED, done, key=key),
    REQUISITION,
    method="PATCH",
)
RECEIPT = Deed("MATERIAL_DOC", take_in, send_back, ORDER)
DEEDS = {
    "requisition": REQUISITION,
    "order": ORDER,
    "receipt": RECEIPT,
    "reservation": Deed(
        "RESERVATION",
        lambda erp, key: erp.reserve(PROMISE, key=key),
        lambda erp, done, key: erp.unreserve(PROMISE, done, key=key),
        method="DELETE",
    ),
    "movement": Deed(
        "MATERIAL_DOC",
        lambda erp, key: erp.post_movement(PIECE, key=key),
        lambda erp, done, key: erp.take_back_movement(PIECE, done, key=key),
    ),
    "cost": Deed(
        "journalentry",
        lambda erp, key: erp.post_cost(COST, key=key),
        lambda erp, done, key: erp.take_back_cost(COST, done, key=key),
    ),
    "invoice": Deed(
        "SUPPLIERINVOICE",
        lambda erp, key: erp.post_invoice(BILL, key=key),
        lambda erp, done, key: erp.take_back_invoice(BILL, done, key=key),
        ORDER,
        RECEIPT,
    ),
}
each_deed = pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())


async def prepared(deed: Deed) -> tuple[S4Hana, httpx.AsyncClient]:
    erp, http = connected()
    for number, earlier in enumerate(deed.before):
        await earlier.write(
            erp, f"before {number}" if earlier is not REQUISITION else "requisition"
        )
    return erp, http


async def books(http: httpx.AsyncClient) -> dict[str, Any]:
    """What counts: quantities and amounts, not the documents that tell of them."""
    state = dict((await http.get("/sim/state")).json())
    assert Decimal(state["journal"]["sum"]) == 0
    quantities = {
        (row["material"], row["location"], row["batch"]): Decimal(row["quantity"])
        for row in state["stock"]
    }
    balances = {name: Decimal(value) for name, value in state["journal"]["balances"].items()}
    return {
        "stock": {name: value for name, value in quantities.items() if value},
        "balances": {name: value for name, value in balances.items() if value},
        "reserved": state["openReservations"],
        "requested": {
            row["purchaseRequisition"]: Decimal(row["quantity"])
            for row in state["openRequisitions"]
        },
        "committed": {name: Decimal(value) for name, value in state["committed"].items()},
    }


async def documents(http: httpx.AsyncClient) -> int:
    state = dict((await http.get("/sim/state")).json())
    return sum(len(state[kind]) for kind in ("materialDocuments", "supplierInvoices")) + int(
        state["journal"]["lines"]
    )


@each_deed
@pytest.mark.parametrize("known", [True, False], ids=["its result is known", "found by its key"])
async def test_what_is_undone_leaves_the_books_as_they_were(deed: Deed, known: bool):
    erp, http = await prepared(deed)
    before = await books(http)
    done = await deed.write(erp, "deed")
    assert await books(http) != before
    assert await deed.undo(erp, done if known else None, "deed") is not None
    assert await books(http) == before


@each_deed
async def test_undone_twice_is_undone_once(deed: Deed):
    erp, http = await prepared(deed)
    done = await deed.write(erp, "deed")
    first = await deed.undo(erp, done, "deed")
    after = await documents(http)
    assert await deed.undo(erp, None, "deed") == first
    assert await deed.undo(erp, done, "deed") == first
    assert await documents(http) == after


@each_deed
async def test_what_never_happened_is_not_undone(deed: Deed):
    erp, http = await prepared(deed)
    before, documented = await books(http), await documents(http)
    assert await deed.undo(erp, None, "a deed that was never done") is None
    assert (await books(http), await documents(http)) == (before, documented)


@each_deed
@pytest.mark.parametrize("kind", ["5xx-after-commit", "lost-answer", "5xx-before"])
async def test_an_undoing_whose_answer_was_lost_is_tried_again_without_harm(deed: Deed, kind: str):
    erp, http = await prepared(deed)
    before = await books(http)
    done = await deed.write(erp, "deed")
    await http.post("/sim/faults", json={"path": deed.service, "kind": kind, "method": deed.method})
    with pytest.raises((UpstreamFailure, httpx.HTTPError)):
        await deed.undo(erp, done, "deed")
    await deed.undo(erp, done, "deed")
    assert await books(http) == before


def back(posted: PostedMovement, quantity: str) -> Movement:
    line = MovementLine(
        item=GLOVE,
        quantity=Quantity(value=Decimal(quantity), unit="EA"),
        location="OR01",
        reverses=1,
    )
    return msgspec.structs.replace(
        USED, kind="consumption-reversal", lines=(line,), reverses=posted
    )


def gloves(quantity: str) -> Movement:
    line = MovementLine(
        item=GLOVE, quantity=Quantity(value=Decimal(quantity), unit="EA"), location="OR01"
    )
    return msgspec.structs.replace(USED, lines=(line,))


async def test_parts_come_back_at_the_value_at_which_they_left_to_the_last_cent():
    erp, http = connected()
    before = await books(http)
    posted = await erp.post_movement(gloves("3"), key="usage")
    assert posted.value.amount == Decimal("0.28")
    parts = [await erp.post_movement(back(posted, "1"), key=f"part {n}") for n in range(3)]
    assert sum(part.value.amount for part in parts) == Decimal("0.28")
    assert await books(http) == before
    with pytest.raises(UpstreamRefused, match="Only 0 of document"):
        await erp.post_movement(back(posted, "1"), key="one more")


async def test_what_came_back_in_part_is_undone_for_the_rest():
    erp, http = connected()
    before = await books(http)
    posted = await erp.post_movement(gloves("3"), key="usage")
    await erp.post_movement(back(posted, "1"), key="part")
    await erp.take_back_movement(gloves("3"), posted, key="usage")
    assert await books(http) == before


async def test_an_order_whose_goods_have_come_is_not_cancelled():
    erp, http = connected()
    order = await place(erp, "order")
    await take_in(erp, "receipt")
    before = await books(http)
    with pytest.raises(AlreadyShipped, match="4500000001"):
        await erp.cancel_order(WANTED, order, key="order")
    assert await books(http) == before


async def test_goods_that_were_used_meanwhile_cannot_be_sent_back():
    erp, _ = connected()
    await place(erp, "order")
    received = await take_in(erp, "receipt")
    lines = (MovementLine(item=USED.lines[0].item, quantity=BOXES, location="OR01", lot="S24-118"),)
    await erp.post_movement(msgspec.structs.replace(USED, lines=lines), key="usage")
    with pytest.raises(QuantityExceeded):
        await send_back(erp, received, "receipt")
