"""The simulated EHR from outside: its control door, its sending habits, its FHIR server."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from sandbox.ehr.app import Settings, create_app

CASE = {
    "caseNumber": "CASE-42",
    "visit": "V77",
    "procedure": "27130",
    "location": "OR-3",
    "start": "2026-03-04T13:30:00Z",
}
USED = {"lines": [{"code": "GLOVE", "quantity": "2", "unit": "BX"}]}


class Listener:
    """An MLLP receiver that answers as it is told, then with AA."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.frames: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        try:
            while True:
                frame = (await reader.readuntil(b"\x1c\r"))[1:-2]
                self.frames.append(frame)
                answer = self.answers.pop(0) if self.answers else "AA"
                if answer == "hang up":
                    return
                control = "other" if answer == "another" else frame.split(b"|")[9].decode()
                writer.write(f"\x0bMSH|^~\\&\rMSA|{answer}|{control}\r\x1c\r".encode())
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


class Gateway:
    """The HTTP side of a gateway: tokens, and answers as told, then 200."""

    def __init__(self) -> None:
        self.answers: list[int | Exception] = []
        self.bodies: list[bytes] = []
        self.tokens = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            assert b"system.ehr.fhir%3Awrite" in request.content
            self.tokens += 1
            return httpx.Response(200, json={"access_token": f"t{self.tokens}"})
        assert request.url.path == "/system/v1/ehr/fhir"
        assert request.headers["content-type"] == "application/fhir+json"
        assert request.headers["authorization"] == f"Bearer t{self.tokens}"
        self.bodies.append(request.content)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)


@asynccontextmanager
async def running(listener: Listener | None = None, gateway: Gateway | None = None, **changes):
    settings = Settings(
        gateway_url="https://gateway.example",
        mllp_host="127.0.0.1",
        mllp_port=listener.port if listener else 1,
        token_url="https://gateway.example/oauth/token",
        client_id="ehr",
        client_secret="secret",
        first_retry=0.01,
        longest_retry=0.02,
        answer_within=2,
        transport=httpx.MockTransport(gateway or Gateway()),
        **changes,
    )
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ehr") as client,
    ):
        yield client


@pytest.fixture
async def listener():
    one = Listener()
    await one.open()
    yield one
    await one.close()


async def settled(client: httpx.AsyncClient) -> list[dict]:
    for _ in range(300):
        messages = (await client.get("/sim/messages")).json()["messages"]
        if all(message["status"] != "waiting" for message in messages):
            return messages
        await asyncio.sleep(0.01)
    raise AssertionError(messages)


async def test_a_case_is_told_changed_and_cancelled(listener):
    async with running(listener) as client:
        assert (await client.post("/sim/cases", json=CASE)).status_code == 202
        moved = {"start": "2026-03-04T15:00:00Z"}
        assert (await client.put("/sim/cases/CASE-42", json=moved)).status_code == 202
        assert (await client.put("/sim/cases/CASE-42", json={"surgeon": "1"})).status_code == 202
        assert (await client.delete("/sim/cases/CASE-42")).status_code == 202
        messages = await settled(client)
    kinds = [message["kind"] for message in messages]
    assert kinds == ["SIU^S12", "SIU^S13", "SIU^S14", "SIU^S15"]
    assert {message["status"] for message in messages} == {"accepted"}
    assert [frame.split(b"|")[8] for frame in listener.frames] == [
        f"{kind}^SIU_S12".encode() for kind in kinds
    ]


async def test_usage_goes_over_the_feed_it_is_told_to(listener):
    gateway = Gateway()
    async with running(listener, gateway) as client:
        await client.post("/sim/cases", json=CASE)
        await client.post("/sim/cases/CASE-42/usage", json=USED)
        await client.post("/sim/cases/CASE-42/usage", json={**USED, "via": "fhir"})
        messages = await settled(client)
    assert [message["kind"] for message in messages] == ["SIU^S12", "DFT^P03", "Bundle"]
    assert b"FT1|1|" in listener.frames[1]
    bundle = msgspec.json.decode(gateway.bodies[0])
    assert bundle["identifier"]["value"] == messages[2]["controlId"]


