"""What the commands share: which configuration, and the ledger it names."""

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from gateway.config import Config, ConfigurationRefused, load
from gateway.keys import kept_audit_keys, ledger_keys
from gateway.runtime import open_stores
from ledger.ledger import Ledger, open_ledger


def configuration(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which installation is meant."""
    parser.add_argument("--config", type=Path, default=Path("gateway.toml"), metavar="FILE")
    parser.add_argument("--demo", action="store_true", help="the demonstration's ledger")
    parser.add_argument("--json", action="store_true", help="answer for machines")


def configured(given: argparse.Namespace) -> Config:
    """Return the configuration that the options name."""
    config = load(given.config)
    if not given.demo:
        return config
    folder = Path(config.state_folder) / "demo"
    name = folder / "sandbox" / "database"
    if not name.exists():
        raise ConfigurationRefused("there is no demonstration yet: run `make demo` first")
    return msgspec.structs.replace(
        config, state_folder=str(folder), database=name.read_text(encoding="utf-8").strip()
    )


@asynccontextmanager
async def opened(given: argparse.Namespace) -> AsyncGenerator[Ledger]:
    """Open the ledger for one command."""
    config = configured(given)
    async with (
        open_stores(config) as stores,
        open_ledger(
            stores.dsn,
            secret=ledger_keys(config),
            audit_keys=partial(kept_audit_keys, config),
        ) as ledger,
    ):
        yield ledger
