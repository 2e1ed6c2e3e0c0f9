"""Every trace that a release has recorded is told by the code of today: same steps, same result."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import Config
from gateway.runtime import Stores, open_parts
from ledger.catalogue import FlowDefinition
from ledger.differences import differences
from ledger.ledger import Ledger
from ledger.recorded_trace import RecordedTrace
from ledger.story import Story

FILES = sorted((Path(__file__).parent / "traces").glob("*.json"))


@pytest.fixture
async def ledger(config: Config, stores: Stores):
    """An empty ledger with today's flows. No vendor is there: nobody could be called."""
    async with open_parts(config, stores=stores) as parts:
        yield parts.ledger


async def problems(ledger: Ledger, trace: RecordedTrace, flow: FlowDefinition) -> list[str]:
    """Return what is not as it was."""
    told = await ledger.replays.tell(trace, flow)
    found = [
        f"{step.name}: {step.verdict} {step.why}"
        for step in told.steps
        if step.verdict != "recorded"
    ]
    names = [step.name for step in told.steps if step.verdict == "recorded"]
    found += [f"{step.name}: is not told" for step in trace.steps if step.name not in names]
    if names != [step.name for step in trace.steps if step.name in names]:
        found.append("the steps are told in another order")
    if told.ends != "done":
        found.append(f"it ends {told.ends}")
    found += [f"the result: {each.path}" for each in differences(bytes(trace.result), told.result)]
    return found


def read(file: Path) -> RecordedTrace:
    return msgspec.json.decode(file.read_bytes(), type=RecordedTrace)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_trace_is_told_by_the_code_of_today(ledger: Ledger, file: Path) -> None:
    trace = read(file)
    flow = ledger.catalogue.flows.get((trace.name, trace.version))
    assert flow is not None, f"{trace.name}/{trace.version} is gone: stories of it cannot go on"
    assert await problems(ledger, trace, flow) == []


async def test_every_flow_of_today_has_a_trace(ledger: Ledger) -> None:
    assert set(ledger.catalogue.flows) <= {(read(f).name, read(f).version) for f in FILES}


def is_much(posted: Any) -> bool:
    return bool(posted)


def shortened(trace: RecordedTrace, name: str) -> RecordedTrace:
    steps = tuple(step for step in trace.steps if step.name != name)
    return msgspec.structs.replace(trace, steps=steps)


async def test_a_changed_flow_is_found(ledger: Ledger) -> None:
    """A step more, a step less, a step renamed, another type, another result: each is named."""
    [file, *_] = [file for file in FILES if file.stem.startswith("receiving")]
    trace = read(file)
    flow = ledger.catalogue.flows[trace.name, trace.version]

    def changed(run: Any) -> FlowDefinition:
        return msgspec.structs.replace(flow, run=run)

    async def one_more(story: Story, receipt: Any) -> Any:
        result = await flow.run(story, receipt)
        await story.decide("is it much", is_much, result)
        return result

    async def another_result(story: Story, receipt: Any) -> Any:
        result = await flow.run(story, receipt)
        return msgspec.structs.replace(result, document="4711")

    async def nothing(story: Story, receipt: Any) -> None:
        del story, receipt

    assert await problems(ledger, trace, changed(one_more)) == ["is it much: differs "]
    assert await problems(ledger, trace, changed(another_result)) == ["the result: $.document"]
    assert "purchase order: is not told" in await problems(ledger, trace, changed(nothing))
    effect = "goods receipt in the ERP"
    found = await problems(ledger, shortened(trace, effect), flow)
    assert found[0].startswith(f"{effect}: would-be-done")
    assert "it ends unknown" in found


async def test_an_output_that_does_not_fit_its_type_any_more_is_found(ledger: Ledger) -> None:
    [file, *_] = [file for file in FILES if file.stem.startswith("receiving")]
    trace = read(file)
    flow = ledger.catalogue.flows[trace.name, trace.version]
    steps = tuple(
        msgspec.structs.replace(step, output=msgspec.Raw(b'{"number": 1}'))
        if step.name == "purchase order"
        else step
        for step in trace.steps
    )
    with pytest.raises(msgspec.ValidationError):
        await problems(ledger, msgspec.structs.replace(trace, steps=steps), flow)
