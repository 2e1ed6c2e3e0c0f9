"""`suture keys`: the keys that seal bodies and patient contexts; rotate, reseal, remove."""

import argparse
import asyncio
import getpass
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec
from rich.console import Console
from rich.progress import Progress

from canonical.errors import InvalidRequest
from gateway.commands.opening import configuration, configured, opened
from gateway.keys import forget_earlier
from ledger.key_keeping import UNVERSIONED, Resealed, SealedUnder
from ledger.key_ring import Key, Ring
from ledger.ledger import Ledger

NAME = "keys"
HELP = "list the keys of the ledger, rotate them, reseal under the active one, remove a retired one"


Act = Callable[[argparse.Namespace, Ledger], Awaitable[int]]


class KeyRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A key as it may be shown: never its bytes. `state` is «missing» where the ring lacks it."""

    id: str
    state: str
    created: str
    values: dict[str, int]


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=("list", "rotate", "reseal", "remove"))
    parser.add_argument("key", nargs="?", default="", help="the key to remove")
    parser.add_argument("--preview", action="store_true", help="say what reseal would do")


def run(given: argparse.Namespace) -> int:
    if (given.what == "remove") != bool(given.key):
        raise InvalidRequest("«remove» takes the id of a key, the others take none", where="keys")
    acts = {"list": _list, "rotate": _rotate, "reseal": _reseal, "remove": _remove}
    return asyncio.run(_opened(given, acts[given.what]))


async def _opened(given: argparse.Namespace, act: Act) -> int:
    async with opened(given) as ledger:
        return await act(given, ledger)


async def _list(given: argparse.Namespace, ledger: Ledger) -> int:
    rows = key_rows(ledger.keys.ring, await ledger.keys.census())
    missing = [row.id for row in rows if row.state == "missing"]
    if given.json:
        _print_json(rows)
        return 1 if missing else 0
    for row in rows:
        print(f"{row.id:<12}  {row.state:<8}  {row.created:<20}  {_counted(row.values)}")
    if missing:
        print(f"missing: {', '.join(missing)}; put them back into the key ring")
    return 1 if missing else 0


async def _rotate(given: argparse.Namespace, ledger: Ledger) -> int:
    ring = await ledger.keys.rotate(_who())
    if given.json:
        _print_json({"active": ring.active.id, "keys": [key.id for key in ring.keys]})
    else:
        print(f"{ring.active.id} is active; replicas take it with the next value they seal")
        print("next: suture keys reseal")
    return 0


async def _reseal(given: argparse.Namespace, ledger: Ledger) -> int:
    census = await ledger.keys.census()
    active = ledger.keys.ring.active.id
    stale = tuple(one for one in census if one.key != active)
    if given.preview:
        done = Resealed(active=active, resealed=0, left=stale, unopened={})
    else:
        done = await _with_progress(given, ledger, sum(one.values for one in census))
    if given.json:
        _print_json(done)
    else:
        _tell(done, preview=given.preview)
    return 1 if done.unopened else 0


async def _with_progress(given: argparse.Namespace, ledger: Ledger, total: int) -> Resealed:
    console = Console(stderr=True, quiet=given.json or not sys.stderr.isatty())
    with Progress(console=console, transient=True) as progress:
        walk = progress.add_task("resealing", total=total)
        return await ledger.keys.reseal(_who(), lambda many: progress.advance(walk, many))


def _tell(done: Resealed, *, preview: bool) -> None:
    if preview:
        print(f"would seal under {done.active}: {_summed(done.left) or 'nothing'}")
        return
    left = _summed(done.left)
    print(f"{done.resealed} values resealed under {done.active}; left: {left or 'none'}")
    for why, many in done.unopened.items():
        print(f"{many} values did not open: {why}")
    if left:
        print("next: suture keys list, to see under which keys they are")


async def _remove(given: argparse.Namespace, ledger: Ledger) -> int:
    ring = await ledger.keys.remove(given.key, _who())
    forget_earlier(configured(given), given.key)
    if given.json:
        _print_json({"removed": given.key, "keys": [key.id for key in ring.keys]})
    else:
        print(f"{given.key} is removed; the ring has {ring.named()}")
    return 0


def key_rows(ring: Ring, census: list[SealedUnder]) -> list[KeyRow]:
    """Return the keys of the ring, then what else values are sealed under."""
    counts: dict[str, Counter[str]] = {}
    for one in census:
        counts.setdefault(one.key, Counter())[one.what] += one.values
    rows = [_row(key, counts.pop(key.id, Counter())) for key in ring.keys]
    old = any(key.unversioned for key in ring.keys)
    return rows + [
        KeyRow(
            id=name,
            state="opens" if name == UNVERSIONED and old else "missing",
            created="",
            values=dict(values),
        )
        for name, values in counts.items()
    ]


def _row(key: Key, values: Counter[str]) -> KeyRow:
    created = f"{key.created:%Y-%m-%d %H:%M:%SZ}" if key.created else ""
    return KeyRow(id=key.id, state=key.state, created=created, values=dict(values))


def _summed(left: tuple[SealedUnder, ...]) -> str:
    total = Counter[str]()
    for one in left:
        total[one.what] += one.values
    return _counted(total)


def _counted(values: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{many} {what}" for what, many in values.items())


def _who() -> str:
    return f"cli:{getpass.getuser()}"


def _print_json(shown: object) -> None:
    print(msgspec.json.encode(shown).decode())
