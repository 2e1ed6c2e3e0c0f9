"""Master data in versions, codes that name items, numbers that are given once, clients."""

import asyncio
from decimal import Decimal

import pytest

from canonical.errors import NotFound, UnknownItem
from canonical.inventory import ParLevel
from canonical.item import Item, ItemCode, ItemId
from canonical.supplier import Supplier
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import count

FIRST, SECOND = ItemId("4711"), ItemId("4712")


def item(name: ItemId = FIRST, text: str = "Screw") -> Item:
    return Item(id=name, description=text, base_unit="EA")


async def test_an_object_gets_a_new_version_only_when_it_differs(ledger: Ledger) -> None:
    registry = ledger.registry
    assert await registry.put([("4711", item()), ("4712", item(SECOND))], by="pat") == 2
    assert await registry.put([("4711", item()), ("4712", item(SECOND))], by="pat") == 0
    assert await registry.put([("4711", item(text="Screw 4 mm"))], by="kim") == 1
    assert (await registry.one(Item, "4711")).description == "Screw 4 mm"
    assert await registry.put([("4711", item())], by="pat") == 1  # back again is a change too
    rows = await ledger.database.rows(
        "select version, changed_by, body ->> 'description' from registry"
        " where id = '4711' order by 1"
    )
    assert [tuple(row) for row in rows] == [
        (1, "pat", "Screw"),
        (2, "kim", "Screw 4 mm"),
        (3, "pat", "Screw"),
    ]
    changed = await ledger.audit.recent(limit=9, kind="master-data", actor="kim")
    assert [one.detail for _, _, one in changed] == [{"changed": "1", "objects": "1", "codes": "0"}]


async def test_two_processes_that_bring_the_same_master_data_agree(
    ledger: Ledger, opened: Opened
) -> None:
    other = await opened()
    many = [(f"item {n}", item(ItemId(str(n)))) for n in range(40)]
    added = await asyncio.gather(
        ledger.registry.put(many, by="pat"), other.registry.put(many[::-1], by="kim")
    )
    assert sum(added) == await count(ledger, "registry") == 40


async def test_objects_are_found_by_kind_and_by_what_they_stand_below(ledger: Ledger) -> None:
    registry = ledger.registry
    level = ParLevel(
        item=FIRST,
        facility="MAIN",
        location="OR1",
        safety=Decimal(1),
        par=Decimal("2.50"),
        supplier="V1",
    )
    below = [("MAIN/OR1/4711", level), ("MAIN/OR10/4711", level), ("OTHER/OR1", level)]
    await registry.put([*below, ("MAIN", Supplier(id="V1", name="Vendor"))], by="pat")
    assert await registry.all_of(ParLevel, "MAIN/OR1") == [level]
    assert len(await registry.all_of(ParLevel, "MAIN")) == 2
    assert len(await registry.all_of(ParLevel)) == 3
    assert (await registry.all_of(ParLevel))[0].par == Decimal("2.50")
    assert await registry.find(ParLevel, "MAIN") is None
    with pytest.raises(NotFound, match="no ParLevel MAIN"):
        await registry.one(ParLevel, "MAIN")


def code(value: str, issuer: str = "", scheme: str = "supplier-sku") -> ItemCode:
    return ItemCode(scheme=scheme, value=value, issuer=issuer)


@pytest.fixture
async def crosswalk(ledger: Ledger) -> None:
    await ledger.registry.put(
        [],
        [
            (code("A", "V1"), FIRST),
            (code("A", "V2"), SECOND),
            (code("B", "V1"), FIRST),
            (code("B", "V2"), FIRST),
            (code("C"), SECOND),
            (code("D"), FIRST),
            (code("D", "V1"), SECOND),
            (code("G", scheme="gtin"), FIRST),
        ],
        by="test",
    )


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([code("A", "V1")], FIRST),
        ([code("A", "V2")], SECOND),
        ([code("A")], None),  # two issuers mean two things by it
        ([code("B")], FIRST),  # and here one
        ([code("C", "V9")], SECOND),  # a code without issuer holds for each
        ([code("D", "V1")], SECOND),  # unless the issuer says otherwise
        ([code("D", "V9")], FIRST),
        ([code("A", "V9")], None),
        ([code("G")], None),  # another scheme
        ([code("X"), code("A"), code("A", "V2"), code("B")], SECOND),  # the first that is known
        ([], None),
    ],
)
async def test_a_code_names_one_item_or_none(
    ledger: Ledger, crosswalk: None, codes: list[ItemCode], expected: ItemId | None
) -> None:
    if expected is not None:
        assert await ledger.registry.resolve(tuple(codes)) == expected
        return
    with pytest.raises(UnknownItem) as unknown:
        await ledger.registry.resolve(tuple(codes))
    assert all(one.value in unknown.value.detail for one in codes)
    assert unknown.value.fix


async def test_a_code_can_be_pointed_to_another_item(ledger: Ledger, crosswalk: None) -> None:
    await ledger.registry.put([], [(code("C"), FIRST)], by="test")
    assert await ledger.registry.resolve((code("C"),)) == FIRST


async def test_a_number_is_given_once_for_one_key(ledger: Ledger, opened: Opened) -> None:
    other = await opened()
    ledgers = (ledger, other)
    keys = [f"flow_{n % 10}/850" for n in range(60)]
    numbers = await asyncio.gather(
        *(ledgers[n % 2].messages.control_number("isa", key) for n, key in enumerate(keys))
    )
    given = dict(zip(keys, numbers, strict=True))
    assert all(given[key] == number for key, number in zip(keys, numbers, strict=True))
    assert len(set(given.values())) == 10
    assert await ledger.messages.control_number("isa", keys[0]) == given[keys[0]]
    assert await ledger.messages.control_number("gs", keys[0]) == 1
    assert await other.messages.control_number("isa", "later") > max(numbers)


async def test_clients_are_kept_as_they_were_given(ledger: Ledger) -> None:
    assert await ledger.clients.find("app") is None
    for body in ('{"scopes": []}', '{"scopes": ["a"]}'):
        await ledger.clients.put("app", body)
    assert await ledger.clients.find("app") == '{"scopes": ["a"]}'
    assert await ledger.clients.listed() == ['{"scopes": ["a"]}']
