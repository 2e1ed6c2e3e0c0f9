"""`suture keys` as its user meets it, on a real ledger beside a process that goes on working."""

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from gateway.config import Config, ConfigurationRefused
from gateway.keys import ledger_keys
from gateway.runtime import Stores
from ledger.key_ring import KeyRing, read_ring, ring_text
from ledger.ledger import Ledger, open_ledger
from tests.gateway.installation import Installation
from tests.ledger.outside import flow, install, used


@pytest.fixture
def installation(tmp_path: Path, stores: Stores) -> Installation:
    return Installation(tmp_path, stores)


@pytest.fixture
def here(config: Config, tmp_path: Path) -> Config:
    return msgspec.structs.replace(config, state_folder=str(tmp_path))


async def run(story, need):
    return None


@pytest.fixture
async def replica(here: Config, stores: Stores) -> AsyncGenerator[Ledger]:
    """A process of this installation that receives documents all the while."""
    async with open_ledger(stores.dsn, secret=ledger_keys(here)) as ledger:
        install(ledger, flow(run))
        yield ledger


async def test_a_key_is_rotated_resealed_and_removed_under_a_replica_that_goes_on(
    installation: Installation, replica: Ledger
) -> None:
    first = await replica.messages.receive(used("1"))
    [old] = await installation.answer("keys", "list")
    assert (old["state"], old["values"]) == ("active", {"bodies": 1})

    rotated = await installation.answer("keys", "rotate")
    assert rotated["keys"] == [rotated["active"], old["id"]]
    second = await replica.messages.receive(used("2"))
    preview = await installation.answer("keys", "reseal", "--preview")
    assert preview["left"] == [{"what": "bodies", "key": old["id"], "values": 1}]

    code, said = await installation.suture("keys", "remove", old["id"])
    assert (code, "1 values are still sealed under this key" in said) == (1, True), said
    code, said = await installation.suture("keys", "reseal")
    assert (code, said.strip()) == (
        0,
        f"1 values resealed under {rotated['active']}; left: none",
    )
    keys = await installation.answer("keys", "list")
    assert [key["values"] for key in keys] == [{"bodies": 2}, {}]

    _let_time_pass(installation.ring)
    await installation.answer("keys", "remove", old["id"])
    for accepted, body in ((first, b"used 1"), (second, b"used 2")):
        assert (await replica.messages.kept(accepted.message)).body == body
    assert (await installation.suture("audit", "verify"))[0] == 0


def _let_time_pass(path: Path) -> None:
    ring = read_ring(path.read_bytes())
    keys = [msgspec.structs.replace(key, retired=key.retired and key.created) for key in ring.keys]
    earlier = [
        msgspec.structs.replace(key, retired=key.retired and key.retired.replace(year=2025))
        for key in keys
    ]
    path.write_bytes(ring_text(msgspec.structs.replace(ring, keys=tuple(earlier))))


async def test_a_missing_key_is_named_and_no_key_is_ever_printed(
    installation: Installation, replica: Ledger
) -> None:
    await replica.messages.receive(used("1"))
    lost = replica.keys.ring.active.id
    code, said = await installation.suture("keys", "list", "--json", SUTURE_KEY="another secret")
    assert code == 1
    assert {row["id"]: row["state"] for row in msgspec.json.decode(said)}[lost] == "missing"
    code, said = await installation.suture("keys", "reseal", SUTURE_KEY="another secret")
    assert code == 1
    assert f"the key {lost} that sealed a value is not in the key ring" in said
    assert "another secret" not in said


async def test_a_plain_secret_moves_into_a_ring_file_and_what_it_sealed_opens(
    installation: Installation, stores: Stores
) -> None:
    plain = {"SUTURE_KEY": "a secret from the environment"}
    async with open_ledger(stores.dsn, secret=plain["SUTURE_KEY"].encode()) as ledger:
        install(ledger, flow(run))
        accepted = await ledger.messages.receive(used("1"))
        pseudonym = ledger.vault.pseudonym("case", "EHR", "1")
    code, said = await installation.suture("keys", "rotate", **plain)
    assert (code, "name a file in SUTURE_KEY_RING_FILE" in said) == (1, True), said
    file = {"SUTURE_KEY_RING_FILE": str(installation.folder / "own.json")}
    assert (await installation.suture("keys", "rotate", **plain, **file))[0] == 0
    ring = KeyRing(read_ring((installation.folder / "own.json").read_bytes()))
    async with open_ledger(stores.dsn, secret=ring) as ledger:
        assert (await ledger.messages.kept(accepted.message)).body == b"used 1"
        assert ledger.vault.pseudonym("case", "EHR", "1") == pseudonym
    code, said = await installation.suture("keys", "list", SUTURE_KEY="not its secret", **file)
    assert (code, "is not the secret that the key ring began with" in said) == (2, True), said


async def test_the_secret_of_an_earlier_version_becomes_the_first_key_and_goes_with_it(
    installation: Installation, stores: Stores
) -> None:
    earlier = installation.folder / "keys" / "ledger.key"
    earlier.parent.mkdir()
    earlier.write_bytes(b"\xff a secret of an earlier version")
    async with open_ledger(stores.dsn, secret=earlier.read_bytes()) as ledger:
        install(ledger, flow(run))
        await ledger.messages.receive(used("1"))
    [old] = await installation.answer("keys", "list")
    assert old["values"] == {"bodies": 1}
    await installation.answer("keys", "rotate")
    await installation.answer("keys", "reseal")
    _let_time_pass(installation.ring)
    await installation.answer("keys", "remove", old["id"])
    assert [file.name for file in earlier.parent.iterdir()] == ["ring.json"]


async def test_the_doctor_tells_of_the_ring_and_of_one_that_others_can_read(
    installation: Installation,
) -> None:
    await installation.answer("keys", "rotate")

    async def finding(**environment: str) -> tuple[bool, str]:
        _, said = await installation.suture("doctor", "--json", **environment)
        [found] = [row for row in msgspec.json.decode(said) if row["check"] == "key ring"]
        return found["ok"], found["detail"]

    ok, said = await finding()
    assert (ok, said.startswith("2 keys, k")) == (True, True), said
    installation.ring.chmod(0o644)
    assert await finding() == (
        False,
        f"{installation.ring} is open to others; chmod 600 {installation.ring}",
    )
    assert (await finding(SUTURE_KEY="a plain secret"))[0]
    ok, said = await finding(SUTURE_KEY_RING='{"keys": []}')
    assert (ok, "SUTURE_KEY_RING does not hold" in said) == (False, True), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "remove"], "takes the id of a key"),
        (["keys", "rotate", "kabcdefg"], "takes the id of a key"),
        (["keys", "remove", "kaaaaaaa"], "not-found: no such key in the ring at kaaaaaaa"),
    ],
)
async def test_what_makes_no_sense_is_one_line_that_says_so(
    installation: Installation, words: list[str], said: str
) -> None:
    code, told = await installation.suture(*words)
    assert (code, said in told, "Traceback" in told) == (1, True, False), told


def test_a_ring_in_the_environment_counts_before_everything_else(
    here: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ledger_keys(here)
    monkeypatch.setenv("SUTURE_KEY_RING", ring_text(kept.ring).decode())
    given = ledger_keys(here)
    assert (given.ring, given.file) == (kept.ring, None)
    broken = ring_text(kept.ring).decode().replace('"active"', '"retired"')
    monkeypatch.setenv("SUTURE_KEY_RING", broken)
    with pytest.raises(ConfigurationRefused, match="exactly one key is active"):
        ledger_keys(here)
