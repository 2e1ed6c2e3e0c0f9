"""`suture audit`: show, prove, export and sign the audit trail."""

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from canonical.errors import StateConflict
from gateway.commands.audit_proof import FORMATS, export, verify
from gateway.commands.opening import configuration, configured, opened
from gateway.config import ConfigurationRefused
from gateway.keys import audit_key_file, kept_audit_keys
from ledger.audit.evidence import KINDS
from ledger.audit.keys import AuditKeys, audit_keys
from ledger.audit_trail import Found

NAME = "audit"
HELP = "show, verify, export and sign the audit trail"

_TITLES = {
    "message": "message history",
    "transformation": "transformation log",
    "approval": "approval evidence",
    "access": "access records",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", metavar="what", required=True)
    one = what.add_parser("show", help="the evidence of one transaction, by kind")
    one.add_argument("transaction", help="any name the transaction goes by")
    one.set_defaults(audit=_show)
    one = what.add_parser("verify", help="is the trail, or an export of it, the one written")
    one.add_argument("file", nargs="?", type=Path, help="an export: needs no database")
    one.add_argument("--key", help="the id of the key that must have signed, or a file with it")
    one.add_argument("--witness", metavar="NUMBER:HASH", help="a checkpoint once written down")
    one.set_defaults(audit=verify)
    one = what.add_parser("export", help="write the trail, or a part of it, to a file")
    one.add_argument("--to", type=Path, required=True, metavar="FILE")
    one.add_argument("--since", type=_moment, help="RFC 3339, or a day (UTC): included")
    one.add_argument("--until", type=_moment, help="RFC 3339, or a day (UTC): not included")
    one.add_argument("--transaction", help="any name the transaction goes by")
    one.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    one.set_defaults(audit=export)
    one = what.add_parser("checkpoint", help="sign now how far every chain has come")
    one.set_defaults(audit=_checkpoint)
    one = what.add_parser("keys", help="the public keys, as a JWK set")
    one.add_argument("--rotate", action="store_true", help="sign with a new key from now on")
    one.set_defaults(audit=_keys)
    for each in what.choices.values():
        configuration(each)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None and len(text) > len("2026-01-01"):
        raise argparse.ArgumentTypeError(f"{text}: say the zone, such as {text}Z")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def run(given: argparse.Namespace) -> int:
    code: int = asyncio.run(given.audit(given))
    return code


async def _show(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        transaction = await ledger.traces.find(given.transaction)
        shown = await ledger.audit.of_transaction(transaction)
    if given.json:
        told = {kind: [_row(one) for one in found] for kind, found in shown.items()}
        print(msgspec.json.encode({"transaction": transaction, "evidence": told}).decode())
        return 0
    console = Console(highlight=False)
    console.print(f"[bold]{transaction}[/bold]")
    for kind in KINDS:
        console.print(f"[bold]{_TITLES[kind]}[/bold] ({len(shown[kind])})")
        for one in shown[kind]:
            console.print(f"  {_line(one)}", markup=False, soft_wrap=True)
    return 0


def _row(one: Found) -> dict[str, object]:
    return {"id": one.id, "at": one.at, **msgspec.structs.asdict(one.evidence)}


def _line(one: Found) -> str:
    told = one.evidence
    about = f" {told.object}" if told.object else ""
    more = "  ".join(f"{name} {value}" for name, value in told.detail.items() if value)
    return f"{one.at:%Y-%m-%d %H:%M:%S}  {told.actor}: {told.action}{about}: {told.outcome}  {more}"


async def _checkpoint(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        made = await ledger.checkpoints.make()
    named = f"{made.number}:{made.hash}" if made else ""
    if given.json:
        print(msgspec.json.encode({"checkpoint": named or None}).decode())
    elif made is None:
        print("nothing new to sign, or another process is signing it now")
    else:
        print(f"checkpoint {named}\nkeep this elsewhere: suture audit verify --witness {named}")
    return 0


async def _keys(given: argparse.Namespace) -> int:
    keys = await _rotated(given) if given.rotate else kept_audit_keys(configured(given))
    print(msgspec.json.format(msgspec.json.encode(keys.jwks()), indent=2).decode())
    return 0


async def _rotated(given: argparse.Namespace) -> AuditKeys:
    """Keep a new key, have the one in force announce it, and let it sign at once: it works."""
    config = configured(given)
    file, keys = audit_key_file(config), kept_audit_keys(config)
    async with opened(given) as ledger:
        signing = await ledger.checkpoints.signing()
        if signing is None:
            fix = "run: suture audit checkpoint"
            raise StateConflict("no key here has signed the newest checkpoint", fix=fix)
        if file is not None:
            keys = audit_keys(file.replace(lambda kept: audit_keys(kept).with_new().encoded()))
        elif keys.first.id == signing.public.id:
            raise ConfigurationRefused("put the new key in front of those in SUTURE_AUDIT_KEY")
        for _ in range(2):
            await ledger.checkpoints.announce(keys.first)
    return keys
