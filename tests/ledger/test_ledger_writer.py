"""The group-commit writer: one caller's mistake is his alone, and PostgreSQL may come and go."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from canonical.errors import InternalFault, Stopping, StoreUnavailable
from ledger.arrival import Accepted, Arrival
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger, open_ledger
from tests.ledger.conftest import SECRET, Opened, Server
from tests.ledger.outside import Supplier, count, ended, eventually, fact, flow, install, used


@pytest.fixture(autouse=True)
def supplier(ledger: Ledger) -> Supplier:
    supplier = Supplier()

    async def run(story, need):
        await story.step("shipment", supplier.ship, need)

    install(ledger, flow(run))
    return supplier


async def test_what_is_handed_in_together_is_committed_together(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.messages.receive(used(str(n))) for n in range(200)))
    assert await count(ledger, "message") == 200
    assert ledger.writer.batches < 5


class Unwritable(msgspec.Struct):
    what: object


@pytest.mark.parametrize(
    "broken",
    [
        used("bad", announcements=(fact("item-used", "a\0b"),)),
        used("bad", announcements=(fact("item-used", "bad", title="a\ud800b"),)),
        used("bad", announcements=(fact("item-used", "bad", Unwritable(what=object())),)),
        used("bad", sender="a\0b"),
        used("bad", channel="pigeon\0"),
    ],
    ids=["nul in a key", "half a character", "no json", "nul in the sender", "nul in the channel"],
)
async def test_a_record_that_cannot_be_kept_fails_only_its_caller(
    ledger: Ledger, broken: Arrival
) -> None:
    documents = [used("1"), broken, used("2")]
    answers = await asyncio.wait_for(
        asyncio.gather(
            *(ledger.messages.receive(one) for one in documents), return_exceptions=True
        ),
        10,
    )
    assert [type(answer) for answer in answers] == [Accepted, InternalFault, Accepted]
    await ledger.messages.receive(used("3"))
    assert await count(ledger, "message") == await count(ledger, "flow") == 3
    records, broken_links = await ledger.audit.verify()
    assert (records, broken_links) == (3, [])


async def test_nobody_waits_for_a_writer_that_has_ended(ledger: Ledger, dsn: str) -> None:
    answers: list[object] = []

    async def use() -> None:
        async with open_ledger(dsn, secret=SECRET) as ending:
            strange = used("1", announcements=(None,))  # a fault of ours that nobody foresaw
            told = [ending.messages.receive(one) for one in (strange, used("2"))]
            answers.extend(await asyncio.gather(*told, return_exceptions=True))
            answers.extend(
                await asyncio.gather(ending.messages.receive(used("3")), return_exceptions=True)
            )

    with pytest.raises(AttributeError):
        await asyncio.wait_for(use(), 10)
    assert [type(answer) for answer in answers] == [InternalFault, InternalFault, Stopping]
    assert await count(ledger, "message") == 0


async def test_what_is_queued_is_written_before_the_ledger_closes(ledger: Ledger, dsn: str) -> None:
    async with open_ledger(dsn, secret=SECRET) as closing:
        install(closing, *ledger.catalogue.flows.values())
        last = [asyncio.create_task(closing.messages.receive(used(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
    assert {type(answer) for answer in await asyncio.gather(*last)} == {Accepted}
    assert await count(ledger, "message") == 20
    with pytest.raises(Stopping):
        await closing.messages.receive(used("late"))


async def test_a_caller_that_gives_up_does_no_harm_to_the_others(ledger: Ledger) -> None:
    impatient = asyncio.create_task(ledger.messages.receive(used("1")))
    patient = asyncio.create_task(ledger.messages.receive(used("2")))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).answer == b"AA 2"
    assert (await ledger.messages.receive(used("1"))).duplicate  # it was kept, though unheard


async def test_a_full_queue_is_said_and_not_endured(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.writer._MAX_WAITING", 3)
    answers = await asyncio.gather(
        *(ledger.messages.receive(used(str(n))) for n in range(10)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Accepted] * 3 + [StoreUnavailable] * 7


async def deliver(ledger: Ledger, arrival: Arrival, refused: list[str]) -> None:
    """Send a document until it is answered, as a partner does."""
    while True:
        try:
            await ledger.messages.receive(arrival)
        except StoreUnavailable:
            refused.append(arrival.identity)
            await asyncio.sleep(0.05)
        else:
            return


async def test_postgresql_may_be_restarted_in_the_middle_of_work(
    ledger: Ledger, server: Server, supplier: Supplier
) -> None:
    ledger.worker.start()
    refused: list[str] = []
    supplier.answers.clear()  # flows are under way all the while

    async def partner(name: str) -> None:
        for n in range(10):
            await deliver(ledger, used(f"{name}{n}"), refused)
            await asyncio.sleep(0.02)

    partners = [asyncio.create_task(partner(name)) for name in "abcd"]
    await supplier.began.wait()
    try:
        await server.crash()
        with pytest.raises(StoreUnavailable):
            await ledger.record(Evidence(kind="call", actor="x", action="y", outcome="z"))
        supplier.answers.set()
    finally:
        await server.start()
    await asyncio.gather(*partners)
    assert refused

    async def all_ended() -> bool:
        # In truth each lease ends by itself, after fifteen seconds.
        await ledger.database.run(
            "update flow set run_at = now() where id in"
            " (select id from flow where owner is not null for update skip locked)"
        )
        return await count(ledger, "flow", "status = 'done'") == 40

    await eventually(all_ended)
    assert await count(ledger, "message") == await count(ledger, "flow") == 40
    assert len(supplier.shipped) == await count(ledger, "step") == 40
    assert (await ledger.audit.verify())[1] == []

    async def heard() -> bool:
        async with ledger.live.watch() as changed:
            await ledger.messages.receive(used("x", identity=""))
            await asyncio.sleep(0.1)
            return not changed.empty()

    await eventually(heard)  # watchers are served again, too


class CutLine:
    """A line to PostgreSQL that breaks after something was sent and before it is confirmed."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.cut_at: bytes | None = None

    async def connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, out = await asyncio.open_unix_connection(self._target)
        cut = asyncio.Event()
        answers = asyncio.create_task(self._answers(server, back, cut))
        try:
            while chunk := await client.read(65536):
                if self.cut_at is not None and self.cut_at in chunk:
                    self.cut_at = None
                    cut.set()
                out.write(chunk)
                await out.drain()
        except ConnectionResetError:
            return
        finally:
            answers.cancel()
            out.close()
            back.close()

    async def _answers(
        self, server: asyncio.StreamReader, back: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        while (chunk := await server.read(65536)) and not cut.is_set():
            back.write(chunk)
            await back.drain()
        back.close()


@pytest.fixture
async def line(dsn: str) -> AsyncGenerator[tuple[CutLine, str]]:
    folder = dsn.partition("host=")[2].partition("&")[0]
    cut = CutLine(f"{folder.replace('%2F', '/')}/.s.PGSQL.5432")
    with tempfile.TemporaryDirectory(prefix="line") as short:
        there = Path(short) / ".s.PGSQL.5432"
        server = await asyncio.start_unix_server(cut.connected, there)
        yield cut, dsn.replace(folder, quote(short, safe=""))
        server.close()


async def test_whoever_waits_while_the_line_breaks_in_a_commit_is_told_what_became_of_it(
    ledger: Ledger, opened: Opened, line: tuple[CutLine, str]
) -> None:
    cut, address = line
    far = await opened(at=address)
    install(far, *ledger.catalogue.flows.values())
    await far.messages.receive(used("1"))
    cut.cut_at = b"COMMIT;"
    assert (await far.messages.receive(used("2"))).answer == b"AA 2"
    assert cut.cut_at is None
    again = await far.messages.receive(used("2"))
    assert (again.duplicate, again.answer) == (True, b"AA 2")
    assert not (await far.messages.receive(used("3"))).duplicate
    assert await count(ledger, "flow") == 3
    records, broken = await ledger.audit.verify()
    assert (records, broken) == (4, [])


async def test_a_flow_whose_record_was_cut_off_goes_on_from_it(
    ledger: Ledger, opened: Opened, line: tuple[CutLine, str], supplier: Supplier
) -> None:
    cut, address = line
    far = await opened(at=address)
    install(far, *ledger.catalogue.flows.values())
    supplier.answers.clear()
    await far.messages.receive(used("1"))
    far.worker.start()
    await supplier.began.wait()
    cut.cut_at = b"S1 for 1"
    supplier.answers.set()

    async def recorded() -> bool:
        return await count(ledger, "step") == 1

    await eventually(recorded)
    await ledger.database.run("update flow set run_at = now()")
    await ended(ledger)
    assert cut.cut_at is None
    assert len(supplier.keys) == 1
