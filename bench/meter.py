"""What processes have used, read from outside: ours, DBOS's, and all of PostgreSQL's."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_TICKS = 100.0
"""Clock ticks a second in /proc (USER_HZ: 100 on every Linux)."""
_REAPED = slice(13, 15)
"""cutime and cstime among the fields that follow the name (proc_pid_stat(5), fields 16 and 17)."""
_PARENT = 1


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of all threads of a process so far: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_of(pid: int) -> float:
    """Return the MB that are a process's own (RssAnon): no program text, no shared buffers."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


class PostgresMeter:
    """The server and all its backends, which are children of its first process."""

    def __init__(self, postmaster: int) -> None:
        self._postmaster = postmaster

    def cpu(self) -> float:
        """Return CPU seconds so far, those of backends that have ended included."""
        ended = sum(map(int, _fields(self._postmaster)[_REAPED])) / _TICKS
        return ended + sum(_gone_is_nothing(pid, cpu_of) for pid in self._processes())

    def memory(self) -> float:
        """Return the MB that belong to single processes of the server: shared buffers are not."""
        return sum(_gone_is_nothing(pid, memory_of) for pid in self._processes())

    def _processes(self) -> Iterator[int]:
        yield self._postmaster
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if int(_fields(int(entry.name))[_PARENT]) == self._postmaster:
                        yield int(entry.name)


def _gone_is_nothing(pid: int, measure: Callable[[int], float]) -> float:
    with contextlib.suppress(OSError):
        return measure(pid)
    return 0.0


def _fields(pid: int) -> list[str]:
    """Return what follows the name in /proc/<pid>/stat; the name may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
