"""`suture clients`: who may ask for tokens, for what, in which tier; and until when."""

import argparse
import asyncio
import getpass
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, get_args

import msgspec

from canonical.clock import utc_now
from canonical.errors import InvalidRequest, StateConflict
from canonical.request import DataClass
from gateway.authorization import ClientBook
from gateway.commands import apps
from gateway.commands.clients_shown import keyed, listed, named, noted, show, shown_once
from gateway.commands.opening import configuration, opened
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from policies.oauth.client_keys import public_keys
from policies.oauth.clients import (
    BINDINGS,
    OAuthClient,
    PublicKey,
    Wish,
    new_client,
    with_certificate,
    with_new_secret,
)
from policies.oauth.refusals import InvalidClientMetadataError
from policies.oauth.registration import SANDBOX, check_https, with_keys
from policies.oauth.revoked import client_name

NAME = "clients"
HELP = "OAuth clients: list, show, add, disable, enable, promote, rotate-secret, keys, revoke"

_LONGEST_TOKEN_SECONDS = 86_400.0  # no token of a client lives longer
_CLASSES: tuple[DataClass, ...] = get_args(DataClass)

_ABOUT = {
    "list": "every client with its tier and state",
    "show": "one client, and what it asked for",
    "add": "a new client; its secret is shown once",
    "promote": "give a client of the sandbox what it asked for, or the part that is named",
    "rotate-secret": "a new secret; the old one stays good for a while",
    "keys": "have it prove itself by these public keys, instead of a secret",
    "disable": "no more tokens, and those it has count no more, on every replica",
    "enable": "tokens again; those from before stay dead",
    "revoke": "the tokens it has count no more; it may ask for new ones",
}
_OPTIONS = {
    **dict.fromkeys(("name", "tls_subject", "bind"), ("add",)),
    **dict.fromkeys(("scope", "facility", "role", "data_class", "sla"), ("add", "promote")),
    "every_facility": ("promote",),
    **dict.fromkeys(apps.OPTIONS, ("add",)),
    "overlap_hours": ("rotate-secret",),
    **dict.fromkeys(("jwks", "jwks_uri"), ("add", "keys")),
}
"""Which actions take an option."""

T = TypeVar("T", bound=str)
Act = Callable[[argparse.Namespace, Ledger], Awaitable[int]]


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "actions:\n" + "\n".join(
        f"  {name:<14} {about}" for name, about in _ABOUT.items()
    )
    parser.add_argument("action", nargs="?", default="list", choices=_ABOUT, metavar="action")
    parser.add_argument("id", nargs="?", default="", help="the client that is meant")
    parser.add_argument("--name", default="", help="add: what people call it")
    parser.add_argument("--scope", action="append", help="a scope it may have")
    parser.add_argument("--facility", action="append", help="a facility it may see")
    parser.add_argument("--every-facility", action="store_true", help="promote: no limit to any")
    parser.add_argument("--role", action="append", help="a role it has")
    parser.add_argument("--data-class", action="append", choices=_CLASSES)
    parser.add_argument("--sla", default="", help="its tier of service (standard)")
    parser.add_argument("--overlap-hours", type=float, help="how long the old secret stays (24)")
    parser.add_argument("--bind", action="append", choices=BINDINGS, help="add: bind its tokens")
    apps.arguments(parser)
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--jwks", type=Path, metavar="FILE", help="its public keys")
    keys.add_argument("--tls-subject", default="", metavar="KIND:NAME", help="in its certificate")
    keys.add_argument("--jwks-uri", default="", metavar="URL", help="where its public keys are")


def run(given: argparse.Namespace) -> int:
    if (given.action == "list") == bool(given.id):
        raise InvalidRequest(
            "«list» takes no client, every other action one",
            where=f"clients {given.action}",
            fix=f"suture clients {given.action} ID, or suture clients list",
        )
    wrong = [
        name for name in _OPTIONS if getattr(given, name) and given.action not in _OPTIONS[name]
    ]
    if wrong:
        raise InvalidRequest(
            f"«{given.action}» does not take this option",
            where=f"--{wrong[0].replace('_', '-')}",
            expected=" or ".join(_OPTIONS[wrong[0]]),
        )
    return asyncio.run(_run(given))


