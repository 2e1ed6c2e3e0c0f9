"""The arithmetic of the trade: cents, days of a contract, stock that is still free."""

from datetime import UTC, date, timedelta
from decimal import Decimal

import pytest

from canonical.clock import utc_now
from canonical.contract import ContractPrice
from canonical.errors import InvalidRequest
from canonical.inventory import StockLevel
from canonical.item import ItemId
from canonical.money import Money


def usd(amount: str) -> Money:
    return Money(amount=Decimal(amount))


@pytest.mark.parametrize(
    ("price", "factor", "amount"),
    [
        ("0.005", "1", "0.01"),
        ("0.0049", "1", "0.00"),
        ("1.115", "1", "1.12"),
        ("12.50", "3", "37.50"),
        ("-0.005", "1", "-0.01"),
        ("0.333", "3", "1.00"),
    ],
)
def test_money_is_rounded_half_up_to_the_cent_where_it_is_multiplied(price, factor, amount):
    assert usd(price).times(Decimal(factor)) == usd(amount)


def test_a_product_keeps_its_currency():
    assert Money(amount=Decimal(2), currency="EUR").times(Decimal(2)).currency == "EUR"


def test_money_of_one_currency_adds_up():
    assert usd("0.10") + usd("0.20") == usd("0.30")


def test_money_of_two_currencies_never_adds_up():
    with pytest.raises(InvalidRequest, match="cannot add EUR to USD"):
        usd("1") + Money(amount=Decimal(1), currency="EUR")


FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
PRICE = ContractPrice(
    contract="C-1",
    supplier="S-1",
    item=ItemId("CON-1"),
    unit="BX",
    price=usd("10"),
    valid_from=FIRST,
    valid_to=LAST,
)


@pytest.mark.parametrize(
    ("on", "holds"),
    [
        (FIRST - timedelta(days=1), False),
        (FIRST, True),
        (date(2026, 6, 1), True),
        (LAST, True),
        (LAST + timedelta(days=1), False),
    ],
)
def test_a_contract_holds_from_its_first_to_its_last_day(on: date, holds):
    assert PRICE.is_effective(on) is holds


def test_projected_stock_is_what_is_there_less_what_is_promised_plus_what_is_coming():
    level = StockLevel(
        item=ItemId("CON-1"),
        facility="1710",
        location="OR01",
        unit="EA",
        on_hand=Decimal(10),
        reserved=Decimal(4),
        on_order=Decimal(3),
    )
    assert level.projected == 9


def test_the_clock_of_the_machine_tells_utc():
    assert utc_now().tzinfo is UTC
