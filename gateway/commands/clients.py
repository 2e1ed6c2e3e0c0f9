"""`suture clients`: the OAuth clients and their scopes."""

import argparse
import asyncio

import msgspec

from canonical.errors import NotFound
from gateway.authorization import ClientBook
from gateway.commands.opening import configuration, opened
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from policies.oauth.clients import new_client

NAME = "clients"
HELP = "list OAuth clients; add or disable one"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("--add", metavar="CLIENT", help="the id of a new client")
    parser.add_argument("--scope", action="append", default=[], help="a scope it may have")
    parser.add_argument("--facility", action="append", default=[], help="a facility it may see")
    parser.add_argument("--disable", metavar="CLIENT", help="issue no more tokens to a client")


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_run(given))


async def _run(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        if given.add:
            return await _add(ledger, given)
        if given.disable:
            return await _disable(ledger, given.disable)
        clients = await ClientBook(ledger.clients).listed()
    if given.json:
        shown = [
            {"clientId": each.client_id, "active": each.active, "scopes": each.scopes}
            for each in clients
        ]
        print(msgspec.json.encode(shown).decode())
        return 0
    for client in clients:
        state = "" if client.active else "  (disabled)"
        print(f"{client.client_id}{state}  {' '.join(client.scopes)}")
    return 0


async def _add(ledger: Ledger, given: argparse.Namespace) -> int:
    client, secret = new_client(given.add, tuple(given.scope), tuple(given.facility))
    await ClientBook(ledger.clients).put(client)
    await _record(ledger, given.add, "add client")
    if given.json:
        print(msgspec.json.encode({"clientId": given.add, "clientSecret": secret}).decode())
    else:
        print(f"client {given.add}\nsecret {secret}\nThe secret is shown once: keep it now.")
    return 0


async def _disable(ledger: Ledger, name: str) -> int:
    book = ClientBook(ledger.clients)
    known = await book.find(name)
    if known is None:
        raise NotFound("no such client", where=name)
    await book.put(msgspec.structs.replace(known, active=False))
    await _record(ledger, name, "disable client")
    print(f"{name} gets no more tokens")
    return 0


async def _record(ledger: Ledger, client: str, action: str) -> None:
    await ledger.record(
        Evidence(kind="access", actor="cli", action=action, outcome="done", object=client)
    )
