import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisGone

from gateway.embedded.children import processes_called
from gateway.embedded.place import place_of
from gateway.embedded.valkey import start_valkey


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    folder = place_of("valkey", tmp_path, "").folder
    for pid in processes_called("valkey-server"):
        if Path(f"/proc/{pid}/cwd").readlink() == folder:
            os.kill(pid, signal.SIGKILL)
    if os.geteuid() == 0:
        shutil.rmtree(place_of("valkey", tmp_path, "").folder.parent, ignore_errors=True)


async def ask(url, *command):
    client = Redis.from_url(url)
    try:
        return await client.execute_command(*command)
    finally:
        await client.aclose()


async def server_pid(url):
    return (await ask(url, "INFO", "server"))["process_id"]


async def test_valkey_answers_only_with_its_password_and_only_on_its_socket(home):
    server = await start_valkey(home)
    assert await ask(server.url, "PING") is True
    assert await ask(server.url, "CONFIG", "GET", "port") == {b"port": b"0"}
    password = server.url.split(":")[2].split("@")[0]
    with pytest.raises((AuthenticationError, RedisGone)):
        await ask(server.url.replace(f":{password}@", ""), "GET", "x")
    command = Path(f"/proc/{await server_pid(server.url)}/cmdline").read_bytes()
    assert password.encode() not in command
    await server.stop()


async def test_a_second_start_joins_and_the_last_one_out_stops(home):
    first = await start_valkey(home)
    await ask(first.url, "SET", "x", "1")
    started = time.monotonic()
    second = await start_valkey(home)
    assert time.monotonic() - started < 0.25
    assert second.url == first.url
    await first.stop()
    assert await ask(second.url, "GET", "x") == b"1"
    await second.stop()
    with pytest.raises(RedisGone):
        await ask(second.url, "PING")


async def test_a_killed_valkey_is_started_again_empty_and_leaves_nothing_on_disk(home):
    first = await start_valkey(home)
    await ask(first.url, "SET", "x", "1")
    os.kill(await server_pid(first.url), signal.SIGKILL)
    await asyncio.sleep(0.05)
    second = await start_valkey(home)
    assert second.url == first.url
    assert await ask(second.url, "GET", "x") is None
    await first.stop()
    await second.stop()
    folder = place_of("valkey", home, "").folder
    assert not [*folder.rglob("*.rdb"), *folder.rglob("*.aof")]


async def test_a_server_of_the_embedded_valkey_does_not_run_as_root(home):
    server = await start_valkey(home)
    status = Path(f"/proc/{await server_pid(server.url)}/status").read_text()
    effective = next(line.split()[2] for line in status.splitlines() if line.startswith("Uid:"))
    assert effective != "0"
    await server.stop()
