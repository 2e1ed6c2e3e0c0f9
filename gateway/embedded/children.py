"""Child processes that outlive us: started apart, watched by their command line, heard in a log.

A server belongs to all Suture processes that share it, so that it must survive the one that started
it: own session, no inherited descriptors, output to a file. A process is recognised by its command
line, which any account may read, rather than by its id alone, which may be somebody else's by now.
"""

import os
import subprocess
import threading
from pathlib import Path

from gateway.embedded.place import MINIMAL_ENV, Place
from gateway.embedded.sharing import opened_private


def spawn(place: Place, command: list[str | Path], stdin: bytes = b"") -> "subprocess.Popen[bytes]":
    """Start a server apart from this process; what it says goes to a fresh `log`."""
    log = place.folder / "log"
    if log.exists():
        log.rename(log.with_suffix(".previous"))
    output = opened_private(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd="/",
            env=MINIMAL_ENV,
            start_new_session=True,
            user=place.uid,
            group=place.gid,
            extra_groups=place.extra_groups,
        )
    finally:
        os.close(output)
    _feed(child, stdin)
    _named(child)
    threading.Thread(target=child.wait, name=f"reap-{place.server}", daemon=True).start()
    return child


def _named(child: "subprocess.Popen[bytes]") -> None:
    """Wait until the child can be recognised: in the middle of exec(2) a process has no command
    line for a moment, and would pass for one that has ended.
    """
    moment = threading.Event()
    for _ in range(5000):
        if child.poll() is not None or command_line(child.pid):
            return
        moment.wait(0.001)


def _feed(child: "subprocess.Popen[bytes]", stdin: bytes) -> None:
    if child.stdin is None:
        return
    try:
        with child.stdin as pipe:
            pipe.write(stdin)
    except BrokenPipeError:
        return  # it ended at once; its log says why


def last_line(place: Place) -> str:
    """Return the last thing the server said, for a person."""
    log = place.folder / "log"
    if not log.exists():
        return ""
    lines = log.read_bytes()[-4096:].decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def command_line(pid: int) -> bytes:
    """Return how a process was called; empty when it is gone or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def processes_called(mark: str) -> list[int]:
    """Return the ids of all processes whose command line contains `mark`."""
    ids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    wanted = mark.encode()
    return [pid for pid in ids if wanted in command_line(pid)]
