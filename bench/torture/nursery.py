"""Processes that may be killed: forked from one warm parent, so that a restart costs no imports.

Every child is a process of its own, with its own PostgreSQL sessions; what it says goes to a log in
its folder. It ends with the forked parent, whatever happens to that, stopped or not.
"""

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.embedded.sharing import until

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent dies."""
_PRELOADED = [
    "bench.torture.outside_server",
    "bench.torture.sender",
    "bench.torture.worker",
    "gateway.runtime",
    "uvloop",
]
_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(_PRELOADED)


class Child:
    """One process and its successors: each `start` is a new one under the same name."""

    def __init__(self, name: str, folder: Path, target: Callable[..., None], *args: object) -> None:
        self.name = name
        self.starts = 0
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._told = (target, args)
        self._process: Any = None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        target, args = self._told
        self._process = _fork.Process(
            target=_born, args=(self._log, target, args), name=self.name, daemon=True
        )
        self._process.start()
        self.starts += 1

    @property
    def pid(self) -> int:
        return int(self._process.pid or 0)

    @property
    def exit_code(self) -> int | None:
        """None as long as it lives; negative is the signal that ended it."""
        code: int | None = None if self._process is None else self._process.exitcode
        return code

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.exitcode is None

    async def ready(self, within: float = 30) -> None:
        """Wait until it listens to SIGTERM; raises with what it said when it does not."""
        mark = _mark(self._folder, self.name)

        def is_ready() -> bool:
            return mark.exists() and mark.read_text() == str(self.pid)

        if not await until(lambda: is_ready() or not self.is_alive, within) or not is_ready():
            raise ChildProcessError(f"{self.name} does not start: {self.said()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        if self.is_alive:
            os.kill(self.pid, number)

    async def kill(self) -> None:
        """Kill -9; return when it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, within: float = 30) -> int | None:
        """Wait until it is gone; return its exit code, None if it is still there."""
        if self._process is None or self._process.exitcode is not None:
            return self.exit_code
        gone, loop, sentinel = asyncio.Event(), asyncio.get_running_loop(), self._process.sentinel
        loop.add_reader(sentinel, gone.set)  # a thread for each would be one too many for the pool
        try:
            await asyncio.wait_for(gone.wait(), within)
        except TimeoutError:
            return None
        finally:
            loop.remove_reader(sentinel)
        self._process.join()
        return self.exit_code

    def said(self) -> str:
        """Return the end of its log, for a person."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""


def told_to_stop(folder: Path, name: str) -> asyncio.Event:
    """In a child: return what SIGTERM sets, and say that from now on it does."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    draft = _mark(folder, f"{name}.draft")
    draft.write_text(str(os.getpid()))
    draft.rename(_mark(folder, name))
    return stopped


def _mark(folder: Path, name: str) -> Path:
    return folder / f"{name}.ready"


def _born(log: Path, target: Callable[..., None], args: tuple[object, ...]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    target(*args)
