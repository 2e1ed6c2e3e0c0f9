"""`suture inspect` as its user meets it: what it prints, exits with and writes into its report."""

import argparse
import io
import os
import sys
from pathlib import Path

import msgspec
import pytest

from gateway.commands import inspect as command
from gateway.inspection import documents
from tests.programs import run_program

TAG = "ZZTAGGEDPERSON"
ORU = (
    "MSH|^~\\&|LAB|NORTH|||20260401080000||ORU^R01|M3|P|2.5.1\n"
    f"PID|1||0042||{TAG}^INVENTED\nOBR|1|||GLU^Glucose\nOBX|1|NM|GLU||5.1\n"
)
SIU = (
    "MSH|^~\\&|EHR|NORTH|SUTURE|NORTH|20260401080000||SIU^S12|M1|P|2.5.1\n"
    f"SCH|CASE1\nPID|1||0042^^^NORTH^MR||{TAG}^INVENTED\n"
    "AIS|1||27447^Total knee replacement|202604020730\nAIL|1||OR^3\n"
)
BROKEN = SIU.replace("AIL|1||OR^3\n", "")
ORDER = (
    "ISA*00*          *00*          *ZZ*NORTHFIELD     *ZZ*HOSPITAL       "
    "*260105*0900*U*00401*000000007*0*P*>~GS*PO*NORTHFIELD*HOSPITAL*20260105*0900*7*X*004010~"
    "ST*850*0001~BEG*00*SA*4500000001**20260104~PO1*1*10*EA*4.5**VN*SKU-1~CTT*1~SE*5*0001~"
    "GE*1*7~IEA*1*000000007~"
)
PATIENT = f'{{"resourceType":"Patient","name":[{{"family":"{TAG}"}}],"status":"{TAG}"}}'
CRASH = "MSH|crash"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "lab/a.hl7": ORU,
        "lab/b.txt": ORU,
        "lab/broken.hl7": BROKEN,
        "lab/case.hl7": SIU,
        "orders/order": ORDER,
        "people/patient.json": PATIENT,
        "index.csv": "file,licence\n",
        "LICENSES/MIT": "Permission is hereby granted\n",
        "schema.json": '{"definitions": {}}',
        "cxml/order.xml": "<cXML/>",
        ".hidden/c.hl7": ORU,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def suture_inspect(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def defect(monkeypatch):
    """A codec with a defect: it breaks on one document, and reads all others."""
    sound = documents._READERS["HL7"]

    def contents(body: bytes):
        if body.startswith(CRASH.encode()):
            raise ZeroDivisionError(TAG)
        return sound(body)

    monkeypatch.setitem(documents._READERS, "HL7", contents)


def test_a_document_is_printed_in_canonical_words(folder, capsys):
    assert suture_inspect(folder / "lab/case.hl7") == 0
    out = capsys.readouterr().out
    assert "HL7 SIU^S12 read" in out
    assert '"procedure": "27447"' in out
    assert '"patientContext": "sealed"' in out


def test_a_refusal_is_printed_with_its_name_place_and_expectation(folder, capsys):
    assert suture_inspect(folder / "lab/broken.hl7", folder / "lab/a.hl7") == 1
    out = capsys.readouterr().out
    assert "malformed-message at AIL-3: a required field is empty\n  expected: a location" in out
    assert "HL7 ORU^R01 read\n  version 2.5.1\n  segments: MSH 1, PID 1, OBR 1, OBX 1" in out


@pytest.mark.usefixtures("defect")
def test_a_crash_is_named_and_exits_with_two(tmp_path, capsys):
    (tmp_path / "bad.hl7").write_text(CRASH)
    assert suture_inspect(tmp_path / "bad.hl7") == 2
    out = capsys.readouterr().out
    assert "bad.hl7: HL7 untyped crashed\n  ZeroDivisionError escaped" in out
    assert TAG not in out


def test_json_says_every_verdict_in_full(folder, capsys):
    assert suture_inspect(folder / "lab/case.hl7", folder / "lab/broken.hl7", "--json") == 1
    found = msgspec.json.decode(capsys.readouterr().out)
    case, broken = found["files"]
    assert (case["verdict"], case["format"], case["type"]) == ("read", "HL7", "SIU^S12")
    assert case["messages"][0]["canonical"][0]["object"] == "SurgicalCase"
    assert broken["failure"] == {
        "slug": "malformed-message",
        "detail": "a required field is empty",
        "where": "AIL-3",
        "expected": "a location",
    }
    assert found["totals"] == {"read": 1, "refused": 1, "crashed": 0}


def test_standard_input_is_read(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ORDER.encode())))
    assert suture_inspect("-") == 0
    assert "standard input: X12 850 read" in capsys.readouterr().out


