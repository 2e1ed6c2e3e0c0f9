"""The options of `suture clients add` for apps and devices: they act for people alone."""

import argparse

import msgspec

from canonical.errors import InvalidRequest, StateConflict
from gateway.sign_in.book import PersonBook
from gateway.sign_in.token_grants import AUTHORIZATION_CODE, REFRESH
from ledger.ledger import Ledger
from policies.oauth.clients import OAuthClient
from policies.oauth.codes import refuse_unusable
from policies.oauth.device import DEVICE_CODE

OPTIONS = ("redirect_uri", "device", "public")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--redirect-uri", action="append", metavar="URI", help="add: where people go back to"
    )
    parser.add_argument("--device", action="store_true", help="add: a device without a browser")
    parser.add_argument("--public", action="store_true", help="add: an app that keeps no secret")


async def refuse_name_of_person(ledger: Ledger, client_id: str) -> None:
    """Raise `StateConflict`: records and withdrawals name clients and people alike."""
    if await PersonBook(ledger.people).find(client_id) is not None:
        raise StateConflict(
            "there is a person with this id", where=client_id, fix="give the client another id"
        )


def for_people(client: OAuthClient, given: argparse.Namespace) -> OAuthClient:
    """Return the client as one that acts for people only, where it is to be one."""
    addresses = tuple(dict.fromkeys(given.redirect_uri or ()))
    for address in addresses:
        refuse_unusable(address)
    if not addresses and not given.device:
        if given.public:
            raise InvalidRequest(
                "an app without a secret acts for people only",
                where="--public",
                fix="say --redirect-uri URI, or --device",
            )
        return client
    grants = (
        *([AUTHORIZATION_CODE] if addresses else []),
        *([DEVICE_CODE] if given.device else []),
    )
    app = msgspec.structs.replace(client, grant_types=(*grants, REFRESH), redirect_uris=addresses)
    if not given.public:
        return app
    return msgspec.structs.replace(app, auth_method="none", secret_hash="", secret_salt="")
