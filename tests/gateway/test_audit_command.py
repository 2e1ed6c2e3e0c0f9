"""`suture audit` from outside: shown, exported, carried away, verified where nothing else is."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from gateway.__main__ import main
from gateway.config import Config
from gateway.keys import ledger_keys
from gateway.runtime import Stores
from ledger.audit.evidence import Evidence
from ledger.ledger import open_ledger
from tests.ledger.outside import Need, flow, install, used
from tests.programs import ROOT, Done, run_program

Run = Callable[..., Done]


async def unmoved(_story: object, _facts: Need) -> None:
    """Be started; nobody runs it here."""


@pytest.fixture
async def transaction(config: Config, stores: Stores, tmp_path: Path) -> str:
    """A ledger that a document came to, and a person decided on, in an installation of its own."""
    shutil.copy(ROOT / "gateway.toml", tmp_path / "gateway.toml")
    own = msgspec.structs.replace(config, state_folder=str(tmp_path / ".suture"))
    async with open_ledger(stores.dsn, secret=ledger_keys(own)) as ledger:
        install(ledger, flow(unmoved))
        accepted = await ledger.messages.receive(used("4711"))
        [of] = accepted.transactions
        for kind, action in (
            ("approval", "resolve task: accept"),
            ("access", "patient context opened"),
            ("transformation", "purchase order in the ERP"),
        ):
            await ledger.record(
                Evidence(kind=kind, actor="pat", action=action, outcome="done", transaction=of)
            )
    return of


@pytest.fixture
def suture(
    stores: Stores,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command of this installation."""
    monkeypatch.setenv("SUTURE_DATABASE_URL", stores.dsn)
    monkeypatch.setenv("SUTURE_REDIS_URL", stores.valkey)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        capsys.readouterr()
        try:
            code = main(["audit", *words])
        except SystemExit as refused:
            code = int(str(refused.code))
        out, err = capsys.readouterr()
        return Done(code, str(out), str(err))

    return run


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody who has nothing but the program."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def offline(elsewhere: Path) -> Run:
    """Run a command there: a process without database, configuration or keys."""

    def run(*words: str) -> Done:
        program = [sys.executable, "-m", "gateway", "audit", *words]
        return run_program(program, within=60, cwd=elsewhere, env={"PYTHONPATH": str(ROOT)})

    return run


def test_evidence_of_a_transaction_is_shown_by_its_four_kinds(
    suture: Run, transaction: str
) -> None:
    shown = suture("show", "MSG-4711")
    assert (shown.returncode, shown.stderr) == (0, "")
    titles = [line for line in shown.stdout.splitlines() if line.endswith(")")]
    assert titles == [
        "message history (1)",
        "transformation log (1)",
        "approval evidence (1)",
        "access records (1)",
    ]
    told = msgspec.json.decode(suture("show", transaction, "--json").stdout)
    assert told["transaction"] == transaction
    assert {kind: len(rows) for kind, rows in told["evidence"].items()} == dict.fromkeys(
        ("message", "transformation", "approval", "access"), 1
    )


def test_an_export_is_verified_where_there_is_neither_database_nor_key(
    suture: Run, offline: Run, transaction: str, elsewhere: Path
) -> None:
    file = elsewhere / "trail.jsonl"
    done = suture("export", "--to", str(file))
    assert (done.returncode, done.stdout) == (0, f"4 records written to {file}\n")
    assert file.stat().st_mode & 0o077 == 0

    sound = offline("verify", file.name)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "4 of them signed by 1 checkpoints" in sound.stdout
    assert "only the file itself declares" in sound.stdout
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]

    keys = suture("keys").stdout
    (file.parent / "pinned.jwks").write_text(keys)
    assert "known here" in offline("verify", file.name, "--key", "pinned.jwks").stdout
    [key] = msgspec.json.decode(keys)["keys"]
    assert suture("verify", str(file), "--key", key["kid"]).returncode == 0
    stranger = suture("verify", str(file), "--key", "somebody")
    assert (stranger.returncode, "NOT vouched for" in stranger.stdout) == (1, True)


def test_a_break_is_named_and_what_is_no_export_cannot_be_read(
    suture: Run, transaction: str, tmp_path: Path
) -> None:
    file = tmp_path / "trail.jsonl"
    assert suture("export", "--to", str(file), "--transaction", "MSG-4711").returncode == 0
    text = file.read_text()
    file.write_text(text.replace("resolve task: accept", "resolve task: reject"))
    broken = suture("verify", str(file))
    assert broken.returncode == 1
    assert "the record is not the one that was written" in broken.stdout
    told = msgspec.json.decode(suture("verify", str(file), "--json").stdout)
    assert {link["chain"] for link in told["broken"]} >= {"export"}
    for content in ("", "no export\n", text.replace("suture-audit/1", "suture-audit/2")):
        file.write_text(content)
        unread = suture("verify", str(file))
        assert (unread.returncode, unread.stdout) == (2, "")
        assert "cannot be verified" in unread.stderr
    assert suture("verify", str(tmp_path / "nowhere")).returncode == 2


def test_the_trail_is_verified_against_a_checkpoint_that_was_written_down(
    suture: Run, transaction: str
) -> None:
    made = msgspec.json.decode(suture("checkpoint", "--json").stdout)["checkpoint"]
    assert made.startswith("1:")
    assert suture("verify", "--witness", made).returncode == 0
    assert suture("verify", "--witness", f"2:{'0' * 64}").returncode == 1
    assert suture("verify", "--witness", "nonsense").returncode == 2
    assert "nothing new to sign" in suture("checkpoint").stdout


def test_a_rotated_key_signs_what_comes_and_the_old_one_vouches_for_it(
    suture: Run, transaction: str, tmp_path: Path
) -> None:
    assert suture("keys", "--rotate").returncode == 1  # nothing is signed yet
    file = tmp_path / "trail.jsonl"
    suture("checkpoint")
    [old] = msgspec.json.decode(suture("keys").stdout)["keys"]
    new, _ = msgspec.json.decode(suture("keys", "--rotate").stdout)["keys"]
    assert suture("export", "--to", str(file)).returncode == 0
    for key in (old, new):
        kept = tmp_path / "one.jwk"
        kept.write_bytes(msgspec.json.encode(key))
        assert (key["kid"], suture("verify", str(file), "--key", str(kept)).returncode)[1] == 0
    assert suture("verify").returncode == 0


def test_the_trail_is_exported_as_fhir_line_by_line(
    suture: Run, transaction: str, tmp_path: Path
) -> None:
    file = tmp_path / "trail.ndjson"
    assert suture("export", "--to", str(file), "--format", "fhir").returncode == 0
    events = [AuditEvent.model_validate_json(line) for line in file.read_text().splitlines()]
    assert len(events) == 4
    assert {event.outcome for event in events} == {"0"}


@pytest.mark.parametrize("since", ["yesterday", "2026-01-01T00:00:00", "2026-13-01"])
def test_a_moment_without_its_zone_is_refused(suture: Run, stores: Stores, since: str) -> None:
    refused = suture("export", "--to", "x", "--since", since)
    assert (refused.returncode, "--since" in refused.stderr) == (2, True)