@pytest.mark.parametrize("answers", [["hang up"], ["another"], ["AE", "AE"], ["hang up", "AE"]])
async def test_the_same_bytes_are_sent_until_they_are_taken(listener, answers):
    listener.answers = list(answers)
    async with running(listener) as client:
        await client.post("/sim/cases", json=CASE)
        (message,) = await settled(client)
    assert message["status"] == "accepted"
    assert message["attempts"] == len(answers) + 1
    assert len(set(listener.frames)) == 1


async def test_a_gateway_that_was_away_gets_everything_in_order():
    late = Listener()
    await late.open()
    port = late.port
    await late.close()
    again = Listener()
    async with running(late) as client:
        await client.post("/sim/cases", json=CASE)
        await client.post("/sim/cases/CASE-42/usage", json=USED)
        await asyncio.sleep(0.05)
        assert late.frames == []
        await again.open(port)
        messages = await settled(client)
    await again.close()
    assert [frame.split(b"|")[9].decode() for frame in again.frames] == [
        message["controlId"] for message in messages
    ]


@pytest.mark.parametrize(("answers", "attempts"), [(["AR"], 1), (["AE"] * 9, 5)])
async def test_a_message_nobody_wants_is_left_and_the_next_goes_on(listener, answers, attempts):
    listener.answers = list(answers)
    async with running(listener) as client:
        await client.post("/sim/cases", json=CASE)
        (message,) = await settled(client)
        listener.answers = []
        await client.delete("/sim/cases/CASE-42")
        _, after = await settled(client)
    assert (message["status"], message["attempts"]) == ("refused", attempts)
    assert after["status"] == "accepted"


@pytest.mark.parametrize(
    ("answers", "status", "attempts"),
    [
        ([httpx.ConnectError("away"), 503, 429], "accepted", 4),
        ([401], "accepted", 2),
        ([422], "refused", 1),
        ([409], "refused", 1),
    ],
)
async def test_a_bundle_is_posted_until_it_is_taken_or_refused(listener, answers, status, attempts):
    gateway = Gateway()
    gateway.answers = list(answers)
    async with running(listener, gateway) as client:
        await client.post("/sim/cases", json=CASE)
        await client.post("/sim/cases/CASE-42/usage", json={**USED, "via": "fhir"})
        _, message = await settled(client)
    assert (message["status"], message["attempts"]) == (status, attempts)
    assert len(set(gateway.bodies)) == 1
    assert gateway.tokens == (2 if 401 in answers else 1)


async def test_a_message_can_be_sent_again_as_it_was(listener):
    async with running(listener) as client:
        control = (await client.post("/sim/cases", json=CASE)).json()["controlId"]
        await settled(client)
        assert (await client.post(f"/sim/resend/{control}")).status_code == 202
        await settled(client)
        assert (await client.post("/sim/resend/nobody")).status_code == 404
    assert len(listener.frames) == 2
    assert len(set(listener.frames)) == 1


async def test_the_control_door_names_no_patient(listener):
    async with running(listener) as client:
        told = [
            await client.post("/sim/cases", json=CASE),
            await client.post("/sim/cases/CASE-42/usage", json=USED),
            await client.get("/sim/messages"),
        ]
        await settled(client)
    (family,) = {frame.split(b"PID|")[1].split(b"|")[4].split(b"^")[0] for frame in listener.frames}
    assert family
    for answer in told:
        assert family not in answer.content
        assert b"MRN-" not in answer.content


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sim/cases", {"caseNumber": "X"}, 400),
        ("POST", "/sim/cases", CASE, 409),
        ("PUT", "/sim/cases/OTHER", {}, 404),
        ("DELETE", "/sim/cases/OTHER", None, 404),
        ("POST", "/sim/cases/OTHER/usage", USED, 404),
        ("POST", "/sim/cases/CASE-42/usage", {"lines": []}, 422),
        ("POST", "/sim/cases/CASE-42/usage", {"lines": [{"lot": "L"}]}, 422),
        ("POST", "/sim/faults", {"kind": "flood"}, 400),
    ],
)
async def test_a_wrong_order_to_the_hospital_is_refused(listener, method, path, body, status):
    async with running(listener) as client:
        await client.post("/sim/cases", json=CASE)
        assert (await client.request(method, path, json=body)).status_code == status
        await settled(client)


