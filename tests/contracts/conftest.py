"""A gateway that is really running, and who calls it."""

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.embedded.place import place_of
from tests.contracts.serving import serve


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway is, and a token that may do everything."""

    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, trust_env=False, timeout=20)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway over real stores and vendor systems, whose quota a fuzzer does not use up."""
    folder = tmp_path_factory.mktemp("served")
    own, other = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    process = spawned.Process(target=serve, args=(str(folder), other), daemon=True)
    process.start()
    other.close()
    try:
        assert own.poll(90), "the gateway did not start within 90 s"
        url, token = own.recv()
        yield Served(url=url, token=token)
    finally:
        own.close()
        process.join(60)
        _remove_places(folder)


def _remove_places(folder: Path) -> None:
    for server in ("postgres", "valkey"):
        shutil.rmtree(place_of(server, folder, "").folder.parent, ignore_errors=True)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """Who calls with that token."""
    with served.client() as opened:
        yield opened
