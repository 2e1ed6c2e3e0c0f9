"""Golden files of the HL7 v2 feed: a message, a dashed line, what it means or why it is refused."""

from pathlib import Path

import msgspec
import pytest

from canonical.errors import Failure
from standards.hl7v2.reader import read
from system_apis.ehr.hl7v2_feed.mapping import surgical_case, usage_facts
from system_apis.ehr.hl7v2_feed.wire import Feed

FEED = Feed(
    sending_facility="NORTH",
    facility="1710",
    zone="America/New_York",
    default_unit="EA",
    erp_systems=("99ERP",),
    locations={"OR/3": "OR3-CORE", "OR": "OR-CORE", "CATH": "CATH-LAB"},
    observations={"LOTNO": "lot", "UOM": "unit"},
    places={
        "udi": "ZUI-1",
        "supplier-sku": "ZUI-2.1",
        "case-number": "ZCS-1",
        "line-reference": "FT1-2",
    },
)
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "hl7v2_feed").glob("*.golden"))


def outcome(body: bytes) -> object:
    try:
        message = read(body)
        if message.type == "SIU":
            case, context = surgical_case(message, FEED)
            facts = (case,)
        else:
            facts, context = usage_facts(message, FEED)
    except Failure as failure:
        return f"{failure.slug} at {failure.where}"
    told = {"event": facts[0]} if len(facts) == 1 else {"events": facts}
    return msgspec.json.decode(msgspec.json.encode({**told, "context": context}))


def test_there_are_golden_files():
    assert len(GOLDEN) > 30


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden(path: Path):
    message, _, expected = path.read_text(encoding="utf-8").partition("\n-----\n")
    found = outcome(message.replace("\n", "\r").encode())
    wanted = expected.strip()
    assert found == (msgspec.json.decode(wanted) if wanted.startswith("{") else wanted)
