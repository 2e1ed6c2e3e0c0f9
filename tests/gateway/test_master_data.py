"""A facility as data: a pack is read whole, or refused with the path of the mistake."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from gateway.master_data import FacilityPack, read_pack

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


def test_a_pack_that_is_no_json_is_refused(tmp_path: Path):
    path = tmp_path / "pack.json"
    path.write_text('{"locations": [')
    with pytest.raises(msgspec.DecodeError, match="truncated"):
        read_pack(path)
