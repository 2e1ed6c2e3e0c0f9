"""Programs as people start them, ended within their time with all that they started.

What a program says goes to files: a pipe would stay open, and be waited for without an end, as long
as one of the servers it started lives.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_WAY_OUT = 20.0
"""Seconds a program has to stop what it started, once it is told to stop."""


class Done(NamedTuple):
    """What a program came to; `returncode` is negative for the signal that ended it."""

    returncode: int
    stdout: str
    stderr: str


def run_program(
    words: Sequence[str],
    *,
    within: float,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Run it; raises `AssertionError` with the end of what it said if it takes longer."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        program = subprocess.Popen(
            words, stdout=out, stderr=err, cwd=cwd, env=env, start_new_session=True
        )
        try:
            program.wait(within)
        except subprocess.TimeoutExpired:
            _end(program)
            said = _said(out)[-3000:] + _said(err)[-3000:]
            raise AssertionError(f"not ended within {within:.0f} s: {words}\n{said}") from None
        finally:
            _end(program)
        return Done(program.returncode, _said(out), _said(err))


def _end(program: "subprocess.Popen[bytes]") -> None:
    if program.poll() is not None:
        return
    program.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_WAY_OUT)
    if program.poll() is None:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def _said(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
