"""A scan says how much is there; the facility is asked for only where it is needed."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide

from canonical.errors import Failure, UnknownLocation
from canonical.inventory import StockLevel
from canonical.item import Item, ItemCode, ItemId, ScannedLabel
from experience_apis.mobile.routes import router

PATH = "/experience/v1/mobile/items/SKU-1/availability"
PLACES = {"OR01": ["1710"], "CS01": ["1710", "1720"]}


class House:
    """Everything the scanner asks, from a list."""

    def read(self, text: str) -> ScannedLabel:
        return ScannedLabel(codes=(ItemCode(scheme="erp", value=text),))

    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId:
        return ItemId(codes[0].value)

    async def item(self, item: ItemId) -> Item:
        return Item(id=item, description="Suture", base_unit="EA")

    async def stock(self, item: ItemId, facility: str, location: str) -> StockLevel:
        return StockLevel(
            item=item, facility=facility, location=location, unit="EA", on_hand=Decimal(4)
        )

    async def facility_of(self, location: str) -> str:
        found = PLACES.get(location, [])
        if len(found) != 1:
            raise UnknownLocation(f"{len(found)} facilities have a location {location}")
        return found[0]


def given(value: object) -> Provide:
    async def provide() -> object:
        return value

    return Provide(provide)


def refused(_: Request[Any, Any, State], failure: Failure) -> Response[dict[str, str]]:
    return Response({"slug": failure.slug}, status_code=failure.status)


def application() -> Litestar:
    names = ("labels", "crosswalk", "places", "shelf", "ledger", "facts")
    return Litestar(
        route_handlers=[router],
        dependencies={name: given(House()) for name in names},
        exception_handlers={Failure: refused},
        openapi_config=None,
    )


@pytest.mark.parametrize(
    ("asked", "status", "facility"),
    [
        ({"location": "OR01"}, 200, "1710"),
        ({"location": "OR01", "facility": ""}, 200, "1710"),
        ({"location": "CS01", "facility": "1720"}, 200, "1720"),
        ({"location": "CS01"}, 409, None),
        ({"location": "nowhere"}, 409, None),
        ({"facility": "1710"}, 400, None),
    ],
    ids=["one-has-it", "named-empty", "named", "several-have-it", "nobody-has-it", "no-location"],
)
async def test_the_facility_may_be_left_out_where_only_one_has_the_location(
    asked: dict[str, str], status: int, facility: str | None
):
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://suture") as scanner:
        answer = await scanner.get(PATH, params=asked)
    assert (answer.status_code, answer.json().get("facility")) == (status, facility)
