"""A hospital for a test: real stores, real vendor processes, the front doors."""

import shutil
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from gateway.config import Config, load
from gateway.demo.stage import Stage, open_stage
from gateway.embedded.place import place_of
from gateway.runtime import Stores, open_stores
from ledger.database import fresh_database
from policies.public_hosts import PublicHosts

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--model-examples", help="how many runs of the engine against its model")


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory):
    """A state folder of this test run, with its embedded servers' places cleaned up afterwards."""
    folder = tmp_path_factory.mktemp("state")
    yield folder
    for server in ("postgres", "valkey"):
        shutil.rmtree(place_of(server, folder, "").folder.parent, ignore_errors=True)


@pytest.fixture
def config(state: Path) -> Config:
    """The committed configuration, on free ports and on its own state folder."""
    told = load(ROOT / "gateway.toml")
    return msgspec.structs.replace(
        told,
        state_folder=str(state),
        server=msgspec.structs.replace(told.server, port=0),
        mllp=msgspec.structs.replace(told.mllp, port=0),
        pipeline=tuple(
            # Tests in this process call by whatever name they like.
            PublicHosts() if isinstance(policy, PublicHosts) else policy
            for policy in told.pipeline
        ),
    )


@pytest.fixture
async def stage(config: Config) -> AsyncGenerator[Stage]:
    """Everything set up on an empty ledger."""
    async with open_stage(config, pace=0.05, say=lambda _: None) as opened:
        yield opened


@pytest.fixture
async def stores(config: Config) -> AsyncGenerator[Stores]:
    """An empty database beside the others, for a gateway that the test starts itself."""
    async with open_stores(config) as opened:
        dsn = await fresh_database(opened.dsn, f"journey_{uuid.uuid4().hex}")
        yield Stores(dsn=dsn, valkey=opened.valkey)
