"""`suture people`: who may sign in, and taking it back; `suture clients add` makes their apps."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.__main__ import main
from gateway.runtime import Stores
from ledger.ledger import open_ledger
from policies.oauth.passwords import is_password
from tests.gateway.installation import Installation

PASSWORD = "four small boats at noon"
SECRET = b"a secret of these tests, 32 byte"


class InProcess(Installation):
    """The command line without the seconds that each start of a program takes."""

    capsys: pytest.CaptureFixture[str]

    async def suture(self, *words: str, **environment: str) -> tuple[int, str]:
        named = ["--config", str(self.folder / "gateway.toml")]
        code = await asyncio.to_thread(main, [*words, *named])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    async def answer(self, *words: str) -> Any:
        code, said = await self.suture(*words, "--json")
        assert code == 0, said
        return msgspec.json.decode(said)


@pytest.fixture
def installation(
    tmp_path: Path,
    stores: Stores,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Installation:
    monkeypatch.setenv("SUTURE_DATABASE_URL", stores.dsn)
    monkeypatch.setenv("SUTURE_REDIS_URL", stores.valkey)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    made = InProcess(tmp_path, stores)
    made.capsys = capsys
    return made


async def kept(stores: Stores, person: str) -> str:
    async with open_ledger(stores.dsn, secret=SECRET) as ledger:
        return await ledger.people.find(person) or ""


async def test_a_person_is_added_changed_and_disabled(installation: Installation, stores: Stores):
    file = str(installation.folder / "password")
    add = ("people", "add", "alex", "--name", "Alex Example", "--role", "receiver")
    code, said = await installation.suture(*add, "--facility", "1710", "--password-file", file)
    assert code == 0, said
    body = await kept(stores, "alex")
    assert PASSWORD not in body
    assert is_password(body.split('"password":"')[1].split('"')[0], PASSWORD)
    shown = await installation.answer("people", "set", "alex", "--role", "buyer")
    assert (shown["roles"], shown["facilities"]) == (["buyer"], ["1710"])
    assert shown["hasPassword"]
    assert "password" not in shown
    shown = await installation.answer("people", "disable", "alex")
    assert shown["active"] is False
    _, said = await installation.suture("people")
    assert said.strip() == "alex  Alex Example  buyer  (disabled)"
    shown = await installation.answer("people", "enable", "alex")
    assert shown["active"] is True
    told = await installation.answer("people", "show", "alex")
    assert (told["sessions"], told["apps"]) == (0, [])


async def test_what_cannot_be_is_refused_with_what_to_do(installation: Installation):
    code, said = await installation.suture("people", "set-password", "nobody", "--password-stdin")
    assert (code, "suture people list" in said) == (1, True), said
    code, said = await installation.suture(
        "people", "add", "kim", "--name", "Kim", "--role", "king"
    )
    assert (code, "no such role: king" in said, "receiver" in said) == (1, True, True), said
    (installation.folder / "weak").write_text("kim-kim-kim-kim-kim")
    weak = ("--password-file", str(installation.folder / "weak"))
    code, said = await installation.suture("people", "add", "kim", "--name", "Kim", *weak)
    assert (code, "too easy to guess" in said) == (1, True), said
    assert "kim-kim" not in said
    code, said = await installation.suture("people", "add")
    assert (code, "takes no person" in said) == (1, True), said


async def test_an_app_of_people_is_made_and_its_id_is_nobodys_name(installation: Installation):
    add = ("clients", "add", "ward-app", "--scope", "experience.mobile:read", "--public")
    code, said = await installation.suture(*add, "--redirect-uri", "http://app.example/cb")
    assert (code, "address to return to" in said) == (1, True), said
    code, said = await installation.suture(*add)
    assert (code, "--redirect-uri" in said) == (1, True), said
    told = await installation.answer(*add, "--redirect-uri", "com.example.ward:/cb", "--device")
    assert told == {"clientId": "ward-app"}
    shown = await installation.answer("clients", "show", "ward-app")
    assert shown["redirectUris"] == ["com.example.ward:/cb"]
    assert "client_credentials" not in shown["grantTypes"]
    code, said = await installation.suture("people", "add", "ward-app", "--name", "Ward")
    assert (code, "has this id already" in said) == (1, True), said
    await installation.answer("people", "add", "kim", "--name", "Kim")
    code, said = await installation.suture("clients", "add", "kim")
    assert (code, "there is a person with this id" in said) == (1, True), said
