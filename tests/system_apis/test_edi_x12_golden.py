"""Each golden file: an interchange, a dashed line, and what it announces or why it is refused."""

from pathlib import Path

import msgspec
import pytest

from canonical.errors import Failure
from standards.x12.conformance import examined
from standards.x12.reader import read
from system_apis.edi.x12.announcing import READERS, rejection_facts

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "edi_x12").glob("*.golden"))


def translated(body: bytes) -> str:
    lines = []
    (found,) = (examined(each) for each in read(body))
    facts = list(rejection_facts(found.verdicts, "SUP-1"))
    for group in found.groups:
        assert not group.errors
        for each in group.sets:
            assert each.accepted, each.segment_errors
            try:
                facts += READERS[each.code](each, "SUP-1")
            except Failure as refused:
                lines.append(str(refused))
    for fact in facts:
        lines.append(f"{fact.event} {fact.key}")
        lines.append(msgspec.json.format(msgspec.json.encode(fact.facts)).decode())
    return "\n".join(lines) + "\n" if lines else ""


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_partner_document_means(path):
    sent, expected = path.read_text().split("---\n")
    assert translated(sent.encode()) == expected


def test_there_are_golden_files():
    assert len(GOLDEN) > 30
