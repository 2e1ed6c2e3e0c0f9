"""The last line of defence: no log record says who somebody is, whichever logger made it."""

import asyncio
import io
import logging

import msgspec
import pytest

from canonical.request import CALL, RequestFacts
from gateway.config import Observability
from gateway.logs import _Lines
from gateway.masking import Masking
from gateway.openapi import document

ZOE = "Zoë-Tagged"


@pytest.fixture
def written():
    """What the log says at DEBUG, of every logger."""
    out = io.StringIO()
    listening = logging.StreamHandler(out)
    listening.setFormatter(_Lines())
    root, level, before = (
        logging.getLogger(),
        logging.getLogger().level,
        logging.getLogRecordFactory(),
    )
    root.addHandler(listening)
    root.setLevel(logging.DEBUG)
    Masking(("HOSP[0-9]+",)).install()
    yield out
    logging.setLogRecordFactory(before)
    root.setLevel(level)
    root.removeHandler(listening)


@pytest.mark.parametrize(
    "text",
    [
        f"PID|1||123^^^GENERAL^MR||{ZOE}^Jane\rPV1|1|I",
        f"refused b'MSH|^~\\\\&|A\\rPID|1||123||{ZOE}^Jane\\rPV1|1'",
        f"NM1*IL*1*{ZOE}*JANE****MI*123~DMG*D8*19700101",
        f'{{"resourceType":"Patient","name":[{{"family":"{ZOE}","given":["{ZOE}"]}}]}}',
        f"{{'family': '{ZOE}', 'id': 1}}",
        f'"birthDate": "{ZOE}"',
        f"patient_name={ZOE} mrn={ZOE}; encounter: {ZOE}",
        f'{{"patientId":"{ZOE}","caseNumber":"{ZOE}"}}',
        f"see Patient/{ZOE.replace('ë', 'e')} of the bundle",
        f"it is phi{{{ZOE}}} alone",
        f"https://user:{ZOE}@host/path",
        f"client_secret={ZOE}&grant_type=x",
    ],
)
def test_what_names_a_person_or_opens_a_door_is_masked(text, written):
    logging.getLogger("suture.anything").warning(text)
    logging.getLogger("asyncpg").debug("%s", text)
    assert ZOE not in written.getvalue()
    assert ZOE.replace("ë", "e") not in written.getvalue()
    assert written.getvalue().count("…") >= 2


@pytest.mark.parametrize(
    "text", ["123-45-6789", "MRN-000123", "MRN: 77123", "HOSP4711", "Bearer abcdef.ghij-kl_mn"]
)
def test_numbers_of_people_and_tokens_are_masked(text, written):
    logging.getLogger("asyncio").info("seen %s here", text)
    assert text not in written.getvalue()
    assert "seen" in written.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "audit checkpoint 17:ab12",
        "GET /experience/v1/operations/transactions answered 200 in 12 ms",
        "order 4500000001 of 2026-11-21 for facility 1710",
        "no connection to 127.0.0.1:5432",
        "flow flow_01kap let go: LeaseLost",
    ],
)
def test_what_operators_need_stays(text, written):
    logging.getLogger("suture").warning(text)
    assert text in written.getvalue()


def test_a_traceback_is_masked_too(written):
    def fail():
        raise ValueError(f"cannot read PID|1||123||{ZOE}^Jane")

    try:
        fail()
    except ValueError:
        logging.getLogger("asyncio").exception("task failed")
    line = msgspec.json.decode(written.getvalue())
    assert ZOE not in line["fault"]
    assert "in fail" in line["fault"]


async def test_a_line_says_which_call_and_which_transaction_it_is_about(written):
    async def call(name: str):
        CALL.set(RequestFacts(correlation_id=name, transaction=f"tx_{name}"))
        await asyncio.sleep(0)
        logging.getLogger("suture").warning("in %s", name)

    await asyncio.gather(call("one"), call("two"))
    logging.getLogger("suture").warning("outside")
    lines = [msgspec.json.decode(line) for line in written.getvalue().splitlines()]
    told = {line["message"]: (line.get("correlationId"), line.get("transaction")) for line in lines}
    assert told["in one"] == ("one", "tx_one")
    assert told["in two"] == ("two", "tx_two")
    assert told["outside"] == (None, None)


def test_a_mask_that_is_no_pattern_is_refused_with_its_text():
    with pytest.raises(ValueError, match=r"\(unclosed"):
        Observability(mask=("(unclosed",))


def test_describing_the_apis_leaves_the_log_as_it_is(written):
    document("system")
    logging.getLogger("suture.after").debug("still here")
    assert "still here" in written.getvalue()
