"""How several Suture processes share one embedded server.

Two files, both locked with flock(2). `lock` is held for the moments in which a server is started or
stopped. `users` is held shared by every process that uses the server, for as long as it does: the
kernel lets go of it when a process dies, however it dies, so that a killed user never counts and a
reused process id never lies. The last one out is the one that can have `users` for itself.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from canonical.errors import StoreUnavailable

_PATIENCE = 180.0
"""Seconds to wait for another process that is starting the server (it may be recovering)."""


def opened_private(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file of our own: mode 0600, never through a link, never inherited by a child."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _acquired(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def until(holds: Callable[[], bool], within: float) -> bool:
    """Wait for something that another process brings about; False when it did not in time."""
    try:
        async with asyncio.timeout(within):
            while not holds():  # noqa: ASYNC110 - nothing tells us but looking again
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def alone(folder: Path) -> AsyncGenerator[None]:
    """Keep every other process from starting or stopping the server meanwhile."""
    fd = opened_private(folder / "lock")
    try:
        if not await until(lambda: _acquired(fd, fcntl.LOCK_EX), _PATIENCE):
            raise StoreUnavailable(
                "another Suture process has been starting or stopping the embedded server for long",
                where=str(folder / "lock"),
                fix="look at the log beside that file, and end the process that holds it",
            )
        yield
    finally:
        os.close(fd)


class Share:
    """This process's part in the server: held until `leave`, or until the process dies."""

    def __init__(self, folder: Path) -> None:
        self._fd = opened_private(folder / "users")
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Return whether nobody else uses the server. Ask only while `alone`."""
        return _acquired(self._fd, fcntl.LOCK_EX)

    def leave(self) -> None:
        os.close(self._fd)
