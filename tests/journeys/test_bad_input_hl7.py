"""What senders really send over MLLP: broken, half, foreign. Each gets an answer or leaves a
reason, and the listener goes on.
"""

import asyncio
from collections.abc import Sequence

from gateway.demo.stage import Stage
from tests.journeys.front_doors import Floor, at_noon, ended

START, END = b"\x0b", b"\x1c\r"
ER7 = {"content-type": "x-application/hl7-v2+er7"}


def siu(
    control: str,
    *,
    kind: str = "SIU^S12^SIU_S12",
    charset: str = "UNICODE UTF-8",
    version: str = "2.8.2",
    sender: str = "GENERAL",
    procedure: str = "27130^Total^C4",
    room: str = "OR",
) -> str:
    """A hip case of an invented patient whose name needs a character set."""
    sides = f"SANDBOX-EHR|{sender}|SUTURE|GENERAL"
    start = at_noon(1).replace("-", "").replace(":", "")[:8] + "130000+0000"
    return "\r".join(
        (
            f"MSH|^~\\&|{sides}|20260101120000||{kind}|{control}|P|{version}||||||{charset}",
            f"SCH|C{control}|C{control}||||S12^Booked|{procedure}||||^^^{start}",
            "PID|1||MRN-000009^^^SANDBOX^MR||Testperson^Zoë",
            f"PV1|1|I|{room}||||||||||||||||V{control}",
            "RGS|1|A",
            f"AIS|1|A|{procedure}|{start}||||||Booked",
            f"AIL|1|A|{room}",
            "",
        )
    )


def framed(message: str, codec: str = "utf-8") -> bytes:
    return START + message.encode(codec) + END


