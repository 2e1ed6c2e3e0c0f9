"""Whatever comes in ends as a transaction, a task or a duplicate: nothing is lost or silent.

The project's own documents are always sent. Where SUTURE_CORPUS names a folder with other HL7 v2
files, every SIU^S12-S26 and DFT^P03 in it is sent too.
"""

import asyncio
import os
import re
from pathlib import Path

import msgspec
import pytest

from gateway.config import Config
from gateway.runtime import Stores, running_gateway
from ledger.ledger import Ledger

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "hl7v2_feed"
_WANTED = re.compile(rb"MSH.{5}[^\r\n]*\|(SIU\^S(1[2-9]|2[0-6])|DFT\^P03)", re.DOTALL)


def own_documents() -> list[bytes]:
    return [
        file.read_bytes().split(b"\n-----")[0].replace(b"\n", b"\r")
        for file in sorted(GOLDEN.glob("*.golden"))
    ]


def corpus_documents(folder: Path) -> list[bytes]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "hl7v2" in str(file))
    bodies = [file.read_bytes() for file in files]
    return [body for body in bodies if _WANTED.match(body.lstrip(b"\xef\xbb\xbf\x0b\r\n"))]


def permissive(config: Config) -> Config:
    """Take any sender's messages for the one facility there is."""
    feed = config.feeds.hl7v2[0]
    anyone = msgspec.structs.replace(
        feed, sending_facility="*", processing_ids=("P", "T", "D", ""), default_unit="EA"
    )
    feeds = msgspec.structs.replace(config.feeds, hl7v2=(anyone,))
    return msgspec.structs.replace(config, feeds=feeds)


async def send(port: int, bodies: list[bytes]) -> list[bytes]:
    """Send every body over one MLLP connection; return the acknowledgements."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = list[bytes]()
    for body in bodies:
        clean = body.replace(b"\x0b", b"").replace(b"\x1c", b"")
        writer.write(b"\x0b" + clean + b"\x1c\r")
        await writer.drain()
        if not wants_no_answer(clean):
            answers.append(await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 15))
    writer.close()
    await writer.wait_closed()
    return answers


def wants_no_answer(body: bytes) -> bool:
    """Return whether MSH-15 says that no commit acknowledgement is wanted (enhanced mode)."""
    fields = re.split(rb"[\r\n]", body, maxsplit=1)[0].split(b"|")
    return fields[14:15] == [b"NE"]


async def standing(ledger: Ledger) -> dict[str, int]:
    """Return what became of every message that came in."""
    row = await ledger.database.row(
        "select count(*) as messages,"
        " count(*) filter (where exists (select 1 from entry e where e.message_id = m.id)) as told,"
        " count(*) filter (where exists (select 1 from task t where t.message_id = m.id)) as tasks"
        " from message m where direction = 'in'"
    )
    repeated = await ledger.database.row(
        "select count(*) as n from audit"
        " where convert_from(record, 'UTF8')::jsonb ->> 'outcome' = 'duplicate'"
    )
    return {**dict(row), "duplicates": repeated["n"]}


@pytest.mark.parametrize("source", ["own", "corpus"])
async def test_messages_in_are_transactions_tasks_and_duplicates(
    config: Config, stores: Stores, source: str
):
    folder = os.environ.get("SUTURE_CORPUS", "")
    if source == "corpus" and not folder:
        pytest.skip("SUTURE_CORPUS names no folder: only the project's own documents are sent")
    bodies = own_documents() if source == "own" else corpus_documents(Path(folder))
    assert len(bodies) > 20
    again = bodies[:5]
    async with running_gateway(
        permissive(config), ("api", "listener", "worker"), stores=stores
    ) as running:
        answers = await send(running.mllp_port, [*bodies, *again])
        ledger = running.parts.ledger
        await asyncio.sleep(1)
        end = await standing(ledger)
        _, broken = await ledger.audit.verify()

    wanted = [body for body in [*bodies, *again] if not wants_no_answer(body)]
    assert len(answers) == len(wanted)
    assert all(b"MSA|" in answer or b"MSA" in answer for answer in answers)
    assert end["messages"] == end["told"] + end["tasks"]
    assert end["messages"] + end["duplicates"] == len(bodies) + len(again)
    assert end["duplicates"] >= len(again)
    assert broken == []
