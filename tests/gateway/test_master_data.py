"""A facility as data: a pack is read whole, or refused with the path of the mistake."""

from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from canonical.clock import utc_now
from canonical.errors import UnknownLocation
from canonical.item import ItemCode, ItemId
from canonical.location import Location
from gateway.master_data import FacilityPack, MasterData, read_pack
from gateway.runtime import Stores
from ledger.ledger import open_ledger

PLACE = {"id": "OR01", "facility": "1710", "costCenter": "CC-OR"}
PAR = {
    "item": "CON-1",
    "facility": "1710",
    "location": "OR01",
    "safety": "2",
    "par": "10",
    "supplier": "S-1",
}
CARD = {
    "procedure": "27447",
    "lines": [{"item": "CON-1", "quantity": {"value": "1", "unit": "EA"}}],
}
PRICE = {
    "contract": "C-1",
    "supplier": "S-1",
    "item": "CON-1",
    "unit": "BX",
    "price": {"amount": "90.00", "currency": "USD"},
    "validFrom": "2026-01-01",
    "validTo": "2026-12-31",
}
PARTNER = {
    "supplier": "S-1",
    "qualifier": "ZZ",
    "interchangeId": "NORTHFIELD",
    "applicationId": "NORTHFIELD",
    "ownQualifier": "ZZ",
    "ownInterchangeId": "GENERALHOSP",
    "ownApplicationId": "GENERALHOSP",
    "endpoint": "northfield",
}
CODE = [{"scheme": "gtin", "value": "00614141999996"}, "CON-1"]
WHOLE = {
    "locations": [PLACE],
    "par-levels": [PAR],
    "preference-cards": [CARD],
    "contracts": [PRICE],
    "partners": [PARTNER],
    "codes": [CODE],
}


def pack_of(folder: Path, content: object) -> FacilityPack:
    path = folder / "pack.json"
    path.write_bytes(msgspec.json.encode(content))
    return read_pack(path)


def test_a_pack_is_read_into_the_words_of_the_business(tmp_path: Path):
    pack = pack_of(tmp_path, WHOLE)
    assert pack.locations[0].cost_center == "CC-OR"
    assert pack.par_levels[0].par == Decimal(10)
    assert pack.preference_cards[0].surgeon == ""
    assert pack.contracts[0].is_effective(date(2026, 12, 31))
    assert pack.partners[0].endpoint == "northfield"
    code, item = pack.codes[0]
    assert (code.scheme, item) == ("gtin", "CON-1")


def test_a_pack_may_bring_only_what_changes(tmp_path: Path):
    assert pack_of(tmp_path, {}) == FacilityPack()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"location": [PLACE]}, "unknown field `location`"),
        ({"locations": [PLACE | {"costcenter": "x"}]}, r"`costcenter` - at `\$\.locations\[0\]`"),
        (
            {"contracts": [PRICE, PRICE | {"price": {"amount": "90", "curency": "USD"}}]},
            r"`curency` - at `\$\.contracts\[1\]\.price`",
        ),
        (
            {"preference-cards": [CARD | {"lines": [CARD["lines"][0] | {"optional": True}]}]},
            r"`optional` - at `\$\.preference-cards\[0\]\.lines\[0\]`",
        ),
        ({"codes": [CODE, [CODE[0] | {"unit": "BX"}, "C"]]}, r"`unit` - at `\$\.codes\[1\]\[0\]`"),
        (
            {"codes": [CODE, [{"scheme": "gtin", "value": "00614141999997"}, "CON-1"]]},
            r"check digit does not match, expected 6 - at `\$\.codes\[1\]\[0\]\.value`",
        ),
        (
            {"codes": [[{"scheme": "gtin", "value": "0614-X"}, "CON-1"]]},
            r"not a GTIN, expected 8, .* - at `\$\.codes\[0\]\[0\]\.value`",
        ),
        ({"locations": [{"id": "OR01"}]}, r"`facility` - at `\$\.locations\[0\]`"),
        ({"par-levels": [PAR, PAR | {"par": "ten"}]}, r"`\$\.par-levels\[1\]\.par`"),
        ({"par-levels": [PAR | {"supplier": None}]}, r"`\$\.par-levels\[0\]\.supplier`"),
        (
            {"preference-cards": [CARD | {"lines": [{"item": "CON-1", "quantity": "1"}]}]},
            r"`\$\.preference-cards\[0\]\.lines\[0\]\.quantity`",
        ),
        ({"contracts": [PRICE | {"validTo": "31.12.2026"}]}, r"`\$\.contracts\[0\]\.validTo`"),
        ({"contracts": [PRICE | {"price": "90"}]}, r"`\$\.contracts\[0\]\.price`"),
        ({"partners": [PARTNER | {"test": "no"}]}, r"`\$\.partners\[0\]\.test`"),
        (
            {"codes": [[{"scheme": "ean", "value": "1"}, "CON-1"]]},
            r"`\$\.codes\[0\]\[0\]\.scheme`",
        ),
    ],
)
def test_a_wrong_pack_is_refused_with_the_path_of_the_mistake(tmp_path: Path, changed, says: str):
    with pytest.raises(msgspec.ValidationError, match=says):
        pack_of(tmp_path, WHOLE | changed)


def test_a_pack_with_a_wrong_gtin_cannot_be_made_by_hand_either():
    with pytest.raises(ValueError, match=r"codes\[0\]"):
        FacilityPack(codes=((ItemCode(scheme="gtin", value="1"), ItemId("CON-1")),))


@pytest.fixture
async def records(stores: Stores) -> AsyncGenerator[MasterData]:
    secret = b"a secret of these tests, 32 byte"
    zones = {"1710": "America/New_York", "1720": "Asia/Tokyo"}
    async with open_ledger(stores.dsn, secret=secret) as ledger:
        yield MasterData(ledger.registry, zones, utc_now)


async def test_a_location_is_of_the_one_facility_that_has_it(records: MasterData):
    places = [("1710", "OR01"), ("1710", "CS01"), ("1720", "CS01")]
    pack = FacilityPack(locations=tuple(Location(id=it, facility=of) for of, it in places))
    await records.load(pack, by="test")
    await records.load(FacilityPack(locations=(Location(id="OR01", facility="1710"),)), by="test")
    assert await records.facility_of("OR01") == "1710"
    for location, says in (("CS01", "one of 1710, 1720"), ("OR", "a location of a facility")):
        with pytest.raises(UnknownLocation, match=location) as refused:
            await records.facility_of(location)
        assert refused.value.expected == says


@pytest.mark.parametrize(
    ("facility", "day"), [("1710", date(2026, 3, 8)), ("1720", date(2026, 3, 9))]
)
async def test_a_moment_is_on_the_day_of_the_facility(records, facility: str, day: date):
    assert await records.day_at(facility, datetime(2026, 3, 9, 3, 59, tzinfo=UTC)) == day
    with pytest.raises(UnknownLocation, match="9999 is not configured"):
        await records.day_at("9999", datetime(2026, 3, 9, tzinfo=UTC))


def test_a_pack_that_is_no_json_is_refused(tmp_path: Path):
    path = tmp_path / "pack.json"
    path.write_text('{"locations": [')
    with pytest.raises(msgspec.DecodeError, match="truncated"):
        read_pack(path)
