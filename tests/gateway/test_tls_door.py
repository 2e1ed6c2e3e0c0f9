"""HTTPS over real sockets: who calls is known by the handshake, and files change under it."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.config import ConfigurationRefused, Server, Tls
from gateway.ports import free_port
from gateway.serving import _http
from gateway.tls import TlsFiles
from gateway.tls_door import INNER_HOST, PROTOCOLS, TlsDoor
from policies.oauth.certificates import SHOWN
from tests.certificates import Authority, Issued

_BIG = 3_000_000


async def _told(scope, receive, send):
    """Tell the caller who it is, after everything it said."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    shown = scope["state"][SHOWN]
    said = {
        "scheme": scope["scheme"],
        "client": list(scope["client"]),
        "certificate": shown,
        "length": len(body),
    }
    answer = body if scope["path"] == "/echo" else msgspec.json.encode(said)
    length = str(len(answer)).encode()
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    await send(start)
    await send({"type": "http.response.body", "body": answer, "more_body": False})


class Hospital:
    """Two authorities: the hospital's, which the listener trusts, and somebody else's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "hospital-ca")
        self.stranger = Authority(folder, "stranger-ca")
        self.server = self.authority.issue("gateway", "server")

    def tls(self, **changed: str) -> Tls:
        settings = {
            "certificate": str(self.server.certificate),
            "key": str(self.server.key),
            "client_ca": str(self.authority.file),
            "client_certificates": "optional",
        }
        return Tls(**(settings | changed))


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


class Served:
    def __init__(self, port: int, inner: int, files: TlsFiles, hospital: Hospital) -> None:
        self.port, self.inner, self.files, self.hospital = port, inner, files, hospital

    def caller(self, shown: Issued | None = None, **options) -> httpx.AsyncClient:
        tls = options.pop("tls", None) or self.hospital.authority.trusting(shown)
        url = f"https://127.0.0.1:{self.port}"
        return httpx.AsyncClient(verify=tls, base_url=url, trust_env=False, timeout=20, **options)


@asynccontextmanager
async def served(hospital: Hospital, **changed: str) -> AsyncGenerator[Served]:
    files = TlsFiles(hospital.tls(**changed), PROTOCOLS)
    inner, port = free_port(INNER_HOST, 0), free_port("127.0.0.1", 0)
    door = TlsDoor(files, inner)
    async with _http(door.around(_told), Server(), INNER_HOST, inner):
        await door.start("127.0.0.1", port)
        try:
            yield Served(port, inner, files, hospital)
        finally:
            door.close()
    await door.stop()


async def test_a_caller_is_known_by_the_certificate_of_its_handshake(hospital: Hospital):
    ward, dock = hospital.authority.issue("ward"), hospital.authority.issue("dock")
    async with (
        served(hospital) as at,
        at.caller(ward) as one,
        at.caller(dock) as two,
        at.caller() as nobody,
    ):
        for _ in range(3):
            answers = await asyncio.gather(*(who.get("/") for who in (one, two, nobody)))
            told = [answer.json() for answer in answers]
            shown = [msgspec.convert(one["certificate"], bytes | None) for one in told]
            assert shown == [ward.der, dock.der, None]
            assert {one["scheme"] for one in told} == {"https"}
            assert len({one["client"][1] for one in told} - {at.inner}) == 3


async def test_who_has_to_show_a_certificate_and_does_not_is_not_let_in(hospital: Hospital):
    foreign = hospital.stranger.issue("foreign")
    async with served(hospital, client_certificates="required") as at:
        for shown in (None, foreign):
            async with at.caller(shown) as caller:
                with pytest.raises(httpx.TransportError):
                    await caller.get("/")
        async with at.caller(hospital.authority.issue("ward")) as caller:
            assert (await caller.get("/")).status_code == 200


async def test_a_certificate_of_a_stranger_is_refused_even_where_none_is_needed(hospital: Hospital):
    async with served(hospital) as at, at.caller(hospital.stranger.issue("foreign")) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.get("/")


async def test_nobody_gets_in_round_the_door(hospital: Hospital):
    async with served(hospital) as at, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{at.inner}/")
        assert (answer.status_code, answer.content) == (421, b"")


async def test_old_tls_is_refused(hospital: Hospital):
    old = hospital.authority.trusting()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with served(hospital) as at, at.caller(tls=old) as caller:
        with pytest.raises(httpx.ConnectError):
            await caller.get("/")


async def test_much_goes_both_ways_unchanged(hospital: Hospital):
    sent = bytes(range(256)) * (_BIG // 256)
    async with served(hospital) as at, at.caller() as caller:
        answers = await asyncio.gather(*(caller.post("/echo", content=sent) for _ in range(3)))
        assert all(answer.content == sent for answer in answers)


async def test_a_caller_who_leaves_in_the_middle_harms_nobody(hospital: Hospital):
    async with served(hospital) as at:
        for _ in range(5):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", at.port, ssl=hospital.authority.trusting()
            )
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
            await writer.drain()
            writer.transport.abort()
        async with at.caller() as caller:
            assert (await caller.get("/")).status_code == 200


async def test_new_files_are_used_for_new_connections_without_a_restart(hospital: Hospital):
    async with served(hospital, client_certificates="required") as at:
        ward = hospital.authority.issue("ward")
        async with at.caller(ward) as before:
            assert (await before.get("/")).status_code == 200
            renewed = Authority(hospital.folder, "next-ca")
            renewed.issue("gateway", "server")
            hospital.authority.file.write_bytes(renewed.file.read_bytes())
            assert at.files.reread()
            assert not at.files.reread()
            assert (await before.get("/")).status_code == 200  # who is in stays in
        async with at.caller(tls=renewed.trusting(renewed.issue("new-ward"))) as after:
            assert (await after.get("/")).status_code == 200
        async with at.caller(tls=renewed.trusting(ward)) as gone:
            with pytest.raises(httpx.TransportError):
                await gone.get("/")


async def test_files_that_do_not_fit_together_leave_the_last_good_ones_in_use(hospital: Hospital):
    async with served(hospital) as at:
        hospital.server.key.write_bytes(hospital.authority.issue("other").key.read_bytes())
        assert not at.files.reread()
        hospital.server.certificate.write_text("no certificate")
        assert not at.files.reread()
        async with at.caller() as caller:
            assert (await caller.get("/")).status_code == 200


@pytest.mark.parametrize("missing", ["certificate", "key", "client_ca"])
def test_files_that_cannot_be_read_are_named_at_the_start(hospital: Hospital, missing: str):
    with pytest.raises(ConfigurationRefused, match="nowhere"):
        TlsFiles(hospital.tls(**{missing: str(hospital.folder / "nowhere.pem")}))


def test_asking_for_certificates_without_an_authority_is_refused():
    for wrong in ({"client_ca": "ca.pem"}, {"client_certificates": "required"}):
        with pytest.raises(ValueError, match="said together"):
            Tls(certificate="a", key="b", **wrong)
