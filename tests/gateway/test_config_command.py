"""`suture config` beside a replica that serves: what differs, doing it, and who goes by what."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import read
from gateway.config_changes import changes, digest
from gateway.pipeline import require_order
from gateway.runtime import Stores
from tests.gateway.installation import Installation
from tests.programs import ROOT

COMMITTED = (ROOT / "gateway.toml").read_text(encoding="utf-8")


@pytest.fixture
def installation(tmp_path: Path, stores: Stores) -> Installation:
    return Installation(tmp_path, stores)


@pytest.fixture
async def replica(installation: Installation) -> AsyncIterator[asyncio.subprocess.Process]:
    """A replica as an operator starts it."""
    file = installation.folder / "gateway.toml"
    command = ("-m", "gateway", "serve", "--roles", "api", "--port", "0", "--config", str(file))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env=installation.environment, stdout=-1, stderr=-3
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while not (await process.stdout.readline()).startswith(b"suture ready"):
            assert process.returncode is None
    yield process
    process.terminate()
    await asyncio.wait_for(process.wait(), 60)


async def standing(installation: Installation, edition: int) -> Any:
    """Return the status once every replica goes by an edition."""
    async with asyncio.timeout(60):
        while True:
            told = await installation.answer("config", "status")
            if [one["number"] for one in told["replicas"]] == [edition]:
                return told


async def test_a_file_is_compared_applied_by_name_and_followed_on_a_signal(
    installation: Installation,
    replica: asyncio.subprocess.Process,
    stores: Stores,
    tmp_path: Path,
) -> None:
    file = installation.folder / "gateway.toml"
    old = file.read_text()
    assert (await standing(installation, 1))["fileIsInForce"]

    (tmp_path / "elsewhere").mkdir()
    elsewhere = Installation(tmp_path / "elsewhere", stores)
    other = elsewhere.folder / "gateway.toml"
    other.write_text(old.replace("limit-bytes = 4194304", "limit-bytes = 10"))
    wanted = await elsewhere.answer("config", "diff")
    assert wanted == [
        {
            "where": "$.pipeline[max-body].limit-bytes",
            "was": "4194304",
            "becomes": "10",
            "restart": False,
        }
    ]
    code, said = await elsewhere.suture("config", "apply", "--by", "a reviewer")
    assert (code, "by a reviewer" in said) == (0, True), said
    assert not (await standing(installation, 2))["fileIsInForce"]
    assert (await standing(elsewhere, 2))["fileIsInForce"]

    replica.send_signal(signal.SIGHUP)
    assert (await standing(installation, 3))["fileIsInForce"]
    code, said = await installation.suture("config", "status")
    assert (code, "edition 3 is in force, by file on " in said) == (0, True), said


async def test_a_file_that_does_not_hold_is_neither_compared_nor_applied(
    installation: Installation,
) -> None:
    file = installation.folder / "gateway.toml"
    file.write_text(file.read_text().replace("limit-bytes = 4194304", 'limit-bytes = "4 MB"'))
    for what in ("diff", "apply"):
        code, said = await installation.suture("config", what)
        assert code == 2
        assert "Expected `int`, got `str` - at `$.pipeline[" in said


def test_each_field_that_differs_is_named_and_whether_it_needs_a_restart() -> None:
    becomes = (
        COMMITTED.replace("port = 8420", "port = 9000")
        .replace("origins = []", 'origins = ["https://app.example"]')
        .replace('policy = "request-limits"', 'policy = "request-limits"\nmax-headers = 9')
        .replace("urgent-groups = []", 'urgent-groups = ["IMP"]')
        .replace("[[facilities]]", '[[facilities]]\nid = "2"\nzone = "UTC"\n\n[[facilities]]')
    )
    found = changes(read(COMMITTED, "a"), read(becomes, "b"))
    assert {(each.where, each.was, each.becomes, each.restart) for each in found} == {
        ("$.server.port", "8420", "9000", True),
        ("$.pipeline[cors].origins[0]", "", '"https://app.example"', False),
        ("$.pipeline[request-limits].max-headers", "64", "9", False),
        ("$.deadlines.urgent-groups[0]", "", '"IMP"', False),
        ("$.facilities[2]", "", '{"id":"2","zone":"UTC"}', True),
    }


def test_two_policies_that_change_places_are_a_change_of_order() -> None:
    told = read(COMMITTED, "a")
    last, *_ = [each for each in COMMITTED.split("\n\n") if 'policy = "body-shape"' in each]
    moved = COMMITTED.replace(f"{last}\n\n", "").replace(
        '[[pipeline]]\npolicy = "bearer-token"\n',
        f'[[pipeline]]\npolicy = "bearer-token"\n\n{last}\n',
    )
    becomes = read(moved, "b")
    assert [each.where for each in changes(told, becomes)] == ["$.pipeline order"]
    assert digest(told) != digest(becomes)


def test_the_committed_pipeline_is_in_order() -> None:
    require_order(read(COMMITTED, "").pipeline)
