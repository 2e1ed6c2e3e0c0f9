"""The measurements run, and tell apart what was measured, what was not run and what is void.

No figure is looked at: whether something is fast enough is for a person to read.
"""

import asyncio
import io
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from bench.__main__ import BENCHES, main
from bench.hl7v2 import has_python_hl7
from bench.load import Target, load
from bench.report import Bound, Comparison, Report, Row, Trial, bounded, compared, judged
from bench.rounds import Contender, Settings, in_turn
from bench.table import show
from canonical.clock import utc_now
from tests.programs import run_program

NOT_INSTALLED = {} if has_python_hl7() else {"hl7v2 python-hl7": "python-hl7 is not installed"}
NOT_QUICK = "--quick starts no engine of others"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Everything once, as small as it can be, as a person would run it."""
    folder = tmp_path_factory.mktemp("bench")
    quick = ("--rounds", "1", "--quick", "--json", "--out", str(folder))
    run = run_program([sys.executable, "-m", "bench", *quick], within=180)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    told = msgspec.json.decode(run.stdout, type=dict[str, Report])
    kept = {
        name: msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Report)
        for name in told
    }
    assert kept == told
    return told


def not_run_by_us(report: Report) -> dict[str, str]:
    """What is too long for a quick run: engines of others, and a million of anything."""
    shrunk = {"flows one million": "the past was shrunk to 500 (HISTORY)"}
    others = {row.name: NOT_QUICK for row in report.rows if row.by == "DBOS"}
    return others | (shrunk if report.name == "ledger" else {})


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_measures_every_row_that_can_be_run(name: str, reports: dict[str, Report]) -> None:
    report = reports[name]
    not_run = {row.name: row.why for row in report.rows if row.state == "not run"}
    assert not_run == (not_run_by_us(report) | (NOT_INSTALLED if name == "codecs" else {}))
    assert [(row.name, row.why) for row in report.rows if row.state == "void"] == []
    for row in report.rows:
        if row.state == "measured":
            assert row.per_second is not None
            assert row.cpu_microseconds is not None
            assert min(row.per_second.least, row.cpu_microseconds.least) > 0
            assert len(row.per_second.rounds) == len(row.cpu_microseconds.rounds) == 1
        assert row.contains


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_says_each_ratio_and_its_conditions(name: str, reports: dict[str, Report]) -> None:
    report = reports[name]
    names = {row.name for row in report.rows}
    assert list(report.ratios) == [each.name for each in BENCHES[name].comparisons]
    assert all(bound.value is not None for bound in report.bounds)
    for each in report.comparisons:
        assert {each.of, each.against} <= names
        is_known = not {each.of, each.against} & (NOT_INSTALLED | not_run_by_us(report)).keys()
        assert (report.ratios[each.name] is not None) == is_known
    assert {"machine", "python", "versions", "measured"} <= report.conditions.keys()
    assert report.quick


def test_a_bench_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert "speed is not of codecs, ledger, edge" in capsys.readouterr().err


def row(name: str) -> Row:
    return Row(name=name, what="work", by=name, unit="pieces", contains="…", state="measured")


GOOD = Trial(operations=100, seconds=2.0, cpu=0.5)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (GOOD._replace(fault="a call failed"), "a call failed"),
        (GOOD._replace(operations=0), "nothing was done"),
        (GOOD._replace(cpu=0.0), "it used no CPU: something else did the work"),
    ],
    ids=["fault", "nothing", "somebody else"],
)
def test_one_bad_round_makes_a_row_void_and_its_ratio_too(bad: Trial, why: str) -> None:
    ours, theirs = judged(row("ours"), [GOOD, bad, GOOD]), judged(row("theirs"), [GOOD] * 3)
    assert (ours.state, ours.why, ours.per_second) == ("void", why, None)
    wanted = Comparison(name="ratio", of="ours", against="theirs", by="rate")
    assert compared(wanted, {"ours": ours, "theirs": theirs}).ratio is None


def test_a_ratio_compares_round_with_round_and_more_is_better() -> None:
    ours = judged(row("ours"), [Trial(10, 1.0, 1.0), Trial(30, 1.0, 6.0)])
    theirs = judged(row("theirs"), [Trial(5, 1.0, 2.0), Trial(10, 1.0, 8.0)])
    rows = {"ours": ours, "theirs": theirs}
    by_rate = compared(Comparison(name="r", of="ours", against="theirs", by="rate"), rows).ratio
    by_cpu = compared(Comparison(name="c", of="ours", against="theirs", by="cpu"), rows).ratio
    assert by_rate is not None
    assert by_cpu is not None
    assert (by_rate.rounds, by_rate.median) == ((2.0, 3.0), 2.5)
    assert by_cpu.rounds == (4.0, 4.0)


def test_a_cost_has_the_cpu_of_postgres_in_it_and_less_is_better() -> None:
    ours = judged(row("ours"), [Trial(10, 1.0, 1.0, postgres=2.0), Trial(10, 1.0, 1.0, postgres=5)])
    theirs = judged(row("theirs"), [Trial(10, 1.0, 1.0, postgres=1.0)] * 2)
    wanted = Comparison(name="c", of="ours", against="theirs", by="cost", limit=2.0)
    told = compared(wanted, {"ours": ours, "theirs": theirs})
    assert told.ratio is not None
    assert (told.ratio.rounds, told.met) == ((1.5, 3.0), False)
    assert ours.postgres_cores is not None
    assert ours.postgres_cores.rounds == (2.0, 5.0)


def test_a_cost_is_not_told_where_the_server_was_not_read() -> None:
    ours = judged(row("ours"), [GOOD])
    wanted = Comparison(name="c", of="ours", against="ours", by="cost", limit=1.1)
    told = compared(wanted, {"ours": ours})
    assert (told.ratio, told.met) == (None, None)


def test_a_figure_is_held_against_its_bound() -> None:
    idle = judged(row("idle"), [GOOD._replace(figures={"MB more": 120.0})])
    wanted = Bound(name="memory", of="idle", figure="MB more", limit=100)
    assert bounded(wanted, {"idle": idle}).met is False
    void = judged(row("idle"), [GOOD._replace(fault="it died", figures={"MB more": 1.0})])
    assert bounded(wanted, {"idle": void}).value is None


async def test_all_are_measured_in_every_round_until_one_fails(tmp_path: Path) -> None:
    order = list[str]()

    def contender(name: str, fault: str = "") -> Contender:
        async def measure() -> Trial:
            order.append(name)
            return GOOD._replace(fault=fault)

        return Contender(row(name), measure)

    absent = Contender(msgspec.structs.replace(row("absent"), state="not run", why="no"), None)
    settings = Settings(rounds=3, quick=True, home=tmp_path, say=lambda _: None)
    rows = await in_turn([contender("a"), contender("b", "broken"), absent], settings)
    assert order == ["a", "b", "a", "a"]
    assert [each.state for each in rows] == ["measured", "void", "not run"]


@pytest.mark.parametrize("width", [80, 150])
def test_people_see_which_row_is_void_and_what_the_target_was(width: int) -> None:
    rows = (
        judged(row("ours"), [GOOD]),
        judged(row("theirs"), [GOOD._replace(fault="the server died")]),
        msgspec.structs.replace(row("absent"), state="not run", why="it is not installed"),
    )
    report = Report(
        name="edge",
        title="A request",
        at=utc_now(),
        quick=False,
        rounds=1,
        ratios={"ours / theirs": None},
        comparisons=(
            Comparison(name="ours / theirs", of="ours", against="theirs", by="cpu", target=8),
        ),
        rows=rows,
        conditions={"machine": "2 cores"},
    )
    printed = io.StringIO()
    show(Console(file=printed, width=width), report)
    text = printed.getvalue()
    for said in ("void: the server died", "not run: it is not installed", "≥ 8", "2 cores"):
        assert said in text


class Answering(asyncio.Protocol):
    """Answers every request with the same bytes; with none it hangs up."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data and self._answer:
            self._transport.write(self._answer)
        else:
            self._transport.close()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[int]:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Answering(answer), "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.sleep(0)  # the other side's closing is heard


def http(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (http("500 Internal Server Error", b"{}"), "answered 500 instead of 200"),
        (http("200 OK", b"[]"), "answered with another body"),
        (b"", "the connection was closed"),
    ],
    ids=["refusing", "other", "dying"],
)
async def test_load_on_a_server_that_does_not_do_its_work_is_a_fault(
    answer: bytes, fault: str
) -> None:
    async with answering(answer) as port:
        told = await load(Target("127.0.0.1", port, "/", "", b"{}"), 2, 0.2)
    assert told.fault == fault


async def test_load_counts_answers_that_are_right() -> None:
    async with answering(http("200 OK", b"{}")) as port:
        told = await load(Target("127.0.0.1", port, "/", "", b"{}"), 2, 0.1)
    assert told.answers > 2
    assert told.fault == ""


async def test_load_on_nobody_is_a_fault() -> None:
    async with answering(b"") as port:
        pass
    told = await load(Target("127.0.0.1", port, "/", "", b"{}"), 1, 0.1)
    assert told.fault == "the server cannot be reached: ConnectionRefusedError"
