"""Policies change under two running replicas: on both, as a whole, recorded; a bad file on none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.config import Config, ConfigurationRefused, load, read
from gateway.pipeline import tag
from gateway.policy_editions import NAME, proposal, propose
from gateway.runtime import Running, Stores, running_gateway
from ledger.audit_trail import Evidence

COMMITTED = (Path(__file__).parents[2] / "gateway.toml").read_text(encoding="utf-8")
FORM = b"grant_type=client_credentials"
HEAD = (
    b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 29\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
)


def limited(limit: int, text: str = COMMITTED) -> str:
    return text.replace("limit-bytes = 4194304", f"limit-bytes = {limit}")


class Replica:
    """One gateway with its own file."""

    def __init__(self, running: Running, file: Path) -> None:
        self.running = running
        self.file = file
        assert running.reload is not None
        self.reload = running.reload

    @property
    def port(self) -> int:
        return int(self.running.url.rpartition(":")[2])

    def says(self, text: str) -> None:
        """Write the file, as an editor does."""
        self.file.write_text(text, encoding="utf-8")

    async def goes_by(self, number: int) -> None:
        await eventually(lambda: self.reload.number == number)

    async def takes(self, length: int) -> bool:
        """Whether a body of this length is taken (what it says is another question)."""
        async with httpx.AsyncClient(base_url=self.running.url, trust_env=False) as http:
            answer = await http.post("/oauth/token", content=b"a" * length)
        assert answer.status_code in (400, 401, 413, 415)
        return answer.status_code != 413


async def eventually(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            told = holds()
            if told is True or (not isinstance(told, bool) and await told):
                return
            await asyncio.sleep(0.02)


Start = Callable[[str, str], Awaitable[Replica]]


@pytest.fixture
async def start(config: Config, stores: Stores, tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def started(name: str, text: str) -> Replica:
            file = tmp_path / f"{name}.toml"
            file.write_text(text, encoding="utf-8")
            told = load(file)
            own = msgspec.structs.replace(
                told, state_folder=config.state_folder, server=config.server, mllp=config.mllp
            )
            opened = running_gateway(own, ["api"], stores=stores, file=file)
            return Replica(await stack.enter_async_context(opened), file)

        yield started


async def told_of_configuration(replica: Replica) -> list[Evidence]:
    found = await replica.running.parts.ledger.audit.recent(limit=50, kind="configuration")
    return [one.evidence for one in reversed(found)]


async def test_a_change_of_one_file_is_in_force_on_all_replicas_and_calls_in_hand_keep_the_old(
    start: Start,
) -> None:
    first, second = await start("first", COMMITTED), await start("second", COMMITTED)
    assert (first.reload.number, second.reload.number) == (1, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", second.port)
    writer.write(HEAD + b"Expect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    first.says(limited(10))
    await first.goes_by(2)
    await second.goes_by(2)
    assert [await each.takes(11) for each in (first, second)] == [False, False]
    assert [await each.takes(10) for each in (first, second)] == [True, True]

    writer.write(FORM)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 "), "the call in hand went on under the old limit"


async def test_who_changed_what_is_in_the_audit_trail(start: Start) -> None:
    first, second = await start("first", COMMITTED), await start("second", COMMITTED)
    first.says(limited(10))
    await first.goes_by(2)
    await second.goes_by(2)
    told = await told_of_configuration(first)
    put = [one for one in told if one.action == "put gateway.toml in force"]
    assert [one.object for one in put] == ["gateway.toml/1", "gateway.toml/2"]
    assert put[1].actor.startswith("file on ")
    assert len(put[1].detail["digest"]) == 64
    assert put[1].detail["$.pipeline[max-body].limit-bytes"] == "4194304 → 10"
    taken = {one.actor for one in told if one.action == "take up edition 2 of gateway.toml"}
    assert taken == {first.reload.replica, second.reload.replica}


PLACE = [tag(policy) for policy in read(COMMITTED, "").pipeline].index("max-body")
BAD = [
    ('"max-body"', '"max"', f"at `$.pipeline[{PLACE}].policy`"),
    ("4194304", '"4 MB"', f"at `$.pipeline[{PLACE}].limit-bytes`"),
    ('policy = "bearer-token"', 'policy = "tracing"', "bearer-token must be there, once"),
    ('policy = "tracing"', 'policy = "body-time"', "at `$.pipeline[1]`"),
    ("[server]", "[server", "(at line "),
    ("origins = []", 'origins = ["*"]', "no origin"),
    (COMMITTED, "", "missing required field `pipeline`"),
]
"""What is wrong in a file, and what is said of it."""


async def test_a_bad_file_is_refused_with_its_place_and_the_old_one_keeps_running(
    start: Start,
) -> None:
    first, second = await start("first", limited(1000)), await start("second", limited(1000))
    for was, becomes, says in BAD:
        assert was in COMMITTED
        first.says(COMMITTED.replace(was, becomes, 1))
        await eventually(lambda says=says: says in first.reload.problem)
        assert first.file.name in first.reload.problem
    assert (first.reload.number, second.reload.number, second.reload.problem) == (1, 1, "")
    assert [await each.takes(1001) for each in (first, second)] == [False, False]
    assert [await each.takes(1000) for each in (first, second)] == [True, True]
    refused = [one for one in await told_of_configuration(first) if one.outcome == "refused"]
    assert len(refused) == len(BAD)
    assert refused[-1].detail["reason"] == first.reload.problem

    first.says(limited(10))
    await first.goes_by(2)
    await second.goes_by(2)
    assert first.reload.problem == ""


async def test_a_refusal_is_said_in_health_and_metrics_and_to_the_other_replicas(
    start: Start,
) -> None:
    replica = await start("first", COMMITTED)
    async with httpx.AsyncClient(base_url=replica.running.url, trust_env=False) as http:
        assert (await http.get("/health/ready")).json()["parts"]["policies"] == "ok"
        replica.says("nonsense")
        await eventually(lambda: bool(replica.reload.problem))
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["parts"]["policies"] == "ConfigurationRefused"
        metrics = (await http.get("/metrics")).text
        assert "suture_policies_refused 1.0" in metrics
        assert "suture_policy_edition 1.0" in metrics
    editions = replica.running.parts.ledger.editions

    async def said() -> bool:
        return [one.problem for one in await editions.replicas(NAME)] == [replica.reload.problem]

    await eventually(said)


async def test_what_needs_a_restart_stays_as_it_is_and_is_named(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    replica = await start("first", COMMITTED)
    before = replica.running.url
    replica.says(limited(10).replace("port = 8420", "port = 8421"))
    await replica.goes_by(2)
    assert not await replica.takes(11)
    assert replica.running.url == before
    assert "restart only: $.server.port" in caplog.text


async def test_a_file_that_is_only_spelt_another_way_is_no_change(start: Start) -> None:
    replica = await start("first", COMMITTED)
    replica.says(
        "# A remark.\n" + COMMITTED.replace("limit-bytes = 4194304", "limit-bytes=4194304")
    )
    replica.says(limited(10))
    await replica.goes_by(2)


async def test_a_replica_that_starts_with_an_old_file_goes_by_the_newest_edition(
    start: Start,
) -> None:
    first = await start("first", COMMITTED)
    first.says(limited(10))
    await first.goes_by(2)
    late = await start("late", COMMITTED)
    assert late.reload.number == 2
    assert not await late.takes(11)
    newer = await start("newer", limited(20))
    assert newer.reload.number == 3
    await first.goes_by(3)
    assert await first.takes(20)


async def test_going_back_to_an_older_text_is_a_change_like_any(start: Start) -> None:
    replica = await start("first", COMMITTED)
    replica.says(limited(10))
    await replica.goes_by(2)
    replica.says(COMMITTED)
    await replica.goes_by(3)
    assert await replica.takes(1000)


async def test_an_edition_that_this_release_cannot_read_is_refused_here(start: Start) -> None:
    replica = await start("first", COMMITTED)
    ledger = replica.running.parts.ledger
    wanted = proposal(limited(10), "test")
    newer = msgspec.structs.replace(wanted, text=wanted.text.replace('"max-body"', '"new-policy"'))
    await propose(ledger.editions, newer, by="a newer release")
    await eventually(lambda: bool(replica.reload.problem))
    assert "edition 2 of gateway.toml" in replica.reload.problem
    assert replica.reload.number == 1
    assert await replica.takes(1000)
    await propose(ledger.editions, proposal(limited(20), "test"), by="test")
    await replica.goes_by(3)
    assert replica.reload.problem == ""


async def test_deadlines_and_thresholds_change_with_the_policies(start: Start) -> None:
    replica = await start("first", COMMITTED)
    catalogue = replica.running.parts.ledger.catalogue
    before = catalogue.newest("requisition-to-order")
    replica.says(COMMITTED.replace('threshold = "2500"', 'threshold = "1"'))
    await replica.goes_by(2)
    after = catalogue.newest("requisition-to-order")
    assert before is not None
    assert after is not None
    assert str(before.run.keywords["policy"].threshold) == "2500"
    assert str(after.run.keywords["policy"].threshold) == "1"


async def test_a_gateway_does_not_start_on_a_pipeline_that_would_let_something_by(
    start: Start,
) -> None:
    open_to_all = COMMITTED.replace('policy = "bearer-token"', 'policy = "tracing"')
    with pytest.raises(ConfigurationRefused, match="bearer-token must be there, once"):
        await start("first", open_to_all)