async def said_over_mllp(stage: Stage, *chunks: bytes) -> list[bytes]:
    """Send the chunks on a connection of its own; return the frames that come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.running.mllp_port)
    got = b""
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        got = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        pass  # cut off by the listener: what counts is the reason it kept
    finally:
        writer.close()
    return [frame.removeprefix(START) for frame in got.split(END) if frame]


def verdict(answer: bytes) -> tuple[str, str]:
    """MSA-1 and the code of ERR-3."""
    segments = {line[:3]: line.split(b"|") for line in answer.split(b"\r") if line}
    error = segments.get(b"ERR", [b""] * 4)
    return segments[b"MSA"][1].decode(), error[3].split(b"^")[0].decode()


def without(segment: str, message: str) -> str:
    return "\r".join(line for line in message.split("\r") if not line.startswith(segment))


REFUSED: Sequence[tuple[str, bytes, str, str, str]] = (
    ("no MSH", framed("PID|1||X\r"), "AR", "100", "malformed-message"),
    ("another format", framed("<ClinicalDocument/>"), "AR", "100", "malformed-message"),
    ("ASCII is not", framed(siu("B1", charset="ASCII")), "AE", "102", "malformed-message"),
    ("undeclared", framed(siu("B2", charset=""), "latin-1"), "AE", "102", "malformed-message"),
    ("no such set", framed(siu("B3", charset="KLINGON")), "AE", "103", "unsupported-message"),
    ("ADT", framed(siu("B4", kind="ADT^A01^ADT_A01")), "AR", "200", "unsupported-message"),
    ("trigger", framed(siu("B5", kind="SIU^S99^SIU_S12")), "AR", "201", "unsupported-message"),
    ("version 3", framed(siu("B6", version="3.0")), "AR", "203", "unsupported-message"),
    ("no control id", framed(siu("")), "AE", "101", "malformed-message"),
    ("no schedule", framed(without("SCH", siu("B7"))), "AE", "101", "malformed-message"),
    ("no procedure", framed(siu("B8", procedure="")), "AE", "101", "malformed-message"),
    ("stranger", framed(siu("B9", sender="ELSEWHERE")), "AE", "204", "unknown-partner"),
    ("no such room", framed(siu("B10", room="MOON")), "AE", "204", "unknown-location"),
)
"""What it is, the frame, MSA-1, ERR-3, and the reason of the task."""


async def test_each_bad_message_gets_its_code_and_its_task_over_both_channels(stage: Stage):
    floor, before = Floor(stage), await Floor(stage).documents()
    for place, (what, frame, code, error, reason) in enumerate(REFUSED, start=1):
        answers = await said_over_mllp(stage, frame)
        assert [verdict(answer) for answer in answers] == [(code, error)], what
        tasks = await floor.tasks()
        assert len(tasks) == place, what
        assert (tasks[-1]["reason"], tasks[-1]["owner"]) == (reason, "integration"), what
        assert "Testperson" not in str(tasks[-1]), what

        again = await floor.send(
            stage.people["ehr"],
            "POST",
            "/system/v1/ehr/hl7v2",
            content=frame[1:-2].replace(b"|B", b"|H"),
            headers=ER7,
        )
        assert (again.status, verdict(again.raw)) == (200, (code, error)), what
        for task in (await floor.tasks())[place:]:
            await floor.resolve(task, "abandon", "the same over HTTP")
    assert await floor.documents() == before
    assert [verdict(a) for a in await said_over_mllp(stage, framed(siu("GOOD")))] == [("AA", "")]
    await floor.until("GOOD", ended("case-demand"), "the good one is worked on")


async def test_what_came_over_http_is_read_again_as_what_it_was(stage: Stage):
    floor = Floor(stage)
    for body in ("hello", siu("AGAIN", kind="ADT^A01^ADT_A01")):
        await floor.send(
            stage.people["ehr"], "POST", "/system/v1/ehr/hl7v2", content=body, headers=ER7
        )
        (task,) = await floor.tasks()
        assert (await floor.resolve(task, "retry")).status == 200
        (again,) = await floor.tasks()
        assert again["id"] != task["id"]
        assert (again["title"], again["reason"]) == (task["title"], task["reason"])
        assert (await floor.resolve(again, "abandon", "not for us")).status == 200


async def test_what_is_no_frame_leaves_a_reason_once_and_the_listener_goes_on(stage: Stage):
    floor = Floor(stage)
    whole = framed(siu("WHOLE"))
    for chunks, detail in (
        ((b"GET / HTTP/1.1\r\n\r\n",), "no MLLP frame"),
        ((b"\r\n", siu("RAW").encode()), "no MLLP frame"),
        ((whole[:-40],), "inside a frame"),
        ((whole[:-40],), "inside a frame"),
        ((START + b"A" * (1 << 20) + b"AA",), "too long"),
        ((START + b"A" * (1 << 20) + b"AA",), "too long"),
    ):
        assert await said_over_mllp(stage, *chunks) == []
        reasons = [task["detail"] for task in await floor.tasks() if task["kind"] == "refused"]
        assert detail in reasons[-1]
        assert len(reasons) == len(set(reasons)), "the same from the same peer is one open task"
        assert [verdict(a) for a in await said_over_mllp(stage, whole)] == [("AA", "")]

    cut = next(task for task in await floor.tasks() if "inside a frame" in task["detail"])
    assert cut["affected"] == "SANDBOX-EHR|GENERAL"
    assert (await floor.resolve(cut, "retry")).status == 400, "a half message is never read again"
    assert (await floor.resolve(cut, "acknowledge")).status == 200


async def test_however_it_is_cut_and_terminated_a_message_is_read_once(stage: Stage):
    floor = Floor(stage)
    for ending in ("\r", "\n", "\r\n"):
        name = ending.encode().hex()
        texts = (siu(f"CUT{name}{n}").replace("\r", ending) for n in (1, 2, 3))
        one, two, three = map(framed, texts)
        answers = await said_over_mllp(stage, one + two, *(bytes([b]) for b in three))
        assert [verdict(answer)[0] for answer in answers] == ["AA"] * 3
        told = [f"CUT{name}{n}".encode() in answer for n, answer in enumerate(answers, 1)]
        assert told == [True] * 3
        await floor.until(f"CUT{name}3", ended("case-demand"), "it is worked on")

    latin = siu("LATIN", charset="8859/1")
    answers = await said_over_mllp(stage, framed(latin, "latin-1"))
    assert [verdict(answer) for answer in answers] == [("AA", "")]
    await floor.until("LATIN", ended("case-demand"), "it is worked on")
    assert await floor.reserved("IMP-20001") == 10
    assert [task for task in await floor.tasks() if task["kind"] == "refused"] == []