def test_what_is_not_there_or_cannot_be_opened_is_a_usage_error(folder, capsys):
    assert suture_inspect(folder / "nothing.hl7") == 2
    assert "there is nothing at" in capsys.readouterr().err
    assert suture_inspect(folder, "--report", folder / "index.csv" / "report.json") == 2
    assert "index.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        suture_inspect()
    assert left.value.code == 2


def test_a_named_file_is_judged_and_in_a_folder_the_same_file_is_left_out(folder, capsys):
    assert suture_inspect(folder / "cxml/order.xml") == 1
    refused = capsys.readouterr().out
    assert "cXML refused\n  unsupported-message: cXML: recognised, not read yet" in refused
    assert suture_inspect(folder / "cxml", "--json") == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    assert (found["files"], found["leftOut"]) == ([], {"cXML": 1})


def test_the_table_counts_by_type_and_refusals_do_not_fail_it(folder, capsys):
    assert suture_inspect(folder, "--table") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["HL7", "ORU^R01", "2", "0", "0"] in rows
    assert ["HL7", "SIU^S12", "1", "1", "0", "malformed-message", "1"] in rows
    assert ["X12", "850", "1", "0", "0"] in rows
    assert ["All", "5", "1", "0"] in rows
    assert ["left", "out:", "1", "(cXML)"] in rows
    assert " ".join(rows[-1]).startswith(
        "6 documents, 6 messages: 5 read, 1 refused, 0 crashed in "
    )


def test_the_report_adds_up(folder, capsys):
    path = folder / "new" / "report.json"
    assert suture_inspect(folder, "--table", "--report", path) == 0
    report = msgspec.json.decode(path.read_bytes())
    assert report["totals"] == {"read": 5, "refused": 1, "crashed": 0}
    assert report["types"]["HL7 SIU^S12"] == {
        "read": 1,
        "refused": {"malformed-message": 1},
        "crashed": 0,
    }
    assert (report["files"], report["messages"]) == (6, 6)
    assert report["leftOut"] == {
        "cXML": 1,
        "neither HL7 v2, X12 nor FHIR": 2,
        "other JSON": 1,
    }
    assert report["seconds"] >= 0
    (incident,) = report["incidents"]
    assert incident["file"].endswith("broken.hl7")
    assert (incident["slug"], incident["where"]) == ("malformed-message", "AIL-3")
    assert TAG not in str(report) + capsys.readouterr().out


@pytest.mark.usefixtures("defect")
def test_a_crash_fails_the_table_and_is_listed_by_file(folder, capsys):
    (folder / "lab/crash.hl7").write_text(CRASH)
    assert suture_inspect(folder, "--table", "--json") == 2
    report = msgspec.json.decode(capsys.readouterr().out)
    assert report["totals"] == {"read": 5, "refused": 1, "crashed": 1}
    assert report["types"]["HL7 untyped"] == {"read": 0, "refused": {}, "crashed": 1}
    assert suture_inspect(folder, "--table") == 2
    assert "crash.hl7: ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_a_file_below_a_folder_that_may_not_be_opened_is_left_out(folder, capsys):
    (folder / "lab/a.hl7").chmod(0)
    assert suture_inspect(folder, "--json") == 1
    assert msgspec.json.decode(capsys.readouterr().out)["leftOut"]["cannot be opened"] == 1
    assert suture_inspect(folder / "lab/a.hl7") == 2


def test_second_opinions_are_shown_beside_the_verdict_and_counted(folder, capsys):
    assert suture_inspect(folder / "orders", folder / "people", "--validate") == 0
    out = capsys.readouterr().out
    assert "pyx12: agree (envelopes in order; no map for 850)" in out
    assert "fhir.resources: disagree (R4B: $.…: extra_forbidden)" in out
    assert suture_inspect(folder, "--validate", "--table", "--json") == 0
    opinions = msgspec.json.decode(capsys.readouterr().out)["secondOpinions"]
    assert sum(opinions["hl7apy"].values()) == 4
    assert opinions["pyx12"] == {"agree": 1}


@pytest.mark.parametrize("words", [(), ("--json",), ("--validate",), ("--validate", "--json")])
def test_no_value_of_a_patient_is_ever_printed(folder, capfd, words):
    suture_inspect(folder, *words)
    printed = capfd.readouterr()
    assert "ORU^R01" in printed.out
    assert TAG not in printed.out + printed.err


def test_it_runs_from_the_command_line_with_its_judges_beside_it(folder):
    words = [sys.executable, "-m", "gateway", "inspect", folder, "--validate", "--json"]
    done = run_program(words, within=60)
    assert done.returncode == 1, done.stderr
    found = msgspec.json.decode(done.stdout)
    assert found["totals"] == {"read": 5, "refused": 1, "crashed": 0}
    assert all("secondOpinion" in one for file in found["files"] for one in file["messages"])
    assert TAG not in done.stdout + done.stderr
