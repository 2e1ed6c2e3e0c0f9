"""What a running gateway says of itself is where it can really be reached."""

import asyncio
import socket

import msgspec
import pytest

from gateway.commands.serve import ready
from gateway.config import Config, Role
from gateway.runtime import Stores, running_gateway


@pytest.mark.parametrize(
    ("roles", "url", "mllp", "says"),
    [
        (["worker"], "", None, "suture ready: worker"),
        (["listener"], "", 2575, "suture ready: listener, MLLP on 2575"),
        (["api"], "http://127.0.0.1:8420", None, "suture ready: api on http://127.0.0.1:8420"),
        (
            ["api", "listener"],
            "http://127.0.0.1:8420",
            2575,
            "suture ready: api, listener on http://127.0.0.1:8420, MLLP on 2575",
        ),
    ],
)
def test_only_what_is_served_has_an_address(
    roles: list[Role], url: str, mllp: int | None, says: str
):
    assert ready(roles, url, mllp) == says


async def test_a_worker_beside_a_replica_that_serves_neither_takes_nor_names_a_port(
    config: Config, stores: Stores
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = msgspec.structs.replace(config.server, port=taken.getsockname()[1])
        beside = msgspec.structs.replace(config, server=server)
        async with running_gateway(beside, ["worker"], stores=stores) as running:
            assert (running.url, running.mllp_port, running.notes) == ("", None, ())


async def test_an_api_is_found_at_its_address(config: Config, stores: Stores):
    async with running_gateway(config, ["api"], stores=stores) as running:
        host, _, port = running.url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
