"""Which files are asked for: named ones always, those below a folder if they are documents."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gateway.inspection.formats import READABLE, sniffed

STDIN: Final = "-"
_CLOSED: Final = "cannot be opened"


class Candidate(NamedTuple):
    """A file to look at. `is_named` is one that the user named and that is never left out."""

    name: str
    is_named: bool


class Opened(NamedTuple):
    """A file's content, or why the file is left out."""

    name: str
    body: bytes
    left_out: str = ""


def candidates(names: list[str]) -> list[Candidate]:
    """List the files; a folder stands for all files below it, hidden ones apart."""
    found = list[Candidate]()
    for name in names:
        path = Path(name)
        if name != STDIN and path.is_dir():
            found += [Candidate(str(each), is_named=False) for each in sorted(_below(path))]
        else:
            found.append(Candidate(name, is_named=True))
    return list(dict.fromkeys(found))


def missing(names: list[str]) -> list[str]:
    """Return the names under which there is nothing."""
    return [name for name in names if name != STDIN and not Path(name).exists()]


def opened(candidate: Candidate) -> Opened:
    """Read a file. Raises `OSError` only for one that was named."""
    name = candidate.name
    if name == STDIN:
        return Opened("standard input", sys.stdin.buffer.read())
    if candidate.is_named:
        return Opened(name, Path(name).read_bytes())
    try:
        body = Path(name).read_bytes()
    except OSError:
        return Opened(name, b"", _CLOSED)
    found = sniffed(body)
    if found.format in READABLE:
        return Opened(name, body)
    return Opened(name, b"", found.instead or found.format)


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.is_file():
            yield path
