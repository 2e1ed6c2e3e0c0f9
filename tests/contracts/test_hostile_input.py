"""What no honest client sends: every answer is a named refusal, and never a fault of ours."""

import copy
import socket
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from gateway.openapi import TIERS, document
from tests.contracts.conftest import Served
from tests.contracts.raw_documents import seeds

QUANTITY = {"value": "2", "unit": "EA"}
BODIES: dict[str, Any] = {
    "/process/v1/requisitions": {
        "facility": "1710",
        "location": "OR01",
        "costCenter": "CC-SURG",
        "supplier": "17300001",
        "neededOn": "2030-01-31",
        "lines": [{"item": "CON-60001", "quantity": QUANTITY}],
    },
    "/process/v1/requisitions/req_1/decision": {"approved": False, "reason": "no"},
    "/process/v1/tasks/task_1/resolution": {"action": "retry", "reason": "again"},
    "/process/v1/usage": {
        "facility": "1710",
        "location": "OR01",
        "occurredAt": "2026-01-31T08:30:00Z",
        "encounter": "V-1",
        "lines": [{"codes": [{"scheme": "erp", "value": "CON-60001"}], "quantity": QUANTITY}],
    },
    "/process/v1/receipts": {
        "order": "4500000001",
        "receivedAt": "2026-01-31T08:30:00Z",
        "lines": [{"orderLine": 10, "quantity": QUANTITY}],
    },
    "/experience/v1/mobile/usage": {
        "facility": "1710",
        "location": "OR01",
        "occurredAt": "2026-01-31T08:30:00Z",
        "encounter": "V-2",
        "lines": [{"code": "CON-60001", "quantity": QUANTITY}],
    },
    "/experience/v1/mobile/receipts": {
        "order": "4500000001",
        "receivedAt": "2026-01-31T08:30:00Z",
        "lines": [{"code": "CON-60001", "quantity": QUANTITY}],
    },
}
RAW = {
    "/system/v1/ehr/hl7v2": ("x-application/hl7-v2+er7", "hl7v2_feed"),
    "/system/v1/ehr/fhir": ("application/fhir+json", "fhir_r4"),
    "/system/v1/edi/x12": ("application/edi-x12", "edi_x12"),
}
READS = [
    (path, list(operations["get"].get("parameters", ())))
    for tier in TIERS
    for path, operations in document(tier)["paths"].items()
    if "get" in operations
]


