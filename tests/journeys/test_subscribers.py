"""Subscribers of a whole gateway: over its API, its command line, and through its death."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis

from gateway.authorization import ClientBook
from gateway.config import Config, Events
from gateway.demo.people import Person, Refused
from gateway.runtime import Running, Stores, running_gateway
from ledger.database import Database, open_database
from policies.oauth.clients import new_client
from standards.cloudevents.codec import decode
from tests.ledger.outside import eventually
from tests.system_apis.receiver import Receiver, answer, receiving

ROOT = Path(__file__).resolve().parents[2]
PATH = "/system/v1/subscriptions"
SCOPES = ("system.subscriptions:read", "system.subscriptions:write", "system.events:read")
QUICK = Events(
    allow_private_targets=True,
    retry_seconds=0.05,
    longest_retry_seconds=0.05,
    max_attempts=3,
    lease_seconds=1.0,
    heartbeat_seconds=0.2,
)
TELL = """
insert into outbox (id, type, subject, body, facility, data_class)
values ($1, 'org.suture.order.placed.v1', 'order', '{"facility": "1710"}', $2, $3)"""


class House:
    """A gateway with everything a subscriber meets."""

    def __init__(self, running: Running, person: Person) -> None:
        self.running = running
        self.person = person

    @property
    def database(self) -> Database:
        return self.running.parts.ledger.database

    async def tell(self, *names: str, facility: str = "1710", data_class: str = "supply") -> None:
        for name in names:
            await self.database.run(TELL, name, facility, data_class)

    async def subscribe(self, target: str, **told: Any) -> dict[str, Any]:
        order = {"name": "ward", "kind": "webhook", "target": target, "types": ["order.*"], **told}
        return await self.person.call("POST", PATH, json=order)

    async def show(self, made: dict[str, Any]) -> dict[str, Any]:
        return await self.person.call("GET", f"{PATH}/{made['subscription']['id']}")

    async def ask(self, made: dict[str, Any], what: str, **told: Any) -> Any:
        path = f"{PATH}/{made['subscription']['id']}/{what}"
        return await self.person.call("POST", path, json=told)

    async def known(self, name: str, facilities: tuple[str, ...] = ()) -> Person:
        client, secret = new_client(name, SCOPES, facilities)
        await ClientBook(self.running.parts.ledger.clients).put(client)
        return Person(self.running.url, name, secret)


@asynccontextmanager
async def house_of(config: Config, stores: Stores, events: Events) -> AsyncGenerator[House]:
    told = msgspec.structs.replace(config, events=events)
    async with running_gateway(told, ("api", "worker"), stores=stores) as running:
        house = House(running, Person(running.url, "", ""))
        house.person = await house.known("subscriber")
        yield house
        await house.person.close()


@pytest.fixture
async def house(config: Config, stores: Stores) -> AsyncGenerator[House]:
    async with house_of(config, stores, QUICK) as made:
        yield made


async def heard(receiver: Receiver, count: int) -> list[str]:
    async def look() -> list[str] | None:
        told = [delivery.id for delivery in receiver.deliveries]
        return told if len(told) >= count else None

    return await eventually(look)


async def test_a_subscription_is_made_signed_rotated_and_pinged(house: House) -> None:
    async with receiving() as receiver:
        made = await house.subscribe(receiver.url)
        await house.tell("e1")
        assert await heard(receiver, 1) == ["e1"]
        assert receiver.deliveries[0].is_signed_with(made["secret"])

        fresh = await house.ask(made, "secret")
        await house.tell("e2")
        assert await heard(receiver, 2) == ["e1", "e2"]
        assert receiver.deliveries[1].is_signed_with(made["secret"])
        assert receiver.deliveries[1].is_signed_with(fresh["secret"])

        assert await house.ask(made, "ping") == {"delivered": True, "error": ""}
        assert receiver.deliveries[2].event["type"] == "org.suture.subscription.ping.v1"
        receiver.says = lambda _: answer("500 No")
        assert await house.ask(made, "ping") == {"delivered": False, "error": "HTTP 500"}

    shown = msgspec.json.encode(await house.show(made)).decode()
    assert "whsec" not in shown


async def test_a_failing_webhook_is_suspended_and_its_task_resumes_it(house: House) -> None:
    async with receiving() as receiver:
        receiver.says = lambda _: answer("500 No")
        made = await house.subscribe(receiver.url)
        await house.tell("e1", "e2")

        async def suspended() -> dict[str, Any] | None:
            told = await house.show(made)
            return told if told["status"] == "suspended" else None

        told = await eventually(suspended)
        assert (told["attempts"], told["backlog"], told["lastError"]) == (3, 2, "HTTP 500")
        receiver.says = lambda _: answer()
        await house.ask(made, "changes", action="resume", reason="repaired")
        assert (await heard(receiver, 5))[3:] == ["e1", "e2"]
        assert await house.running.parts.ledger.tasks.listed() == []


async def test_a_replay_since_a_time_tells_again(house: House) -> None:
    async with receiving() as receiver:
        made = await house.subscribe(receiver.url)
        await house.tell("e1", "e2")
        await heard(receiver, 2)
        told = await house.ask(made, "replays", since="2020-01-01T00:00:00Z", reason="lost")
        assert told["replays"] == 1
        assert await heard(receiver, 4) == ["e1", "e2", "e1", "e2"]
        with pytest.raises(Refused, match="400"):
            await house.ask(made, "replays", after="yesterday")
        with pytest.raises(Refused, match="400"):
            await house.ask(made, "replays")


async def test_a_stream_is_a_subscriber_like_any_other(house: House, stores: Stores) -> None:
    made = await house.subscribe("orders", kind="stream")
    assert made["secret"] == ""
    with pytest.raises(Refused, match="409"):
        await house.subscribe("orders", kind="stream")
    await house.tell("e1", "e2")

    async def delivered() -> bool:
        return (await house.show(made))["delivered"] == 2

    await eventually(delivered)
    async with redis.Redis.from_url(stores.valkey) as valkey:
        entries = await valkey.xrange("suture:events:orders")
        assert [decode(fields[b"event"]).id for _, fields in entries] == ["e1", "e2"]
        await valkey.delete("suture:events:orders")


@pytest.mark.parametrize(
    "told",
    [
        {"types": ["order.plced"]},
        {"types": []},
        {"kind": "stream", "target": "no such key"},
        {"target": "https://user:pw@example.com/"},
        {"dataClasses": ["phi"]},
        {"facilities": [""]},
    ],
)
async def test_what_cannot_be_kept_is_refused_with_its_place(house: House, told: dict) -> None:
    with pytest.raises(Refused, match="400"):
        await house.subscribe(**{"target": "https://example.com/", **told})


async def test_targets_inside_are_refused_unless_the_configuration_allows_them(
    config: Config, stores: Stores
) -> None:
    guarded = msgspec.structs.replace(QUICK, allow_private_targets=False)
    async with house_of(config, stores, guarded) as house, receiving() as receiver:
        for target in (receiver.url, receiver.url.replace("http", "https")):
            with pytest.raises(Refused, match="400"):
                await house.subscribe(target)
        made = await house.subscribe("https://hook.example.test/")
        name = receiver.url.replace("127.0.0.1", "localhost")  # a name that leads inside
        await house.database.run("update subscription set target = $1", name)
        assert await house.ask(made, "ping") == {
            "delivered": False,
            "error": "the target is no public address",
        }
        assert receiver.deliveries == []


async def test_a_client_of_one_facility_subscribes_to_that_one_only(house: House) -> None:
    nurse = await house.known("nurse", ("1710",))
    order = {"name": "w", "kind": "stream", "target": "n1", "types": ["*"]}
    made = await nurse.call("POST", PATH, json=order)
    assert made["subscription"]["facilities"] == ["1710"]
    with pytest.raises(Refused, match="403"):
        await nurse.call("POST", PATH, json={**order, "facilities": ["1720"]})
    other = await house.subscribe("everything", kind="stream")
    with pytest.raises(Refused, match="404"):
        await nurse.call("GET", f"{PATH}/{other['subscription']['id']}")
    listed = await nurse.call("GET", PATH)
    assert [each["name"] for each in listed["items"]] == ["w"]
    assert len((await house.person.call("GET", PATH))["items"]) == 2
    await nurse.close()


async def test_the_taxonomy_says_what_can_be_had_and_what_is_planned(house: House) -> None:
    listed = await house.person.call("GET", "/system/v1/events/types")
    planned = {each["name"]: each["planned"] for each in listed["items"]}
    assert planned["order.placed"] is False
    assert planned["patient.discharged"] is True


async def test_the_document_of_all_events_is_served_beside_the_others(house: House) -> None:
    told = await house.person.call("GET", "/openapi/events.asyncapi.json")
    assert told["asyncapi"] == "3.0.0"
    with pytest.raises(Refused, match=r"events\.asyncapi\.json"):
        await house.person.call("GET", "/openapi/nothing.json")


Frames = Callable[[], Awaitable[tuple[str, str]]]


@asynccontextmanager
async def listening(house: House, headers: dict[str, str], **asked: str) -> AsyncGenerator[Frames]:
    """Read frames one at a time: (id, id of the event), or ('', comment)."""
    token = {"authorization": f"Bearer {house.person.token}"}
    async with (
        httpx.AsyncClient(base_url=house.running.url, trust_env=False, timeout=10) as http,
        http.stream(
            "GET", "/system/v1/events/stream", headers={**token, **headers}, params=asked
        ) as answered,
    ):
        assert answered.status_code == 200
        lines = answered.aiter_lines()

        async def frame() -> tuple[str, str]:
            told: dict[str, str] = {}
            async for line in lines:
                if not line and told:
                    break
                name, _, value = line.partition(": ")
                told[name] = value
            if "data" not in told:
                return "", told[""]
            return told["id"], decode(told["data"].encode()).id

        yield frame


async def test_a_listener_is_told_after_the_commit_and_goes_on_where_it_was(house: House) -> None:
    await house.person.sign_in()
    await house.tell("before")
    async with listening(house, {}, types="order.placed", facility="1710") as frame:
        assert await frame() == ("", "listening")
        await house.tell("e1")
        await house.tell("elsewhere", facility="1720")
        await house.tell("charge", data_class="financial")
        await house.tell("e2")
        seen = list[tuple[str, str]]()
        beats = 0
        while len(seen) < 2 or not beats:
            one = await frame()
            if one[0]:
                seen.append(one)
            else:
                beats += 1
    assert [event for _, event in seen] == ["e1", "e2"]

    async with listening(house, {"last-event-id": seen[0][0]}, types="order.*") as frame:
        await frame()
        again = list[str]()
        while len(again) < 2:
            place, event = await frame()
            again += [event] if place else []
    assert again == ["elsewhere", "e2"]


@pytest.mark.parametrize(
    ("headers", "asked", "status"),
    [
        ({"last-event-id": "nonsense"}, {}, 400),
        ({}, {"types": "nothing.like.it"}, 400),
        ({"authorization": ""}, {}, 401),
    ],
)
async def test_a_listener_without_a_right_or_a_place_is_refused(
    house: House, headers: dict[str, str], asked: dict[str, str], status: int
) -> None:
    await house.person.sign_in()
    token = {"authorization": f"Bearer {house.person.token}"}
    async with httpx.AsyncClient(base_url=house.running.url, trust_env=False) as http:
        got = await http.get("/system/v1/events/stream", headers={**token, **headers}, params=asked)
    assert got.status_code == status


class Worker:
    """A worker in a process of its own, which can be killed."""

    def __init__(self, folder: Path, stores: Stores, keys: Path) -> None:
        shutil.copytree(keys, folder / "keys")
        self._file = folder / "gateway.toml"
        events = "[events]\nallow-private-targets = true\nlease-seconds = 1.0\n"
        text = (ROOT / "gateway.toml").read_text().replace("[events]\n", events)
        self._file.write_text(f'state-folder = "{folder}"\n{text}')
        self._environment = {
            **os.environ,
            "SUTURE_DATABASE_URL": stores.dsn,
            "SUTURE_REDIS_URL": stores.valkey,
            "SUTURE_ERP_PASSWORD": "sandbox",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = (sys.executable, "-m", "gateway", "worker", "--config", str(self._file))
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=self._environment, stdout=-3, stderr=-3
        )

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


async def test_a_worker_that_dies_between_send_and_mark_sends_again_under_the_same_id(
    config: Config, stores: Stores, tmp_path: Path
) -> None:
    guarded = msgspec.structs.replace(config, events=QUICK)
    async with running_gateway(guarded, ("api",), stores=stores) as running:
        house = House(running, Person(running.url, "", ""))
        house.person = await house.known("subscriber")
        worker = Worker(tmp_path, stores, Path(config.state_folder) / "keys")
        async with receiving() as receiver:
            made = await house.subscribe(receiver.url)
            names = [f"e{number}" for number in range(6)]
            await house.tell(*names)
            receiver.says = lambda came: _killing(worker, came.id, receiver)
            await worker.start()
            for _ in range(2):
                await asyncio.wait_for(worker.process.wait(), 30)
                await worker.start()

            async def done() -> bool:
                return (await house.show(made))["delivered"] == 6

            await eventually(done, 30)
            await worker.end()
            ids = [delivery.id for delivery in receiver.deliveries]
            assert list(dict.fromkeys(ids)) == names, "in order, once by id"
            assert ids.count("e0") == 2
            assert ids.count("e3") == 2
            assert all(one.is_signed_with(made["secret"]) for one in receiver.deliveries)
        await house.person.close()


async def _killing(worker: Worker, event: str, receiver: Receiver) -> bytes:
    """Hear the first try of two of the events, and end the sender before it learns of it."""
    tries = sum(one.id == event for one in receiver.deliveries)
    if event in ("e0", "e3") and tries == 1:
        await worker.end()
    return answer()


async def test_the_command_line_shows_and_steers_subscriptions(
    config: Config, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "gateway.toml").read_text()
    file = tmp_path / "gateway.toml"
    file.write_text(f'state-folder = "{tmp_path}"\n{text}')

    async def run(*words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "subscriptions", "--config", str(file), *words),
            cwd=ROOT,
            env={
                **os.environ,
                "SUTURE_DATABASE_URL": stores.dsn,
                "SUTURE_REDIS_URL": stores.valkey,
            },
            stdout=-1,
            stderr=-1,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    code, out, _ = await run("add", "ward", "https://hook.example.test/in", "--type", "order.*")
    assert code == 0
    assert "whsec_" in out
    subscription = out.split()[1]
    database = await open_database(stores.dsn)
    await database.run(TELL, "e1", "1710", "supply")
    await database.close()
    code, out, _ = await run("list")
    assert "1 wait" in out
    code, out, _ = await run("--json", "skip", subscription, "--event", "e1", "--reason", "poison")
    assert code == 0
    assert msgspec.json.decode(out)["backlog"] == 0
    code, _, err = await run("skip", subscription, "--event", "e1", "--reason", "poison")
    assert code == 1
    assert "nothing waits" in err
    code, out, _ = await run("--json", "replay", subscription, "--since", "2020-01-01")
    assert msgspec.json.decode(out)["backlog"] == 1
    for action, status in (("suspend", "suspended"), ("resume", "active"), ("disable", "disabled")):
        code, out, _ = await run("--json", action, subscription, "--reason", "test")
        assert msgspec.json.decode(out)["status"] == status
    code, _, err = await run("add", "inside", "https://127.0.0.1/")
    assert code == 1
    assert "allow-private-targets" in err
