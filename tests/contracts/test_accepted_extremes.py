"""What keeps the contract and is still unusual: it is done, or somebody is told what is wrong."""

import time
from collections.abc import Iterator
from typing import Any

import httpx

QUANTITY = {"value": "2", "unit": "EA"}
USED = {
    "facility": "1710",
    "location": "OR01",
    "occurredAt": "2026-01-31T08:30:00Z",
    "procedure": "27447",
    "clinician": "S-1001",
}
LINE = {
    "codes": [{"scheme": "erp", "value": "CON-60001"}],
    "quantity": QUANTITY,
    "lot": "LCON001A",
}
WANTED = {
    "facility": "1710",
    "location": "OR01",
    "costCenter": "CC-OR-4711",
    "supplier": "17300002",
    "neededOn": "2030-01-31",
    "lines": [{"item": "CON-60001", "quantity": {"value": "2", "unit": "BX"}}],
}
AMOUNTS = ["-1", "0", "0.000001", "0.5", "999999999999.999999", 3]
TEXTS = [
    "\x01",
    "\x7f",
    "🦴" * 16,
    "'",
    '"',
    "%25",
    "' or '1'='1",
    "../..",
    "\u202e",
    "<b>&amp;",
    " ",
]
OURS = {"internal-fault", "upstream-garbled", "upstream-failed", "store-unavailable"}
"""Reasons of a task that no person of the hospital could do anything about."""
DAYS = ["0001-01-01", "1970-01-01", "9999-12-31"]


def extremes() -> Iterator[tuple[str, Any]]:
    """Yield documents that keep the contract as far as it goes, in each place once."""
    usage, requisition = "/process/v1/usage", "/process/v1/requisitions"
    for amount in AMOUNTS:
        yield usage, USED | {"lines": [LINE | {"quantity": {"value": amount, "unit": "EA"}}]}
        wanted = {"item": "CON-60001", "quantity": {"value": amount, "unit": "BX"}}
        yield requisition, WANTED | {"lines": [wanted]}
    for text in TEXTS:
        for field in ("lot", "serial", "reference"):
            yield usage, USED | {"lines": [LINE | {field: text}]}
        yield usage, USED | {"lines": [LINE | {"quantity": {"value": "1", "unit": text}}]}
        for field in ("encounter", "caseNumber", "procedure", "clinician"):
            yield usage, USED | {"lines": [LINE], field: text}
        for field in ("facility", "location", "costCenter", "supplier"):
            yield requisition, WANTED | {field: text}
    for day in DAYS:
        yield usage, USED | {"lines": [LINE | {"expires": day}]}
        yield requisition, WANTED | {"neededOn": day}
    for moment in ("1900-01-01T00:00:00+14:00", "2099-12-31T23:59:59.999999-14:00"):
        yield usage, USED | {"lines": [LINE], "occurredAt": moment}


def test_what_is_accepted_never_ends_in_a_fault_of_ours(client):
    """What the contract lets in is done, or refused by name to a person who can act on it."""
    handed_in = dict[str, Any]()
    for number, (path, body) in enumerate(extremes()):
        told = body if path.endswith("requisitions") else {"encounter": f"EXTREME-{number}"} | body
        answer = client.post(path, json=told)
        assert answer.status_code == 202, (body, answer.text)
        handed_in[answer.json()["transaction"]] = body
    ends = {
        transaction: [task["reason"] for task in _settled(client, transaction)["tasks"]]
        for transaction in handed_in
    }
    faults = [(handed_in[name], ends[name]) for name in ends if OURS & set(ends[name])]
    assert faults == []
    assert any(not reasons for reasons in ends.values()), "nothing of it could be done"


def _settled(client: httpx.Client, transaction: str) -> Any:
    """Return a transaction none of whose flows has anything to do at the moment."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        trace = client.get(f"/experience/v1/operations/transactions/{transaction}").json()
        if all(flow["status"] != "ready" for flow in trace["flows"]):
            return trace
        time.sleep(0.1)
    raise AssertionError(f"{transaction} is not settled within 30 s")
