"""`suture people`: who may sign in, and what their roles, facilities and data classes are.

A password is typed at a prompt, or read from a file or standard input: never an argument, which
others on the machine could see.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import get_args

import msgspec

from canonical.errors import InvalidRequest, NotFound, StateConflict
from canonical.request import DataClass
from gateway.authorization.book import ClientBook
from gateway.commands.opening import configuration, configured, opened
from gateway.config import Config
from gateway.sign_in.book import PersonBook
from gateway.sign_in.desk import consent_of
from gateway.sign_in.endings import Endings
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from policies.oauth.passwords import password_hash, refuse_weak
from policies.oauth.people import Person

NAME = "people"
HELP = "list people who sign in; add, change, disable or sign out one, set a password"

Act = Callable[[argparse.Namespace, Ledger], Awaitable[int]]


class PersonShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A person as they may be shown: never the hash of the password."""

    person_id: str
    display_name: str
    roles: tuple[str, ...]
    facilities: tuple[str, ...]
    data_classes: tuple[DataClass, ...]
    active: bool
    has_password: bool


class Open(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session, or an app or device that acts for a person."""

    id: str
    client_id: str
    scopes: tuple[str, ...]
    began: datetime
    expires: datetime


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=tuple(_ACTS), nargs="?", default="list")
    parser.add_argument("person", nargs="?", default="", help="the id of a person")
    parser.add_argument("--name", default="", help="the name that is shown")
    parser.add_argument("--role", action="append", help="a role of [people.roles]")
    parser.add_argument("--facility", action="append", help="a facility; none means every one")
    parser.add_argument(
        "--data-class", action="append", choices=get_args(DataClass), help="what may be seen"
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--password-file", type=Path, metavar="FILE", help="read it from a file")
    given.add_argument("--password-stdin", action="store_true", help="read it from standard input")


def run(given: argparse.Namespace) -> int:
    if (given.what == "list") == bool(given.person):
        raise InvalidRequest("«list» takes no person, the others take one", where="people")
    return asyncio.run(_opened(given))


async def _opened(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        return await _ACTS[given.what](given, ledger)


async def _list(given: argparse.Namespace, ledger: Ledger) -> int:
    people = [_shown(each) for each in await PersonBook(ledger.people).listed()]
    if given.json:
        _print_json(people)
        return 0
    for each in people:
        state = "" if each.active else "  (disabled)"
        password = "" if each.has_password else "  (no password yet)"
        print(f"{each.person_id}  {each.display_name}  {' '.join(each.roles)}{state}{password}")
    return 0


async def _show(given: argparse.Namespace, ledger: Ledger) -> int:
    person = await _known(ledger, given.person)
    families = await ledger.tickets.owned(person.person_id, ledger.clock())
    sessions = [each for each in families if each.id.startswith("session_")]
    apps = [
        Open(
            id=each.id,
            client_id=consent_of(each).client_id,
            scopes=consent_of(each).scopes,
            began=each.began,
            expires=each.expires,
        )
        for each in families
        if each.id.startswith("grant_")
    ]
    shown = _shown(person)
    if given.json:
        _print_json({"person": shown, "sessions": len(sessions), "apps": apps})
        return 0
    print(f"{shown.person_id}  {shown.display_name}  {'active' if shown.active else 'disabled'}")
    print(f"roles         {' '.join(shown.roles) or 'none: may do nothing'}")
    print(f"facilities    {' '.join(shown.facilities) or 'every one'}")
    print(f"data classes  {' '.join(shown.data_classes) or 'none'}")
    print(f"sessions      {len(sessions)}")
    for each in apps:
        until = f"{each.expires:%Y-%m-%d %H:%M UTC}"
        print(f"app           {each.client_id} until {until}: {' '.join(each.scopes)}")
    return 0


async def _add(given: argparse.Namespace, ledger: Ledger) -> int:
    if await ClientBook(ledger.clients).find(given.person) is not None:
        raise StateConflict("an OAuth client has this id already", where=given.person)
    person = _changed(given, Person(person_id=given.person, display_name=given.name))
    _check_roles(configured(given), person)
    if given.password_file or given.password_stdin or sys.stdin.isatty():
        person = msgspec.structs.replace(person, password=_new_password(given, person))
    await PersonBook(ledger.people).add(person)
    return await _done(given, ledger, "add person", "may sign in" if person.password else _NEXT)


async def _change(given: argparse.Namespace, ledger: Ledger) -> int:
    person = _changed(given, await _known(ledger, given.person))
    _check_roles(configured(given), person)
    await PersonBook(ledger.people).change(given.person, lambda now: _changed(given, now))
    return await _done(given, ledger, "change person", "is changed; tokens say so when renewed")


async def _set_password(given: argparse.Namespace, ledger: Ledger) -> int:
    person = await _known(ledger, given.person)
    kept = _new_password(given, person)
    await PersonBook(ledger.people).change(
        given.person, lambda now: msgspec.structs.replace(now, password=kept)
    )
    ended = await _endings(given, ledger).shut_out(given.person, "new password")
    said = f"has a new password; {ended} sessions and apps have ended"
    return await _done(given, ledger, "set password", said)


async def _disable(given: argparse.Namespace, ledger: Ledger) -> int:
    await PersonBook(ledger.people).change(
        given.person, lambda now: msgspec.structs.replace(now, active=False)
    )
    ended = await _endings(given, ledger).shut_out(given.person, "disabled")
    said = f"is disabled; {ended} sessions and apps have ended"
    return await _done(given, ledger, "disable person", said)


async def _enable(given: argparse.Namespace, ledger: Ledger) -> int:
    await PersonBook(ledger.people).change(
        given.person, lambda now: msgspec.structs.replace(now, active=True)
    )
    return await _done(given, ledger, "enable person", "may sign in again")


async def _sign_out(given: argparse.Namespace, ledger: Ledger) -> int:
    await _known(ledger, given.person)
    ended = await _endings(given, ledger).shut_out(given.person, "signed out by an operator")
    return await _done(given, ledger, "sign out", f"{ended} sessions and apps have ended")


_ACTS: dict[str, Act] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "set": _change,
    "set-password": _set_password,
    "disable": _disable,
    "enable": _enable,
    "sign-out": _sign_out,
}
_NEXT = "is known; next: suture people set-password"


async def _known(ledger: Ledger, person_id: str) -> Person:
    person = await PersonBook(ledger.people).find(person_id)
    if person is None:
        raise NotFound("there is no person of this id", where=person_id, fix="suture people list")
    return person


def _changed(given: argparse.Namespace, person: Person) -> Person:
    """Return the person with what was said; what was not said stays."""
    said = {
        "display_name": given.name or None,
        "roles": given.role,
        "facilities": given.facility,
        "data_classes": given.data_class,
    }
    new = {
        name: value if isinstance(value, str) else tuple(dict.fromkeys(value))
        for name, value in said.items()
        if value is not None
    }
    return msgspec.structs.replace(person, **new)


def _check_roles(config: Config, person: Person) -> None:
    unknown = sorted(set(person.roles) - set(config.people.roles))
    if unknown:
        raise InvalidRequest(
            f"no such role: {', '.join(unknown)}",
            where="--role",
            expected=", ".join(sorted(config.people.roles)) or "a role of [people.roles]",
            fix="name it in [people.roles] of gateway.toml, with the scopes that it may use",
        )


def _new_password(given: argparse.Namespace, person: Person) -> str:
    """Return the hash of a new password; raises `InvalidRequest` for one that is soon guessed."""
    password = _read_password(given)
    refuse_weak(password, person.person_id, person.display_name)
    return password_hash(password)


def _read_password(given: argparse.Namespace) -> str:
    try:
        if given.password_file:
            return str(given.password_file.read_text(encoding="utf-8")).rstrip("\r\n")
        if given.password_stdin:
            return sys.stdin.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest("the password cannot be read", where="--password-file") from exc
    if not sys.stdin.isatty():
        raise InvalidRequest(
            "there is nobody to ask for the password",
            fix="give --password-file FILE or --password-stdin",
        )
    password = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != password:
        raise InvalidRequest("the two passwords differ", fix="try again")
    return password


def _endings(given: argparse.Namespace, ledger: Ledger) -> Endings:
    return Endings(ledger=ledger, token_seconds=configured(given).server.token_seconds)


async def _done(given: argparse.Namespace, ledger: Ledger, action: str, said: str) -> int:
    await ledger.record(
        Evidence(
            kind="access",
            actor=f"cli:{getpass.getuser()}",
            action=action,
            outcome="done",
            object=given.person,
        )
    )
    if given.json:
        _print_json(_shown(await _known(ledger, given.person)))
    else:
        print(f"{given.person} {said}")
    return 0


def _shown(person: Person) -> PersonShown:
    return PersonShown(
        person_id=person.person_id,
        display_name=person.display_name,
        roles=person.roles,
        facilities=person.facilities,
        data_classes=person.data_classes,
        active=person.active,
        has_password=bool(person.password),
    )


def _print_json(shown: object) -> None:
    print(msgspec.json.encode(shown).decode())
