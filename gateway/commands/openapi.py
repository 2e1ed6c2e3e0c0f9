"""`suture openapi`: the OpenAPI documents, printed or written."""

import argparse
import sys
from pathlib import Path

from gateway.openapi import TIERS, encoded

NAME = "openapi"
HELP = "print the OpenAPI document of a tier, or write all of them to a folder"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", choices=[*TIERS], help="only this tier")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write FOLDER/<tier>.json")


def run(given: argparse.Namespace) -> int:
    tiers = [given.tier] if given.tier else [*TIERS]
    for tier in tiers:
        if given.write is None:
            sys.stdout.buffer.write(encoded(tier))
        else:
            _write(given.write / f"{tier}.json", encoded(tier))
    return 0


def _write(file: Path, document: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    changed = not file.exists() or file.read_bytes() != document
    file.write_bytes(document)
    print(f"{file} {'written' if changed else 'unchanged'}")
