"""Keys that clients publish at an address, read over real TLS: how often, and what is not taken."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx
import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OctKey, RSAKey

from canonical.errors import InvalidRequest, UpstreamRefused, UpstreamUnavailable
from gateway.authorization.addresses import KeyAddresses
from policies.aiohttp_transport import AiohttpTransport
from policies.oauth.client_keys import ClientKeys, public_keys
from policies.oauth.clients import new_client
from policies.public_addresses import public_socket


def jwk(kid, kind=ECKey, size="P-384", **more):
    return {**kind.generate_key(size).as_dict(private=False), "kid": kid, **more}


class Publisher:
    """A client's web server: what it serves, and how often it was asked."""

    def __init__(self):
        self.keys = [jwk("first")]
        self.asked = 0
        self.answer = None
        self.port = 0

    async def serve(self, _request):
        self.asked += 1
        if self.answer is not None:
            return self.answer()
        return web.Response(body=msgspec.json.encode({"keys": self.keys}))

    @property
    def address(self):
        return f"https://127.0.0.1:{self.port}/keys"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this machine, and who trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder


@pytest.fixture
async def publisher(certificate):
    made = Publisher()
    app = web.Application()
    app.router.add_get("/keys", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


class Reader:
    """A gateway's memory of keys, with a clock that a test moves."""

    def __init__(self, http):
        self.now = 1000.0
        self.addresses = KeyAddresses(http, 2.0)
        self.keys = ClientKeys(self.addresses.read, lambda: self.now)

    async def has(self, client, kid, algorithm="ES384"):
        return await self.keys.find(client, kid, algorithm) is not None


@pytest.fixture
async def reader(certificate):
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    transport = AiohttpTransport(tls=trusting, longest_body=65_536)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        yield Reader(http)


@pytest.fixture
def client(publisher):
    made, _ = new_client("partner", ("x",))
    return msgspec.structs.replace(made, jwks_uri=publisher.address)


async def test_keys_are_read_once_and_then_remembered(publisher, reader, client):
    for _ in range(5):
        assert await reader.has(client, "first")
    assert publisher.asked == 1
    reader.now += 299
    assert await reader.has(client, "first")
    assert publisher.asked == 1
    reader.now += 2
    assert await reader.has(client, "first")
    assert publisher.asked == 2


async def test_a_key_that_is_not_known_has_the_address_read_once_more_and_no_oftener(
    publisher, reader, client
):
    assert await reader.has(client, "first")
    reader.now += 11
    publisher.keys = [jwk("second"), *publisher.keys]
    assert await reader.has(client, "second")
    assert publisher.asked == 2
    for guess in range(50):
        assert not await reader.has(client, f"guess-{guess}")
    assert publisher.asked == 2
    reader.now += 11
    assert not await reader.has(client, "guess")
    assert publisher.asked == 3


async def test_a_publisher_that_fails_for_a_moment_does_not_lock_its_client_out(
    publisher, reader, client
):
    assert await reader.has(client, "first")
    reader.now += 400
    publisher.answer = lambda: web.Response(status=503)
    assert await reader.has(client, "first")
    assert not await reader.has(client, "never seen")
    reader.now += 3600
    assert not await reader.has(client, "first")


ANSWERS = {
    "text": lambda: web.Response(text="no keys"),
    "too long": lambda: web.Response(body=b"x" * 100_000),
    "a redirect": lambda: web.HTTPFound("https://127.0.0.1/elsewhere"),
    "not found": lambda: web.Response(status=404),
    "no key": lambda: web.json_response({"keys": []}),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_what_is_no_key_set_gives_no_keys(publisher, reader, client, answer):
    publisher.answer = answer
    assert not await reader.has(client, "first")
    assert publisher.asked <= 2


async def test_keys_are_read_over_https_from_public_addresses_only(publisher, reader):
    with pytest.raises(UpstreamRefused):
        await reader.addresses.read(publisher.address.replace("https", "http"))
    transport = AiohttpTransport(sockets=public_socket)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        for host in ("127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost"):
            with pytest.raises(UpstreamUnavailable):
                await KeyAddresses(http, 2.0).read(f"https://{host}:{publisher.port}/keys")
    assert publisher.asked == 0


@pytest.mark.parametrize(
    ("key", "algorithm", "fits"),
    [
        (jwk("k", size="P-384"), "ES384", True),
        (jwk("k", size="P-256"), "ES256", True),
        (jwk("k", RSAKey, 2048), "RS384", True),
        (jwk("k", size="P-256"), "ES384", False),
        (jwk("k", size="P-384"), "RS384", False),
        (jwk("k", size="P-384", alg="ES384"), "ES384", True),
        (jwk("k", size="P-384", alg="ES256"), "ES384", False),
    ],
)
async def test_a_key_verifies_only_the_algorithm_that_it_is_made_for(key, algorithm, fits):
    async def nowhere(_):
        raise AssertionError("the keys are in hand")

    made, _ = new_client("partner", ("x",))
    holder = msgspec.structs.replace(made, jwks=public_keys(msgspec.json.encode({"keys": [key]})))
    found = await ClientKeys(nowhere, lambda: 0.0).find(holder, "k", algorithm)
    assert (found is not None) == fits


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{}],
        [jwk("")],
        [{**jwk("a"), "kid": 7}],
        [jwk("a"), jwk("a")],
        [jwk("a", use="enc")],
        [jwk("a", size="P-521")],
        [{**jwk("a"), "x": "AA"}],
        [{**OctKey.generate_key(256).as_dict(), "kid": "a"}],
        [{**ECKey.generate_key("P-384").as_dict(private=True), "kid": "a"}],
        [jwk(str(number)) for number in range(21)],
        [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}],
    ],
)
def test_keys_that_prove_nothing_or_give_a_secret_away_are_refused(keys):
    with pytest.raises(InvalidRequest):
        public_keys(msgspec.json.encode({"keys": keys}))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[1]}', b"\xff"])
def test_what_is_no_key_set_is_refused(text):
    with pytest.raises(InvalidRequest):
        public_keys(text)
