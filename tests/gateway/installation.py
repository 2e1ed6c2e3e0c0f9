"""An installation of its own, and the command line of whoever operates it."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from gateway.runtime import Stores
from tests.programs import ROOT, run_program


class Installation:
    """A folder with a configuration, and the command line of whoever operates it."""

    def __init__(self, folder: Path, stores: Stores) -> None:
        self.folder = folder
        self.stores = stores
        self.ring = folder / "keys" / "ring.json"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "SUTURE" not in name},
            "SUTURE_DATABASE_URL": stores.dsn,
            "SUTURE_REDIS_URL": stores.valkey,
        }
        text = (ROOT / "gateway.toml").read_text()
        (folder / "gateway.toml").write_text(f'state-folder = "{folder}"\n{text}')

    async def suture(self, *words: str, **environment: str) -> tuple[int, str]:
        """Run a command; return its exit code and all it said."""
        named = ["--config", str(self.folder / "gateway.toml")]
        done = await asyncio.to_thread(
            run_program,
            [sys.executable, "-m", "gateway", *words, *named],
            within=60,
            env={**self.environment, **environment},
        )
        return done.returncode, done.stdout + done.stderr

    async def answer(self, *words: str) -> Any:
        """Run a command that must succeed; return its JSON."""
        code, said = await self.suture(*words, "--json")
        assert code == 0, said
        return msgspec.json.decode(said)
