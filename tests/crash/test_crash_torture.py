"""The long run of `make torture` in its short form: everything is killed, nothing is lost."""

import sys
from pathlib import Path

import msgspec
import pytest

from bench.torture.report import Report
from bench.torture.walk import SMALL
from tests.programs import run_program


@pytest.fixture
def tortured(tmp_path: Path, request: pytest.FixtureRequest) -> Report:
    """Run one part as a person would, as short as it can be."""
    part, seed = request.param
    words = ("--quick", "--seed", seed, "--keep", str(tmp_path / "kept"), "--out", str(tmp_path))
    run = run_program([sys.executable, "-m", "bench.torture", part, *words], within=200)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report)


@pytest.mark.parametrize("tortured", [("random", "21")], indirect=True)
async def test_under_random_kills_nothing_is_lost_doubled_or_stuck(tortured: Report) -> None:
    assert tortured.is_clean
    assert tortured.kills >= 10
    assert tortured.at_random is not None
    verdict = tortured.at_random.verdict
    assert len(tortured.at_random.kinds) > 3
    assert min(verdict.messages, verdict.flows, verdict.effects, verdict.audited) > 50


@pytest.mark.parametrize("tortured", [("small", "54")], indirect=True)
async def test_a_flow_may_be_killed_wherever_it_waits(tortured: Report) -> None:
    assert tortured.findings == []
    deaths = tortured.at_every_point["small flows"].deaths
    assert set(deaths) == set(SMALL)


@pytest.mark.parametrize("tortured", [("story", "1")], indirect=True)
async def test_the_main_story_may_be_killed_wherever_it_waits(tortured: Report) -> None:
    assert tortured.findings == []
    assert tortured.kills >= 5


@pytest.mark.parametrize("tortured", [("outage", "1")], indirect=True)
async def test_while_postgresql_is_away_callers_are_told_to_come_again_and_then_all_resumes(
    tortured: Report,
) -> None:
    assert tortured.findings == []
    assert tortured.outage is not None
    assert tortured.outage.refused > 0
    assert tortured.outage.acknowledged > 20