def refused(answer: httpx.Response, status: int, slug: str) -> Any:
    """Return the problem of an answer that must be this one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told = answer.json()
    assert (answer.status_code, told["type"]) == (status, f"urn:suture:problem:{slug}"), told
    assert told["correlationId"] == answer.headers["x-correlation-id"]
    return told


def texts(body: Any, where: str = "$") -> Iterator[tuple[str, Any, Any]]:
    """Yield the place of each free text in a body, and where to change it."""
    pairs = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in pairs:
        place = f"{where}.{key}" if isinstance(body, dict) else f"{where}[{key}]"
        if isinstance(value, dict | list):
            yield from texts(value, place)
        elif isinstance(value, str) and key not in _NO_TEXT:
            yield place, body, key


_NO_TEXT = {"value", "scheme", "action", "neededOn", "occurredAt", "receivedAt"}


@pytest.mark.parametrize("path", BODIES)
def test_a_nul_in_any_text_of_a_body_is_refused_with_its_place(path, client):
    places = [place for place, _, _ in texts(BODIES[path])]
    assert places
    for number, place in enumerate(places):
        body = copy.deepcopy(BODIES[path])
        _, owner, key = [*texts(body)][number]
        owner[key] = "a\0b"
        assert refused(client.post(path, json=body), 400, "invalid-request")["where"] == place


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_a_person_could_send_is_not_refused_for_its_form(path, client):
    """Otherwise the refusals above would prove nothing."""
    assert client.post(path, json=BODIES[path]).status_code in (200, 202, 404)


@pytest.mark.parametrize(("path", "parameters"), READS, ids=[path for path, _ in READS])
@pytest.mark.parametrize("nasty", ["%00", "a%00b", "%FF", "%ED%A0%80", "%C0%80", "%F4%90%80%80"])
def test_bytes_that_are_no_text_in_an_address_are_no_fault_of_ours(path, parameters, nasty, client):
    required = {
        each["name"]: "a" for each in parameters if each["in"] == "query" and each["required"]
    }
    for parameter in parameters:
        name, told = parameter["name"], path
        query = "&".join(f"{key}={value}" for key, value in required.items() if key != name)
        if parameter["in"] == "path":
            told = path.replace(f"{{{name}}}", nasty)
        else:
            query = f"{name}={nasty}&{query}"
        answer = client.get(f"{told}?{query}")
        assert answer.status_code < 500, (answer.url, answer.text)
        if "%00" in nasty:
            refused(answer, 400, "invalid-request")


BROKEN = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"approved": true, "reason": "\xff"}',
    "half a surrogate pair": b'{"approved": true, "reason": "\\ud800"}',
    "nested without end": b"[" * 200_000,
    "a number without end": b'{"approved": ' + b"9" * 100_000 + b"}",
    "a number beyond all": b'{"approved": 1e999999}',
    "not a number": b'{"approved": NaN}',
    "a byte order mark": b'\xef\xbb\xbf{"approved": true}',
    "a list": b"[]",
    "nothing said": b"null",
    "a text for a truth": b'{"approved": "true"}',
    "a number for a truth": b'{"approved": 1}',
    "a field that nobody knows": b'{"approved": true, "comment": "?"}',
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_body_that_cannot_be_read_is_refused(path, broken, client):
    headers = {"content-type": "application/json"}
    answer = client.post(path, content=BROKEN[broken], headers=headers)
    assert refused(answer, 400, "invalid-request")["where"].startswith("$")


@pytest.mark.parametrize("path", [*BODIES, *RAW])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"]
)
def test_another_kind_of_body_is_refused_with_the_kind_that_is_taken(path, kind, client):
    answer = client.post(path, content=b"{}", headers={"content-type": kind})
    told = refused(answer, 415, "unsupported-media-type")
    taken = RAW[path][0] if path in RAW else "application/json"
    assert told["expected"].startswith(taken)


def test_a_kind_with_parameters_or_none_at_all_is_taken(client):
    path, body = "/process/v1/usage", msgspec.json.encode(BODIES["/process/v1/usage"])
    for headers in ({"content-type": "Application/JSON; charset=utf-8"}, {}):
        assert client.post(path, content=body, headers=headers).status_code == 202


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        'application/json; a=b; charset="latin1"',
        "application/json; charset=utf-8; charset=utf-7",
    ],
)
def test_other_characters_than_those_of_json_are_refused(kind, client):
    path, body = "/process/v1/usage", msgspec.json.encode(BODIES["/process/v1/usage"])
    answer = client.post(path, content=body, headers={"content-type": kind})
    told = refused(answer, 415, "unsupported-media-type")
    assert told["expected"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown"])
@pytest.mark.parametrize("path", [*BODIES, *RAW])
def test_a_compressed_body_is_refused_before_it_unfolds(path, coding, client):
    bomb = zlib.compress(b" " * 50_000_000, 9, 31)
    answer = client.post(path, content=bomb, headers={"content-encoding": coding})
    refused(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("text/html, application/json;q=0.1", 200),
        ("application/*", 200),
        ("*/*;q=0.1", 200),
        ("", 200),
        ("text/html", 406),
        ("application/xml, text/*", 406),
    ],
)
def test_who_takes_no_answer_of_a_path_is_told_so(accept, status, client):
    answer = client.get("/experience/v1/operations/transactions", headers={"accept": accept})
    if status == 200:
        assert answer.status_code == 200
    else:
        assert refused(answer, 406, "not-acceptable")["expected"] == "application/json"


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/process/v1/tasks?" + "&".join(f"a{n}=1" for n in range(65)), 414, "address-too-long"),
        ("/process/v1/tasks?a=" + "a" * 8192, 414, "address-too-long"),
        ("/process/v1/tasks/" + "a" * 4096, 414, "address-too-long"),
    ],
)
def test_an_address_that_is_too_long_is_refused(path, status, slug, client):
    refused(client.get(path), status, slug)


def test_header_fields_that_are_too_many_or_too_large_are_refused(client):
    many = {f"x-{number}": "1" for number in range(70)}
    refused(client.get("/process/v1/tasks", headers=many), 431, "headers-too-large")
    refused(client.get("/process/v1/tasks", headers={"x": "a" * 16_384}), 431, "headers-too-large")


@pytest.mark.parametrize("path", BODIES)
def test_a_nest_or_a_crowd_in_a_body_is_refused_before_it_is_decoded(path, client):
    for body, expected in (
        (b'{"lines":' + b"[" * 40 + b"]" * 40 + b"}", "levels"),
        (b'{"lines":[' + b"0," * 20_000 + b"0]}", "members"),
        (b'{"reason":"' + b"a" * 1_100_000 + b'"}', "bytes"),
        (b"[" + b'"",' * 200_000 + b"0]", "100000"),
    ):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        told = refused(answer, 400, "invalid-request")
        assert (told["where"], expected in told["expected"]) == ("$", True)


def test_a_page_of_another_origin_is_not_let_in(client):
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/process/v1/usage", headers=asked)
    refused(answer, 403, "forbidden")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", RAW)
def test_an_empty_document_is_refused(path, client):
    refused(client.post(path, headers={"content-type": RAW[path][0]}), 400, "invalid-request")


@pytest.mark.parametrize("path", [*BODIES, *RAW])
def test_a_body_that_is_too_large_is_refused(path, client):
    answer = client.post(path, content=b" " * 4_200_000)
    refused(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    "value",
    ["NaN", "sNaN", "Infinity", "1e999999999", "1_000", "٣", " 1", "1\n", "", "+1", "1.", 1.5],
)
def test_an_amount_that_is_not_exact_is_refused_with_its_place(value, client):
    for path, body in BODIES.items():
        if "lines" in body:
            line = body["lines"][0] | {"quantity": {"value": value, "unit": "EA"}}
            answer = client.post(path, json=body | {"lines": [line]})
            told = refused(answer, 400, "invalid-request")
            assert told["where"] == "$.lines[0].quantity.value"


@pytest.mark.parametrize("value", ["0.000001", "-1", "999999999999.999999", 3, 3.0])
def test_an_amount_that_is_exact_is_taken(value, client):
    path = "/process/v1/receipts"
    line = {"orderLine": 10, "quantity": {"value": value, "unit": "EA"}}
    assert client.post(path, json=BODIES[path] | {"lines": [line]}).status_code == 202


@pytest.mark.parametrize(
    "moment",
    ["2026-01-31T08:30:00", "2026-01-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", 5],
)
def test_a_moment_without_zone_or_of_another_age_is_refused_with_its_place(moment, client):
    for path, body in BODIES.items():
        for name in {"occurredAt", "receivedAt"} & body.keys():
            told = refused(client.post(path, json=body | {name: moment}), 400, "invalid-request")
            assert told["where"] == f"$.{name}"


@pytest.mark.parametrize(
    "moment", ["", "5", "null", "2026-01-31", "2026-01-31T08:30:00", "0001-01-01T00:00:00%2B14:00"]
)
def test_a_moment_in_an_address_needs_its_zone(moment, client):
    answer = client.get(f"/experience/v1/security/audit-events?before={moment}")
    assert refused(answer, 400, "invalid-request")["where"] == "before"


@pytest.mark.parametrize("path", RAW)
def test_a_document_with_a_nul_anywhere_is_no_fault_of_ours(path, client):
    kind, folder = RAW[path]
    nul = b"\\u0000" if folder == "fhir_r4" else b"\0"
    for whole, place in [*_places(max(seeds(folder), key=len)), *_starts(seeds(folder))]:
        body = whole[:place] + nul + whole[place:]
        answer = client.post(path, content=body, headers={"content-type": kind})
        assert answer.status_code < 500, (body[:place], answer.text)


def _places(whole: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield places all over a document."""
    return ((whole, place) for place in range(0, len(whole), len(whole) // 60))


def _starts(documents: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the places where documents say what they are: ST01, MSH-9, resourceType."""
    for whole in documents:
        for name in (b"ST*", b"ADT", b"DFT", b"SIU", b'"resourceType": "', b'"id": "'):
            place = whole.find(name)
            if place >= 0:
                yield whole, place + len(name)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Idempotency-Key: \xff\xfe", 202),
        (b"Idempotency-Key: " + b"k" * 129, 400),
        (b"Authorization: Bearer \xff\xfe", 401),
        (b"Authorization: Bearer " + b"a" * 9000, 401),
        (b"Authorization: \x7f", 400),
        (b"X-Correlation-ID: \xff", 202),
        (b"traceparent: 00-\xff", 202),
        (b"Content-Type: \xff", 415),
        (b"Content-Length: -1", 400),
    ],
)
def test_bytes_that_are_no_text_in_a_header_are_no_fault_of_ours(header, status, served):
    assert _status(served, header) == status


def _status(served: Served, header: bytes) -> int:
    """Send one request byte by byte as written here: clients that help would not."""
    address = urlsplit(served.url)
    body = msgspec.json.encode(BODIES["/process/v1/usage"])
    name = header.partition(b":")[0].lower()
    usual = {
        b"host": b"127.0.0.1",
        b"authorization": f"Bearer {served.token}".encode(),
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"connection": b"close",
    }
    usual.pop(name, None)
    lines = [b"POST /process/v1/usage HTTP/1.1", header]
    lines += [key + b": " + value for key, value in usual.items()]
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=20) as wire:
        wire.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        return int(wire.recv(64).split(b" ")[1])


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE", "FROB"])
def test_a_method_that_a_path_does_not_take_is_named_with_those_it_takes(method, client):
    answer = client.request(method, "/process/v1/tasks")
    refused(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["allow"]