async def _run(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        return await _ACTIONS[given.action](given, ledger)


async def _list(given: argparse.Namespace, ledger: Ledger) -> int:
    listed(await ClientBook(ledger.clients).listed(), json=given.json)
    return 0


async def _show(given: argparse.Namespace, ledger: Ledger) -> int:
    show(await named(ledger, given.id), json=given.json)
    return 0


async def _add(given: argparse.Namespace, ledger: Ledger) -> int:
    book = ClientBook(ledger.clients)
    if await book.find(given.id) is not None:
        raise StateConflict(
            "there is a client with this id", where=given.id, fix=f"suture clients show {given.id}"
        )
    await apps.refuse_name_of_person(ledger, given.id)
    client, secret = new_client(given.id, _all(given.scope), _all(given.facility))
    client = msgspec.structs.replace(
        client,
        name=given.name,
        roles=_all(given.role),
        data_classes=_all(given.data_class) or client.data_classes,
        sla=given.sla or "standard",
        binds=_all(given.bind),
    )
    if given.tls_subject:
        client, secret = with_certificate(client, given.tls_subject), ""
    if given.jwks or given.jwks_uri:
        client, secret = with_keys(client, _public_keys(given), given.jwks_uri), ""
    client = apps.for_people(client, given)
    await book.put(client)
    await _record(ledger, given.id, "add client")
    shown_once(given.id, secret if client.secret_hash else "", json=given.json)
    return 0


async def _promote(given: argparse.Namespace, ledger: Ledger) -> int:
    client = await named(ledger, given.id)
    if client.sla != SANDBOX or client.wish is None:
        raise StateConflict(
            "only a client of the sandbox can be promoted",
            where=given.id,
            fix=f"suture clients show {given.id}",
        )
    facilities = _all(given.facility) or client.wish.facilities
    if not facilities and not given.every_facility:
        raise InvalidRequest(
            "it asked for no facility, and none at all means every one",
            where="--facility",
            fix=f"suture clients promote {given.id} --facility ID, or --every-facility",
        )
    promoted = msgspec.structs.replace(
        client,
        scopes=_wished_scopes(client.wish, _all(given.scope)),
        facilities=() if given.every_facility else facilities,
        roles=_all(given.role) or client.wish.roles,
        data_classes=_all(given.data_class) or client.wish.data_classes,
        sla=given.sla or "standard",
    )
    await ClientBook(ledger.clients).put(promoted)
    await _record(ledger, given.id, "promote client", scopes=" ".join(promoted.scopes))
    show(promoted, json=given.json)
    return 0


def _all(values: list[T] | None) -> tuple[T, ...]:
    return tuple(values or ())


def _wished_scopes(wish: Wish, only: tuple[str, ...]) -> tuple[str, ...]:
    unknown = set(only) - set(wish.scopes)
    if unknown:
        raise InvalidRequest(
            "it did not ask for this scope",
            where=min(unknown),
            expected=" or ".join(wish.scopes) or "nothing",
        )
    return only or wish.scopes


async def _rotate_secret(given: argparse.Namespace, ledger: Ledger) -> int:
    client = await named(ledger, given.id)
    if client.auth_method != "client_secret":
        raise StateConflict(
            "it has no secret to rotate: it proves itself by keys",
            where=given.id,
            fix=f"suture clients keys {given.id} --jwks FILE, with the old key beside the new one",
        )
    hours = 24.0 if given.overlap_hours is None else max(0.0, given.overlap_hours)
    now, overlap = utc_now().timestamp(), hours * 3600
    rotated, secret = with_new_secret(client, now, overlap)
    await ClientBook(ledger.clients).put(rotated)
    await _record(ledger, given.id, "rotate secret", overlap=f"{overlap:.0f} s")
    shown_once(given.id, secret, json=given.json, old_until=now + overlap if overlap else 0.0)
    return 0


async def _keys(given: argparse.Namespace, ledger: Ledger) -> int:
    client = await named(ledger, given.id)
    if not given.jwks and not given.jwks_uri:
        raise InvalidRequest("no keys are named", where="keys", expected="--jwks or --jwks-uri")
    changed = with_keys(client, _public_keys(given), given.jwks_uri)
    await ClientBook(ledger.clients).put(changed)
    await _record(ledger, given.id, "change keys")
    keyed(changed, json=given.json)
    return 0


def _public_keys(given: argparse.Namespace) -> tuple[PublicKey, ...]:
    if given.jwks_uri:
        try:
            check_https(given.jwks_uri)
        except InvalidClientMetadataError as exc:
            raise InvalidRequest(
                "keys cannot be read from there", where="--jwks-uri", expected="an https address"
            ) from exc
        return ()
    try:
        return public_keys(given.jwks.read_bytes())
    except OSError as exc:
        raise InvalidRequest("the file cannot be read", where=str(given.jwks)) from exc


async def _disable(given: argparse.Namespace, ledger: Ledger) -> int:
    client = await named(ledger, given.id)
    await ClientBook(ledger.clients).put(msgspec.structs.replace(client, active=False))
    await _withdraw(ledger, client, math.inf)
    await _record(ledger, given.id, "disable client")
    noted(given.id, "gets no more tokens, and those it has count no more", json=given.json)
    return 0


async def _enable(given: argparse.Namespace, ledger: Ledger) -> int:
    client = await named(ledger, given.id)
    if not client.active:
        # Tokens name the second they were issued in: it has to be over, or an old token of this
        # second could not be told from a new one.
        begins = math.floor(utc_now().timestamp()) + 1.0
        await _withdraw(ledger, client, begins)
        await asyncio.sleep(max(0.0, begins - utc_now().timestamp()))
        await ClientBook(ledger.clients).put(msgspec.structs.replace(client, active=True))
    await _record(ledger, given.id, "enable client")
    noted(given.id, "may ask for tokens; those from before stay dead", json=given.json)
    return 0


async def _revoke(given: argparse.Namespace, ledger: Ledger) -> int:
    client = await named(ledger, given.id)
    if client.active:
        await _withdraw(ledger, client, math.floor(utc_now().timestamp()) + 1.0)
    await _record(ledger, given.id, "revoke tokens")
    noted(given.id, "has no good token left; it may ask for new ones", json=given.json)
    return 0


async def _withdraw(ledger: Ledger, client: OAuthClient, given_before: float) -> None:
    until = utc_now().timestamp() + _LONGEST_TOKEN_SECONDS
    name = client_name(client.client_id)
    await ledger.withdrawals.withdraw(name, until=until, given_before=given_before)


async def _record(ledger: Ledger, client: str, action: str, **detail: str) -> None:
    await ledger.record(
        Evidence(
            kind="access",
            actor=f"cli:{getpass.getuser()}",
            action=action,
            outcome="done",
            object=client,
            detail=detail,
        )
    )


_ACTIONS: dict[str, Act] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "promote": _promote,
    "rotate-secret": _rotate_secret,
    "keys": _keys,
    "disable": _disable,
    "enable": _enable,
    "revoke": _revoke,
}
