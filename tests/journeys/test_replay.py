"""The whole story is told again, flow by flow and step by step, and no book of anybody moves."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.demo.people import Refused
from gateway.demo.stage import Stage
from gateway.demo.story import Outcome, Story
from ledger.bulk_replay import ReplayJob, Selection
from ledger.judgement import Preview
from ledger.ledger import Ledger
from ledger.replay_plan import START, ReplayWish

ROOT = Path(__file__).resolve().parent.parent.parent
PATH = "/experience/v1/operations/transactions"
FLOWS = (
    *("case-demand", "usage-to-replenishment", "requisition-to-order", "order-to-receipt"),
    *("receiving", "invoice-matching"),
)
WRITTEN = ("flow", "step", "entry", "signal", "taken", "task", "outbox", "claim", "message", "body")


async def played(stage: Stage) -> tuple[Outcome, Ledger]:
    outcome = await Story(stage, lambda _who, _text: None).play()
    return outcome, stage.running.parts.ledger


async def books(stage: Stage) -> list[str]:
    """Everything that the vendor systems have on their books."""
    return [
        (await stage.erp.get("/sim/state")).text,
        (await stage.ehr.get("/fhir/ChargeItem")).text,
        (await stage.supplier.get("/sim/orders")).text,
    ]


async def rows(ledger: Ledger) -> list[int]:
    counted = await ledger.database.row(
        "select " + ", ".join(f"(select count(*) from {table})" for table in WRITTEN)
    )
    assert counted is not None
    return list(counted)


async def ended(ledger: Ledger, transaction: str, flow: str) -> str:
    for _ in range(300):
        flows = (await ledger.traces.trace(transaction)).flows
        status = next(each.status for each in flows if each.id == flow)
        if status not in ("queued", "ready"):
            return status
        await asyncio.sleep(0.05)
    raise AssertionError("nobody runs the replay")


async def steps(ledger: Ledger, flow: str) -> list[str]:
    told = await ledger.database.rows(
        "select name from step where flow_id = $1 order by number", flow
    )
    return [START, *(str(row["name"]) for row in told)]


async def heads(ledger: Ledger, transaction: str) -> list[Any]:
    """The flows of a transaction that have not been replayed."""
    return await ledger.database.rows(
        "select id, name from flow where transaction_id = $1 and status = 'done'"
        " and not exists (select 1 from flow n where n.replay_of = flow.id) order by arrival",
        transaction,
    )


async def test_every_flow_from_each_of_its_steps_is_previewed_as_nothing_to_do(
    stage: Stage,
) -> None:
    outcome, ledger = await played(stage)
    before, books_before = await rows(ledger), await books(stage)
    names = set[str]()
    for flow in await heads(ledger, outcome.transaction):
        names.add(flow["name"])
        for step in await steps(ledger, flow["id"]):
            wish = ReplayWish(from_step=step, flow=flow["id"])
            seen = await ledger.replays.preview(outcome.transaction, wish)
            assert not seen.changes, (flow["name"], step, seen.summary)
            assert seen.ends == "done"
    assert names == set(FLOWS)
    assert await rows(ledger) == before
    assert await books(stage) == books_before


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_every_flow_is_replayed_and_the_books_of_all_vendors_stay_as_they_are(
    stage: Stage, place: int
) -> None:
    """From its start, its middle and its last step."""
    outcome, ledger = await played(stage)
    before = await books(stage)
    for flow in await heads(ledger, outcome.transaction):
        told = await steps(ledger, flow["id"])
        step = told[place * (len(told) - 1) // 2]
        wish = ReplayWish(from_step=step, flow=flow["id"])
        begun = await ledger.replays.begin(outcome.transaction, wish, by="pat", reason="why not")
        assert await ended(ledger, outcome.transaction, begun.flow) == "done", (flow["name"], step)
    assert await books(stage) == before
    assert len((await ledger.audit.verify())[1]) == 0


async def test_a_kept_document_is_read_with_the_mapping_of_today_under_the_same_seal(
    stage: Stage,
) -> None:
    outcome, ledger = await played(stage)
    seen = dict[str, Preview]()
    for flow in await heads(ledger, outcome.transaction):
        wish = ReplayWish(flow=flow["id"], mapping="current")
        seen[flow["name"]] = await ledger.replays.preview(outcome.transaction, wish)
    assert all(each.facts == () for each in seen.values())

    # What was kept of the usage is not what the document says today: another place, no lot.
    row = await ledger.database.row(
        "select id, facts from flow where name = 'usage-to-replenishment' order by arrival"
    )
    assert row is not None
    facts = msgspec.json.decode(row["facts"])
    facts["location"], facts["lines"][0]["lot"] = "OR99", "ANOTHER"
    await ledger.database.run(
        "update flow set facts = $2::json where id = $1",
        row["id"],
        msgspec.json.encode(facts).decode(),
    )
    wish = ReplayWish(flow=row["id"], mapping="current")
    reread = await ledger.replays.preview(outcome.transaction, wish)
    assert [(each.path, bytes(each.before)) for each in reread.facts] == [
        ("$.location", b'"OR99"'),
        ("$.lines[0].lot", b'"ANOTHER"'),
    ]


async def test_operations_preview_and_replay_by_api_and_each_needs_its_scope(stage: Stage) -> None:
    outcome, ledger = await played(stage)
    operator, before = stage.people["operator"], await books(stage)
    path = f"{PATH}/{outcome.order}"
    asked = {"from": "purchase order in the ERP"}
    seen = await operator.call("POST", f"{path}/replay-preview", json=asked)
    assert (seen["name"], seen["changes"]) == ("requisition-to-order", False)
    assert seen["steps"][-1]["verdict"] == "suppressed"
    with pytest.raises(Refused) as refused:
        await operator.call("POST", f"{path}/replay", json=asked)
    assert refused.value.status == 400
    begun = await operator.call("POST", f"{path}/replay", json={**asked, "reason": "to be sure"})
    assert await ended(ledger, outcome.transaction, begun["flow"]) == "done"
    with pytest.raises(Refused) as refused:
        await stage.people["approver"].call("POST", f"{path}/replay-preview", json=asked)
    assert refused.value.status == 403
    assert await books(stage) == before
    trail = await ledger.audit.recent(limit=50, kind="approval")
    replay = next(record for _, _, record in trail if record.action.startswith("replay"))
    assert (replay.actor, replay.detail["reason"]) == (operator.client, "to be sure")


async def suture(stage: Stage, folder: Path, *words: str) -> tuple[int, str]:
    """Run the command line on the stage's stores, as an operator would beside the gateway."""
    parts, file = stage.running.parts, folder / "gateway.toml"
    text = (ROOT / "gateway.toml").read_text()
    file.write_text(f'state-folder = "{parts.config.state_folder}"\n{text}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "replay", "--config", str(file), *words),
        cwd=ROOT,
        env={**os.environ, "SUTURE_DATABASE_URL": parts.ledger.database.dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_command_line_previews_and_replays_one_and_many(
    stage: Stage, tmp_path: Path
) -> None:
    outcome, _ = await played(stage)
    before = await books(stage)
    code, out = await suture(
        stage, tmp_path, outcome.order, "--from", "three-way match", "--preview"
    )
    assert code == 0, out
    assert "nothing would change" in out
    assert re.search(r"suppressed +\S+ +invoice in the ERP", out), out
    code, out = await suture(
        stage, tmp_path, outcome.order, "--from", "850 to the supplier", "--reason", "x"
    )
    assert (code, "done" in out) == (0, True), out
    code, out = await suture(stage, tmp_path, "--query", "*", "--preview", "--json")
    told = msgspec.json.decode(out)
    assert (told["changing"], told["refused"]) == ([], {})
    code, out = await suture(stage, tmp_path, "--query", "*", "--reason", "all of them", "--json")
    done = msgspec.json.decode(out)
    assert (code, done["state"], done["begun"]) == (0, "done", told["flows"])
    assert await books(stage) == before
    code, out = await suture(stage, tmp_path, outcome.order, "--from", "nowhere", "--preview")
    assert code == 1
    assert "no flow of this transaction has such a step" in out


async def test_everything_is_replayed_at_once_and_nothing_is_done_twice(stage: Stage) -> None:
    _, ledger = await played(stage)
    before = await books(stage)
    job = await ledger.bulk_replays.open(Selection(), by="pat", reason="a new release")
    most = list[int]()

    def progress(standing: ReplayJob) -> None:
        most.append(standing.running)

    done = await ledger.bulk_replays.drive(job.id, in_flight=4, progress=progress)
    assert done.begun == done.done == done.total
    assert max(most) <= 4
    assert await books(stage) == before