ITEM = {
    "resourceType": "ChargeItem",
    "status": "planned",
    "code": {"text": "stem"},
    "subject": {"identifier": {"value": "MRN-000001"}},
    "identifier": [{"system": "urn:x", "value": "k/1"}],
}
UNLESS = {"If-None-Exist": "identifier=urn%3Ax%7Ck%2F1"}


async def test_a_charge_item_is_created_once():
    async with running() as client:
        first = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        again = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        found = await client.get("/fhir/ChargeItem", params={"identifier": "urn:x|k/1"})
        one = await client.get(f"/fhir/ChargeItem/{first.json()['id']}")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == one.json()
    assert first.headers["location"].endswith(f"/fhir/ChargeItem/{first.json()['id']}/_history/1")
    assert found.json()["total"] == 1


async def test_without_the_condition_every_post_creates():
    async with running() as client:
        for _ in range(2):
            assert (await client.post("/fhir/ChargeItem", json=ITEM)).status_code == 201
        several = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        everything = await client.get("/fhir/ChargeItem")
        nothing = await client.get("/fhir/ChargeItem", params={"identifier": "urn:x|none"})
    assert several.status_code == 412
    assert everything.json()["total"] == 2
    assert nothing.json()["total"] == 0


@pytest.mark.parametrize(
    "item", [{}, {"resourceType": "Patient"}, {**ITEM, "subject": {}}, {**ITEM, "code": None}]
)
async def test_what_is_no_charge_item_is_unprocessable(item):
    async with running() as client:
        answer = await client.post("/fhir/ChargeItem", json=item)
        assert (answer.status_code, answer.json()["resourceType"]) == (422, "OperationOutcome")
        assert (await client.get("/fhir/ChargeItem/none")).status_code == 404


async def test_a_planned_fault_happens_once_and_may_have_committed():
    async with running() as client:
        for kind, times in (("before", 1), ("after-commit", 1), ("garbled", 1)):
            planned = {"kind": kind, "times": times}
            assert (await client.post("/sim/faults", json=planned)).status_code == 204
        before = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        assert (await client.get("/fhir/ChargeItem")).json()["total"] == 0
        after = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        garbled = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        well = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
        assert (await client.get("/fhir/ChargeItem")).json()["total"] == 1
    assert (before.status_code, after.status_code, well.status_code) == (500, 500, 200)
    assert not garbled.content.endswith(b"}")


async def test_the_server_asks_to_slow_down():
    async with running(limit="2/minute") as client:
        statuses = [
            (await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)).status_code
            for _ in range(2)
        ]
        slow = await client.post("/fhir/ChargeItem", json=ITEM, headers=UNLESS)
    assert statuses == [201, 200]
    assert slow.status_code == 429
    assert int(slow.headers["Retry-After"]) > 0


async def test_the_server_says_what_it_can_do():
    async with running() as client:
        said = (await client.get("/fhir/metadata")).json()
    assert said["fhirVersion"] == "4.0.1"
    assert said["rest"][0]["resource"][0]["conditionalCreate"] is True


async def test_an_answer_without_an_acknowledgement_is_no_answer(listener):
    listener.answers = ["AA|\rZZZ"]
    async with running(listener) as client:
        await client.post("/sim/cases", json=CASE)
        (message,) = await settled(client)
    assert message["answers"] == ["acknowledgement of another message", "AA"]
