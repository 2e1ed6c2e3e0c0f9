"""Records the golden traces anew: plays the story and a credit, writes down what flows recorded.

    python -m tests.golden.record

A trace that is there is proof that stories of an older release go on: it is replaced only where a
change of a flow came with a new version of it.
"""

import asyncio
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.config import Config, load
from gateway.demo.stage import open_stage
from gateway.demo.story import Story
from ledger.differences import differences
from ledger.ledger import Ledger
from ledger.recorded_trace import RecordedTrace
from tests.journeys.front_doors import Floor, ended

ROOT = Path(__file__).resolve().parent.parent.parent
SUTURES = {"code": "SURG-88301", "lot": "LCON001A"}
TRACES = ROOT / "tests" / "golden" / "traces"


class NotToldAgain(Exception):
    """A flow that has just run cannot be told from its records."""


async def traces(ledger: Ledger) -> dict[str, RecordedTrace]:
    """Return every flow that is done, under the name of its file."""
    rows = await ledger.database.rows(
        "select id, name, version, row_number() over (partition by name order by arrival) as place"
        " from flow where status = 'done' order by arrival"
    )
    return {
        f"{row['name']}-{row['version']}-{row['place']}": await _settled(
            ledger, await ledger.replays.record(row["id"])
        )
        for row in rows
    }


async def _settled(ledger: Ledger, trace: RecordedTrace) -> RecordedTrace:
    """Return the trace with its result as it is told again: only moments of the run may differ."""
    told = await ledger.replays.tell(trace, ledger.catalogue.flows[trace.name, trace.version])
    odd = [step for step in told.steps if step.verdict != "recorded"]
    if told.ends != "done" or odd:
        raise NotToldAgain(f"{trace.name} {trace.key} ends {told.ends}: {odd}")
    for each in differences(bytes(trace.result), told.result):
        for side in (each.before, each.after):
            msgspec.json.decode(side, type=datetime)
    return msgspec.structs.replace(trace, result=msgspec.Raw((told.result or "null").encode()))


def written(trace: RecordedTrace) -> bytes:
    return msgspec.json.format(msgspec.json.encode(trace), indent=1) + b"\n"


async def _taken_back(floor: Floor) -> None:
    """Use sutures, and credit some of them."""
    case = await floor.schedule("27447")
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    await floor.use(case, {**SUTURES, "quantity": "3"})
    await floor.until(case.control, ended("usage-to-replenishment"), "they are used")
    await floor.use(case, {**SUTURES, "quantity": "2", "credit": True})
    await floor.until(case.control, ended("usage-reversal"), "they are taken back")


async def _record(folder: Path) -> None:
    told = load(ROOT / "gateway.toml")
    config: Config = msgspec.structs.replace(
        told,
        state_folder=str(folder),
        server=msgspec.structs.replace(told.server, port=0),
        mllp=msgspec.structs.replace(told.mllp, port=0),
    )
    async with open_stage(config, pace=0.05, say=lambda _: None) as stage:
        await Story(stage, lambda _who, _text: None).play()
        await _taken_back(Floor(stage))
        found = await traces(stage.running.parts.ledger)
    for name, trace in found.items():
        (TRACES / f"{name}.json").write_bytes(written(trace))
        print(f"{name}: {len(trace.steps)} steps")


def main() -> None:
    TRACES.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    try:
        asyncio.run(_record(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
