"""How `suture clients` tells people and programs of clients: without what proves who they are."""

from datetime import UTC, datetime

import msgspec
from rich.console import Console

from canonical.errors import NotFound
from gateway.authorization import ClientBook
from ledger.ledger import Ledger
from policies.oauth.clients import AuthMethod, OAuthClient, Wish


class ClientRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A client as it may be shown. `facilities` empty means every facility; `oldSecretUntil` is
    when a replaced secret ends (RFC 3339), '' where there is none.
    """

    client_id: str
    name: str
    active: bool
    sla: str
    auth_method: AuthMethod
    grant_types: tuple[str, ...]
    scopes: tuple[str, ...]
    facilities: tuple[str, ...]
    roles: tuple[str, ...]
    data_classes: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    keys: tuple[str, ...]
    jwks_uri: str
    old_secret_until: str
    wish: Wish | None
    software: str


async def named(ledger: Ledger, client_id: str) -> OAuthClient:
    """Return the client of this id; raises `NotFound` with what to do."""
    client = await ClientBook(ledger.clients).find(client_id)
    if client is None:
        raise NotFound(
            "there is no such client",
            where=client_id,
            fix="suture clients list names those there are",
        )
    return client


def listed(clients: list[OAuthClient], *, json: bool) -> None:
    """Print one line a client."""
    if json:
        _print_json([_row(client) for client in clients])
        return
    console = _console()
    for client in clients:
        state = "" if client.active else "  disabled"
        scopes = " ".join(client.scopes)
        console.print(f"{client.client_id}  {client.sla}{state}  {scopes}", markup=False)
    if not clients:
        console.print("there are no clients: suture clients add ID --scope SCOPE")


def show(client: OAuthClient, *, json: bool) -> None:
    """Print everything about one client but what proves who it is."""
    row = _row(client)
    if json:
        _print_json(row)
        return
    console = _console()
    state = "active" if row.active else "disabled"
    console.print(f"{row.client_id}  {row.name}  {state}, tier {row.sla}".replace("    ", "  "))
    proof = " ".join(row.keys) or row.jwks_uri or row.auth_method
    for about, values in (
        ("proves itself by", (proof,)),
        ("old secret until", (row.old_secret_until,)),
        ("scopes", row.scopes),
        ("facilities", row.facilities or ("every one",)),
        ("roles", row.roles),
        ("data classes", row.data_classes),
        ("grants", row.grant_types),
        ("redirects to", row.redirect_uris),
    ):
        if any(values):
            console.print(f"  {about}: {' '.join(values)}", markup=False)
    if row.wish is not None and row.sla == "sandbox":
        _show_wish(console, row.client_id, row.wish)


def _show_wish(console: Console, client_id: str, wish: Wish) -> None:
    facilities = " ".join(wish.facilities) or "none named"
    console.print(f"  asked for: {' '.join(wish.scopes) or 'no scope'}", markup=False)
    console.print(
        f"    facilities {facilities}; {' '.join(wish.data_classes)}; roles"
        f" {' '.join(wish.roles) or 'none'}",
        markup=False,
    )
    console.print(f"  next: suture clients promote {client_id}", markup=False)


def shown_once(client_id: str, secret: str, *, json: bool, old_until: float = 0.0) -> None:
    """Print a new secret, and until when the old one is good."""
    until = _moment(old_until) if old_until else ""
    if json:
        told = {"clientId": client_id}
        told |= {"clientSecret": secret} if secret else {}
        told |= {"oldSecretUntil": until} if until else {}
        _print_json(told)
        return
    print(f"client {client_id}")
    if secret:
        print(f"secret {secret}\nThe secret is shown once: keep it now.")
    else:
        print("It has no secret: its keys prove who it is, or the people that it acts for.")
    if until:
        print(f"The old secret is good until {until}.")


def keyed(client: OAuthClient, *, json: bool) -> None:
    """Print by which keys a client proves itself."""
    row = _row(client)
    if json:
        _print_json(row)
    else:
        print(f"{row.client_id} proves itself by {' '.join(row.keys) or row.jwks_uri}")


def noted(client_id: str, what: str, *, json: bool) -> None:
    """Print what has become of a client."""
    if json:
        _print_json({"clientId": client_id, "done": what})
    else:
        print(f"{client_id} {what}")


def _row(client: OAuthClient) -> ClientRow:
    earlier = client.earlier_secret
    return ClientRow(
        client_id=client.client_id,
        name=client.name,
        active=client.active,
        sla=client.sla,
        auth_method=client.auth_method,
        grant_types=client.grant_types,
        scopes=client.scopes,
        facilities=client.facilities,
        roles=client.roles,
        data_classes=client.data_classes,
        redirect_uris=client.redirect_uris,
        keys=tuple(key["kid"] for key in client.jwks),
        jwks_uri=client.jwks_uri,
        old_secret_until=_moment(earlier.until) if earlier else "",
        wish=client.wish,
        software=client.software,
    )


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _print_json(shown: object) -> None:
    print(msgspec.json.encode(shown).decode())
