"""The doctor finds what is wrong before it hurts, and says what to do."""

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.commands.doctor_checks import (
    certificates,
    disk,
    drift,
    key_files,
    ledger_findings,
    valkey_finding,
)
from gateway.config import Config, Upstream
from gateway.runtime import Stores
from ledger.alerts import Alert
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger, open_ledger

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATE = """
insert into flow (id, transaction_id, name, version, key, facts, status, run_at)
values ('flow_1', 'tx_1', 'x', '1', 'k', '{}', 'ready', now() - interval '1 hour')"""


async def found(ledger: Ledger) -> dict[str, tuple[bool, str]]:
    return {name: (ok, said) async for name, ok, said in ledger_findings(ledger)}


def test_clocks_that_are_apart_are_told_to_be_set():
    assert drift("clock of X", NOW, NOW + timedelta(seconds=1))[1]
    _, ok, said = drift("clock of X", NOW, NOW - timedelta(seconds=90))
    assert (ok, said) == (
        False,
        "90.000 s from this machine's; set both by NTP (chrony), then look again",
    )


def test_keys_that_others_may_read_and_a_full_disk_are_found(config: Config, tmp_path):
    told = msgspec.structs.replace(config, state_folder=str(tmp_path))
    assert [ok for _, ok, _ in key_files(told)] == [True, True]
    keys = tmp_path / "keys" / "signing.jwks"
    keys.parent.mkdir()
    keys.touch(mode=0o644)
    keys.chmod(0o644)
    name, ok, said = next(key_files(told))
    assert (name, ok) == ("signing keys", False)
    assert f"chmod 600 {keys}" in said
    assert disk(tmp_path / "not" / "yet")[1]


async def test_a_certificate_that_cannot_be_seen_is_a_finding(config: Config):
    nobody = Upstream(url="https://127.0.0.1:1/x")
    told = msgspec.structs.replace(config, upstreams={"erp": nobody})
    [(name, ok, said)] = [each async for each in certificates(told)]
    assert (name, ok) == ("certificate of erp", False)
    assert "check the address" in said


async def test_what_waits_what_is_broken_and_what_is_not_signed_has_a_next_step(stores: Stores):
    async with open_ledger(stores.dsn, secret=b"x" * 32) as ledger:
        assert [ok for ok, _ in (await found(ledger)).values()] == [True] * 5
        for _ in range(3):
            told = {"kind": "call", "actor": "a", "action": "GET /x", "outcome": "200"}
            await ledger.record(Evidence(**told))
        await ledger.database.run("update audit set actor = 'b' where seq = 2")
        await ledger.database.run("update audit set at = at - interval '1 hour' where seq = 1")
        await ledger.database.run(LATE)
        await ledger.watch.raise_alert(Alert("refusals", "a", "t", "d", "f", 60.0))
        bad = {name: said for name, (ok, said) in (await found(ledger)).items() if not ok}
    assert set(bad) == {"audit trail", "audit checkpoints", "backlog", "tasks"}
    assert "suture audit verify" in bad["audit trail"]
    assert "suture audit checkpoint" in bad["audit checkpoints"]
    assert "suture worker" in bad["backlog"]
    assert "/console/audit" in bad["tasks"]


async def test_a_valkey_that_is_away_is_a_finding_with_what_it_means(stores: Stores):
    assert [ok for _, ok, _ in await valkey_finding(stores.valkey)] == [True, True]
    [(_, ok, said)] = await valkey_finding("redis://127.0.0.1:1/0")
    assert not ok
    assert "limits are not counted" in said
