"""A whole gateway behind TLS, over real sockets: HTTPS and MLLP, with certificates made here."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey

from gateway.authorization.book import ClientBook
from gateway.config import Config, ConfigurationRefused, Tls, load
from gateway.runtime import Running, Stores, open_stores, running_gateway
from ledger.database import fresh_database
from policies.oauth.clients import new_client
from standards.hl7v2.frames import Framer, frame
from tests.certificates import Authority, Issued
from tests.conftest import ROOT as PROJECT
from tests.security.proofs import proof

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/experience/v1/operations/transactions"
SCOPE = "experience.operations:read"


class Behind:
    def __init__(self, running: Running, authority: Authority, valkey: str) -> None:
        self.running, self.authority, self.valkey = running, authority, valkey

    def caller(self, shown: Issued | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.running.url,
            verify=self.authority.trusting(shown),
            trust_env=False,
            timeout=20,
        )

    async def acknowledged(self, context: ssl.SSLContext) -> bytes:
        """Send a message over MLLP and return the acknowledgement; b'' where there is none."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.running.mllp_port, ssl=context
        )
        writer.write(frame(b"MSH|^~\\&|EHR|NOWHERE|S|S|20260101||ADT^A01|1|P|2.5.1\r"))
        framer = Framer(65_536)
        try:
            async with asyncio.timeout(10):
                while chunk := await reader.read(65_536):
                    if found := framer.feed(chunk):
                        return found[0]
        except (ssl.SSLError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
        return b""


def behind_tls(config: Config, tls: Tls) -> Config:
    required = msgspec.structs.replace(tls, client_certificates="required")
    return msgspec.structs.replace(
        config,
        server=msgspec.structs.replace(config.server, port=0, tls=tls),
        mllp=msgspec.structs.replace(config.mllp, port=0, tls=required),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(state: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Behind]:
    authority = Authority(tmp_path_factory.mktemp("tls"), "ca")
    own = authority.issue("gateway", "server")
    tls = Tls(
        certificate=str(own.certificate),
        key=str(own.key),
        client_ca=str(authority.file),
        client_certificates="optional",
    )
    told = msgspec.structs.replace(load(PROJECT / "gateway.toml"), state_folder=str(state))
    async with open_stores(told) as stores:
        dsn = await fresh_database(stores.dsn, f"tls_{uuid.uuid4().hex}")
        empty = msgspec.structs.replace(stores, dsn=dsn)
        async with running_gateway(
            behind_tls(told, tls), ["api", "listener"], stores=empty
        ) as running:
            client, _ = new_client("ward", (SCOPE,))
            by_certificate = {"auth_method": "tls_client_auth", "tls_subject": "dns:ward"}
            await ClientBook(running.parts.ledger.clients).put(
                msgspec.structs.replace(client, **by_certificate)
            )
            yield Behind(running, authority, stores.valkey)


async def test_a_token_is_of_use_only_on_connections_with_its_certificate(behind: Behind):
    authority = behind.authority
    form = {"grant_type": "client_credentials", "client_id": "ward"}
    ward, dock = authority.issue("ward"), authority.issue("dock")
    async with behind.caller(ward) as http:
        issued = (await http.post("/oauth/token", data=form)).json()
        bearer = {"authorization": f"Bearer {issued['access_token']}"}
        assert (await http.get(PATH, headers=bearer)).status_code == 200
    for shown in (dock, None):
        async with behind.caller(shown) as http:
            assert (await http.get(PATH, headers=bearer)).status_code == 401
            assert (await http.post("/oauth/token", data=form)).status_code == 401


async def test_a_caller_learns_from_a_refusal_where_tokens_are_to_be_had(behind: Behind):
    async with behind.caller() as http:
        refused = await http.get(PATH)
        told = refused.headers["www-authenticate"]
        where = told.partition('resource_metadata="')[2].rstrip('"')
        assert where == f"{behind.running.url}/.well-known/oauth-protected-resource"
        resource = (await http.get(where)).json()
        assert resource["resource"] == behind.running.url
        [server] = resource["authorization_servers"]
        assert resource["tls_client_certificate_bound_access_tokens"] is True
        metadata = (await http.get(f"{server}/.well-known/oauth-authorization-server")).json()
        assert metadata["issuer"] == server
        assert metadata["token_endpoint"].startswith("https://")
        proving = resource["dpop_signing_alg_values_supported"]
        assert metadata["dpop_signing_alg_values_supported"] == proving


async def test_a_proof_is_made_for_the_address_of_the_listener(behind: Behind):
    key, clock = ECKey.generate_key("P-256"), behind.running.parts.clock
    where = f"{behind.running.url}/oauth/token"
    client, secret = new_client("prover", (SCOPE,))
    await ClientBook(behind.running.parts.ledger.clients).put(client)
    form = {"grant_type": "client_credentials"}
    async with behind.caller() as http:
        nonce = None
        for _ in range(2):  # the first proofs of a gateway's life need a nonce
            made = proof(key, "POST", where, clock().timestamp(), claims={"nonce": nonce})
            answer = await http.post(
                "/oauth/token", data=form, auth=("prover", secret), headers={"dpop": made}
            )
            nonce = answer.headers.get("dpop-nonce", nonce)
        issued = answer.json()
        assert issued["token_type"] == "DPoP"
        token = issued["access_token"]
        made = proof(
            key,
            "GET",
            behind.running.url + PATH,
            clock().timestamp(),
            token=token,
            claims={"nonce": nonce},
        )
        headers = {"authorization": f"DPoP {token}", "dpop": made}
        assert (await http.get(PATH, headers=headers)).status_code == 200
        assert (await http.get(PATH, headers=headers)).status_code == 401


async def test_hl7_is_acknowledged_over_tls_to_whoever_shows_a_certificate(
    behind: Behind, tmp_path: Path
):
    authority, stranger = behind.authority, Authority(tmp_path, "stranger")
    assert b"MSA|" in await behind.acknowledged(authority.trusting(authority.issue("ehr")))
    assert await behind.acknowledged(authority.trusting()) == b""
    assert await behind.acknowledged(authority.trusting(stranger.issue("thief"))) == b""
    with pytest.raises(OSError, match=r"."):
        await behind.acknowledged(stranger.trusting(authority.issue("careful")))


async def test_a_gateway_whose_certificate_cannot_be_read_does_not_start(behind: Behind):
    parts = behind.running.parts
    tls = msgspec.structs.replace(parts.config.server.tls, certificate="nowhere.pem")
    stores = Stores(dsn=parts.ledger.database.dsn, valkey=behind.valkey)
    with pytest.raises(ConfigurationRefused, match=r"nowhere\.pem"):
        async with running_gateway(behind_tls(parts.config, tls), ["api"], stores=stores):
            pass


async def test_without_callers_certificates_the_server_ends_tls_itself_and_takes_new_files(
    behind: Behind, tmp_path: Path
):
    parts, authority = behind.running.parts, Authority(tmp_path, "own-ca")
    own = authority.issue("gateway", "server")
    tls = Tls(certificate=str(own.certificate), key=str(own.key), reload_seconds=0.1)
    server = msgspec.structs.replace(parts.config.server, port=0, tls=tls)
    told = msgspec.structs.replace(parts.config, server=server)
    stores = Stores(dsn=parts.ledger.database.dsn, valkey=behind.valkey)
    async with running_gateway(told, ["api"], stores=stores) as running:
        assert running.url.startswith("https://")
        assert await served_certificate(running.url, authority) == own.der
        async with httpx.AsyncClient(verify=authority.trusting(), trust_env=False) as http:
            assert (await http.get(f"{running.url}/health/live")).status_code == 200
        renewed = authority.issue("gateway", "server")
        async with asyncio.timeout(20):
            while await served_certificate(running.url, authority) != renewed.der:
                await asyncio.sleep(0.05)


async def served_certificate(url: str, authority: Authority) -> bytes:
    host, _, port = url.removeprefix("https://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=authority.trusting())
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return found
