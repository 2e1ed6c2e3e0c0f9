"""The simulated vendor systems as processes of their own, each on its port."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_READY_SECONDS = 30.0


class SandboxFailed(Exception):
    """A simulated system did not start; the text is what it said."""


@asynccontextmanager
async def vendor_system(name: str, *options: str) -> AsyncGenerator[str]:
    """Run one simulated system; give its address, stop it on leaving."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox",
        name,
        "--with-parent",
        *options,
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield await asyncio.wait_for(_address(name, process), _READY_SECONDS)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _address(name: str, process: asyncio.subprocess.Process) -> str:
    if process.stdout is None or process.stderr is None:
        raise SandboxFailed(f"{name} has no output")
    while line := (await process.stdout.readline()).decode():
        if " ready on " in line:
            return line.split(" ready on ", 1)[1].strip()
    said = (await process.stderr.read()).decode()[-2000:]
    raise SandboxFailed(f"the simulated {name} did not start: {said}")
