"""`suture openapi`: the OpenAPI documents and the one of all events, printed or written."""

import argparse
import sys
from pathlib import Path

from gateway import asyncapi
from gateway.events import DOCUMENT
from gateway.openapi import TIERS, encoded

NAME = "openapi"
HELP = "print the document of a tier (events: AsyncAPI), or write all of them to a folder"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", choices=[*TIERS, "events"], help="only this tier")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write FOLDER/<tier>.json")


def run(given: argparse.Namespace) -> int:
    tiers = [given.tier] if given.tier else [*TIERS, "events"]
    for tier in tiers:
        events = tier == "events"
        document = asyncapi.encoded() if events else encoded(tier)
        if given.write is None:
            sys.stdout.buffer.write(document)
        else:
            _write(given.write / (DOCUMENT if events else f"{tier}.json"), document)
    return 0


def _write(file: Path, document: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    changed = not file.exists() or file.read_bytes() != document
    file.write_bytes(document)
    print(f"{file} {'written' if changed else 'unchanged'}")
