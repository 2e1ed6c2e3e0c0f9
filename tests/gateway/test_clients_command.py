"""`suture clients` and `suture signing-keys` as their user meets them."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.__main__ import main
from gateway.config import Config
from gateway.runtime import Stores
from ledger.ledger import Ledger, open_ledger
from policies.oauth.clients import OAuthClient, Wish, new_client
from policies.oauth.keys import signing_keys
from tests.gateway.installation import Installation
from tests.security.machines import Keys

READ, WRITE = "experience.operations:read", "process.usage:write"


class Operator:
    """Whoever types commands; each is run as the program runs it, in this process."""

    def __init__(
        self, folder: Path, environment: pytest.MonkeyPatch, said: pytest.CaptureFixture[str]
    ) -> None:
        self._named = ["--config", str(folder / "gateway.toml")]
        self._said = said
        self.environment = environment

    async def types(self, *words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, [*words, *self._named])
        told = self._said.readouterr()
        return code, told.out + told.err

    async def asks(self, *words: str) -> Any:
        code, said = await self.types(*words, "--json")
        assert code == 0, said
        return msgspec.json.decode(said)


@pytest.fixture
def operator(
    tmp_path: Path,
    stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Operator:
    for name, value in Installation(tmp_path, stores).environment.items():
        if name.startswith("SUTURE"):
            monkeypatch.setenv(name, value)
    return Operator(tmp_path, monkeypatch, capsys)


@pytest.fixture
async def ledger(stores: Stores, config: Config) -> AsyncGenerator[Ledger]:
    async with open_ledger(stores.dsn, secret=b"a secret of these tests, 32 byte") as opened:
        yield opened


async def kept(ledger: Ledger, name: str) -> OAuthClient:
    body = await ledger.clients.find(name)
    assert body is not None
    return msgspec.json.decode(body, type=OAuthClient)


async def test_a_client_is_added_shown_and_ended(operator: Operator, ledger: Ledger) -> None:
    code, said = await operator.types("clients", "list")
    assert (code, "suture clients add ID" in said) == (0, True)
    words = ("--scope", READ, "--scope", WRITE, "--facility", "1710", "--role", "buyer")
    made = await operator.asks(
        "clients", "add", "partner", *words, "--data-class", "supply", "--sla", "gold"
    )
    client = await kept(ledger, "partner")
    assert client.accepts(made["clientSecret"])
    assert (client.scopes, client.facilities, client.roles) == (
        (READ, WRITE),
        ("1710",),
        ("buyer",),
    )
    assert (client.data_classes, client.sla) == (("supply",), "gold")

    code, said = await operator.types("clients", "show", "partner")
    assert (code, made["clientSecret"] in said, "tier gold" in said) == (0, False, True)
    [row] = await operator.asks("clients")
    assert (row["clientId"], row["active"], row["scopes"]) == ("partner", True, [READ, WRITE])
    assert client.secret_hash not in str(row)

    code, said = await operator.types("clients", "add", "partner")
    assert (code, "next: suture clients show partner" in said) == (1, True)
    await operator.asks("clients", "disable", "partner")
    assert not (await kept(ledger, "partner")).active
    code, said = await operator.types("clients", "list")
    assert "disabled" in said
    await operator.asks("clients", "enable", "partner")
    assert (await kept(ledger, "partner")).active
    assert (await operator.types("audit", "verify"))[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "nobody"), "suture clients list"),
        (("disable", "nobody"), "suture clients list"),
        (("show",), "suture clients show ID"),
        (("list", "partner"), "suture clients list"),
        (("disable", "partner", "--scope", READ), "add or promote"),
        (("promote", "partner"), "suture clients show partner"),
        (("keys", "partner"), "--jwks or --jwks-uri"),
        (("keys", "partner", "--jwks-uri", "http://keys.test/"), "an https address"),
        (("keys", "partner", "--jwks", "/nothing/here"), "/nothing/here"),
        (("add", "two words"), "letters, digits, dots"),
        (("add", "new", "--scope", "two words"), "without spaces"),
    ],
)
async def test_a_mistake_is_told_with_what_to_do(
    operator: Operator, ledger: Ledger, words: tuple[str, ...], says: str
) -> None:
    client, _ = new_client("partner", (READ,))
    await ledger.clients.put("partner", msgspec.json.encode(client).decode())
    code, said = await operator.types("clients", *words)
    assert (code, says in said) == (1, True), said
    assert "Traceback" not in said


async def test_a_registered_client_is_promoted_to_what_it_asked_for_and_no_more(
    operator: Operator, ledger: Ledger
) -> None:
    wish = Wish(scopes=(READ, WRITE), data_classes=("supply", "phi"))
    client, _ = new_client(f"reg-{uuid.uuid4().hex[:8]}", (READ,), ("sandbox",))
    client = msgspec.structs.replace(client, sla="sandbox", wish=wish)
    name = client.client_id
    await ledger.clients.put(name, msgspec.json.encode(client).decode())

    code, said = await operator.types("clients", "show", name)
    assert f"asked for: {READ} {WRITE}" in said
    assert f"next: suture clients promote {name}" in said
    code, said = await operator.types("clients", "promote", name)
    assert (code, "--facility ID, or --every-facility" in said) == (1, True)
    code, said = await operator.types("clients", "promote", name, "--scope", "admin:write")
    assert code == 1
    words = ("promote", name, "--facility", "1710", "--scope", READ, "--data-class", "supply")
    row = await operator.asks("clients", *words)
    assert (row["scopes"], row["facilities"], row["sla"]) == ([READ], ["1710"], "standard")
    assert (await kept(ledger, name)).data_classes == ("supply",)
    assert (await operator.types("clients", "promote", name))[0] == 1


async def test_a_secret_is_rotated_and_a_client_moves_on_to_keys(
    operator: Operator, ledger: Ledger, tmp_path: Path
) -> None:
    client, old = new_client("partner", (READ,))
    await ledger.clients.put("partner", msgspec.json.encode(client).decode())
    told = await operator.asks("clients", "rotate-secret", "partner", "--overlap-hours", "2")
    client = await kept(ledger, "partner")
    assert client.earlier_secret is not None
    ends = client.earlier_secret.until
    assert client.accepts(told["clientSecret"], ends)
    assert client.accepts(old, ends - 1)
    assert not client.accepts(old, ends)
    code, said = await operator.types("clients", "show", "partner")
    assert f"old secret until: {told['oldSecretUntil']}" in said

    (tmp_path / "public.json").write_bytes(Keys().public())
    row = await operator.asks("clients", "keys", "partner", "--jwks", str(tmp_path / "public.json"))
    assert (row["authMethod"], row["keys"]) == ("private_key_jwt", ["es384", "es256", "rs384"])
    client = await kept(ledger, "partner")
    assert not client.accepts(told["clientSecret"], 0.0)
    code, said = await operator.types("clients", "rotate-secret", "partner")
    assert (code, "suture clients keys partner" in said) == (1, True)


async def test_signing_keys_are_listed_rotated_and_removed(
    operator: Operator, tmp_path: Path
) -> None:
    [old] = await operator.asks("signing-keys")
    assert old["state"] == "signs"
    code, said = await operator.types("signing-keys", "remove", old["kid"])
    assert (code, "suture signing-keys rotate" in said) == (1, True)
    rows = await operator.asks("signing-keys", "rotate", "--lead-seconds", "0")
    assert [row["state"] for row in rows] == ["signs", "verifies"]
    assert (rows[1]["kid"], bool(rows[1]["verifiesUntil"])) == (old["kid"], True)
    await operator.asks("signing-keys", "remove", old["kid"])
    path = tmp_path / "keys" / "signing.jwks"
    assert signing_keys(path).ids == (rows[0]["kid"],)
    assert '"d"' in path.read_text()
    code, said = await operator.types("signing-keys", "remove", old["kid"])
    assert (code, "suture signing-keys list" in said) == (1, True)
    assert (await operator.types("audit", "verify"))[0] == 0


async def test_a_client_may_prove_itself_by_its_certificate_and_have_its_tokens_bound(
    operator: Operator, ledger: Ledger
):
    words = ("clients", "add", "ward", "--scope", READ, "--tls-subject", "dns:ward.example")
    code, said = await operator.types(*words, "--bind", "dpop", "--bind", "certificate")
    assert code == 0, said
    kept = await ledger.clients.find("ward")
    assert kept is not None
    client = msgspec.json.decode(kept, type=OAuthClient)
    assert (client.auth_method, client.tls_subject) == ("tls_client_auth", "dns:ward.example")
    assert (client.binds, client.secret_hash) == (("dpop", "certificate"), "")
    code, said = await operator.types("clients", "add", "dock", "--tls-subject", "dock")
    assert code != 0
    assert "dns:NAME" in said
