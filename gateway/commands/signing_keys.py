"""`suture signing-keys`: the keys that sign tokens; rotated under replicas that go on working."""

import argparse
import asyncio
import getpass
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from canonical.clock import utc_now
from canonical.errors import InvalidRequest, NotFound
from gateway.authorization.opening import signing_key_file
from gateway.commands.opening import configuration, configured, opened
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from policies.oauth.keys import SigningKeys, signing_keys, write_signing_keys

NAME = "signing-keys"
HELP = "list the keys that sign tokens, rotate them, remove one at once"

_SLACK_SECONDS = 60.0
"""How much longer than its last token an old key is kept."""

Act = Callable[[argparse.Namespace, Ledger], Awaitable[int]]


class SigningKeyRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A key as it may be shown. Times are RFC 3339, '' where there is no limit."""

    kid: str
    state: str
    signs_from: str
    verifies_until: str


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", nargs="?", default="list", choices=("list", "rotate", "remove"))
    parser.add_argument("key", nargs="?", default="", help="the key to remove: its tokens die")
    parser.add_argument(
        "--lead-seconds",
        type=float,
        default=5.0,
        help="how long the new key is published before it signs; replicas look twice a second",
    )


def run(given: argparse.Namespace) -> int:
    if (given.what == "remove") != bool(given.key):
        raise InvalidRequest("«remove» takes the id of a key, the others none", where=NAME)
    return asyncio.run(_run(given))


async def _run(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        return await _ACTIONS[given.what](given, ledger)


async def _list(given: argparse.Namespace, ledger: Ledger) -> int:  # noqa: ARG001 - one of three
    _tell(given, signing_keys(signing_key_file(configured(given))))
    return 0


async def _rotate(given: argparse.Namespace, ledger: Ledger) -> int:
    config = configured(given)
    path = signing_key_file(config)
    rotated = signing_keys(path).rotated(
        utc_now().timestamp(),
        keep_seconds=config.server.token_seconds + _SLACK_SECONDS,
        lead_seconds=max(0.0, given.lead_seconds),
    )
    write_signing_keys(rotated, path)
    await _record(ledger, "rotate signing key", rotated.signing_id)
    _tell(given, rotated)
    return 0


async def _remove(given: argparse.Namespace, ledger: Ledger) -> int:
    path = signing_key_file(configured(given))
    keys = signing_keys(path)
    if keys.verifying(given.key) is None:
        raise NotFound("there is no such key", where=given.key, fix="suture signing-keys list")
    if given.key == keys.at(utc_now().timestamp()).signing_id:
        raise InvalidRequest(
            "this key signs now",
            where=given.key,
            fix="suture signing-keys rotate --lead-seconds 0, then remove it",
        )
    left = keys.without(given.key)
    write_signing_keys(left, path)
    await _record(ledger, "remove signing key", given.key)
    _tell(given, left)
    return 0


def _tell(given: argparse.Namespace, keys: SigningKeys) -> None:
    rows = _rows(keys, utc_now().timestamp())
    if given.json:
        print(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        until = f"  until {row.verifies_until}" if row.verifies_until else ""
        since = f"  from {row.signs_from}" if row.signs_from else ""
        print(f"{row.kid}  {row.state}{since}{until}")


def _rows(keys: SigningKeys, now: float) -> list[SigningKeyRow]:
    current = keys.at(now)
    rows = list[SigningKeyRow]()
    for kid in keys.ids:
        term = keys.term(kid)
        state = "verifies" if kid in current.ids else "over"
        state = "comes" if term.begins > now else state
        rows.append(
            SigningKeyRow(
                kid=kid,
                state="signs" if kid == current.signing_id else state,
                signs_from=_moment(term.begins) if term.begins else "",
                verifies_until=_moment(term.ends) if term.ends < math.inf else "",
            )
        )
    return rows


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _record(ledger: Ledger, action: str, key: str) -> None:
    who = f"cli:{getpass.getuser()}"
    await ledger.record(
        Evidence(kind="access", actor=who, action=action, outcome="done", object=key)
    )


_ACTIONS: dict[str, Act] = {"list": _list, "rotate": _rotate, "remove": _remove}
