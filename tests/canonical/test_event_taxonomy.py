"""The taxonomy names everything that may leave, and nothing in it leads to a patient."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from msgspec.inspect import StructType, Type, type_info

from canonical import published, published_trade
from canonical.charge import ChargeLine, ChargeReview
from canonical.errors import InvalidRequest
from canonical.events import AVAILABLE, BY_TYPE, TAXONOMY, kind_of, wanted_types
from canonical.item import ItemId, Quantity
from canonical.published import ChargeEligible, Published

TOKENS = re.compile(r"token|patient|context|mrn|account|birth|visit", re.IGNORECASE)


def structs(kind: Type) -> Iterator[StructType]:
    if isinstance(kind, StructType):
        yield kind
        for field in kind.fields:
            yield from structs(field.type)
    for name in ("types", "item_types"):
        for inner in getattr(kind, name, ()):
            yield from structs(inner)
    inner = getattr(kind, "item_type", None)
    if inner is not None:
        yield from structs(inner)


def payloads() -> set[type[Published]]:
    return {
        value
        for module in (published, published_trade)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Published) and value is not Published
    }


@pytest.mark.parametrize("payload", sorted(payloads(), key=str))
def test_no_payload_has_a_field_that_leads_to_a_patient(payload) -> None:
    names = [
        f"{struct.cls.__name__}.{field.name}"
        for struct in structs(type_info(payload))
        for field in struct.fields
    ]
    assert names
    assert [name for name in names if TOKENS.search(name)] == []


def test_a_charge_leaves_without_its_context_token() -> None:
    charge = ChargeReview(
        context_token="ctx_secret",
        facility="1710",
        occurred_on=date(2026, 11, 20),
        procedure="27447",
        lines=(
            ChargeLine(
                item=ItemId("IMP-1"),
                description="insert",
                quantity=Quantity(value=Decimal(1), unit="EA"),
            ),
        ),
    )
    told = msgspec.json.encode(ChargeEligible.of(charge))
    assert b"27447" in told
    assert b"ctx" not in told


def test_every_payload_is_in_the_taxonomy_and_every_row_of_the_inventory_has_an_event() -> None:
    assert {kind.payload for kind in AVAILABLE} == payloads()
    assert {kind.row for kind in TAXONOMY} == {f"EVT-{number:02}" for number in range(1, 19)}
    assert len(BY_TYPE) == len(TAXONOMY)
    assert {kind.data_class for kind in TAXONOMY} == {"supply", "financial"}


@pytest.mark.parametrize("kind", AVAILABLE, ids=lambda kind: kind.name)
def test_what_is_said_to_be_available_is_told_by_somebody(kind) -> None:
    root = Path(__file__).parents[2]
    flows = "".join(path.read_text() for path in root.glob("process_apis/*/*.py"))
    ledger = (root / "ledger/migrations/0004_outbox.sql").read_text()
    others = (root / "system_apis/subscribers/desk.py", root / "ledger/timers.py")
    told = flows + "".join(path.read_text() for path in others)
    assert (
        f"{kind.payload.__name__}(" in told
        or f"{kind.payload.__name__}." in told
        or (kind.type in ledger)
    )


def test_the_class_of_what_is_told_decides_the_event() -> None:
    told = published.Ping(text="x")
    assert kind_of(told).type == "org.suture.subscription.ping.v1"


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("order.placed.v1", "org.suture.order.placed.v1"),
        ("org.suture.order.placed.v1", "org.suture.order.placed.v1"),
        ("order.placed", "org.suture.order.placed.*"),
        ("order.*", "org.suture.order.*"),
        ("*", "org.suture.*"),
    ],
)
def test_a_subscription_names_a_type_a_version_or_a_family(asked, wanted) -> None:
    assert wanted_types([asked, asked]) == (wanted,)


@pytest.mark.parametrize(
    "asked", ["order.plced", "", "medication.administered", "*.placed", "order.placed.v2", "o*r*"]
)
def test_what_nobody_publishes_cannot_be_subscribed_to(asked) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wanted_types([asked])
    assert "order.placed" in refused.value.expected
