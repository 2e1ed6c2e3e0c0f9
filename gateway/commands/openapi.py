"""`suture openapi`: the OpenAPI documents and the one of all events, printed or written."""

import argparse
import sys
from pathlib import Path

from gateway import asyncapi
from gateway.events import DOCUMENT
from gateway.openapi import TIERS, encoded
from gateway.published_api import broken_promises, publish

NAME = "openapi"
HELP = "print the document of a tier (events: AsyncAPI), or write all of them to a folder"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", choices=[*TIERS, "events"], help="only this tier")
    parser.add_argument(
        "--publish", type=Path, metavar="FOLDER", help="write each version as it is promised"
    )
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write FOLDER/<tier>.json")


def run(given: argparse.Namespace) -> int:
    if given.publish is not None:
        return _publish(given.publish)
    tiers = [given.tier] if given.tier else [*TIERS, "events"]
    for tier in tiers:
        events = tier == "events"
        document = asyncapi.encoded() if events else encoded(tier)
        if given.write is None:
            sys.stdout.buffer.write(document)
        else:
            _write(given.write / (DOCUMENT if events else f"{tier}.json"), document)
    return 0


def _publish(folder: Path) -> int:
    """Publish what keeps every promise; say what does not, and change nothing."""
    broken = broken_promises(folder)
    for name, said in broken.items():
        for each in said:
            print(f"{name}: {each}", file=sys.stderr)
    if broken:
        print("This breaks who calls it: add a new version beside it.", file=sys.stderr)
        return 1
    for file in publish(folder):
        print(f"{file} published")
    return 0


def _write(file: Path, document: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    changed = not file.exists() or file.read_bytes() != document
    file.write_bytes(document)
    print(f"{file} {'written' if changed else 'unchanged'}")
