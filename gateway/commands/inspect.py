"""`suture inspect`: what is in an HL7 v2, X12 or FHIR document, or why it cannot be read."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.progress import track

from gateway.inspection.documents import Second, inspected
from gateway.inspection.files import Candidate, candidates, missing, opened
from gateway.inspection.rendering import console, show, show_table
from gateway.inspection.second_opinion import SecondOpinions
from gateway.inspection.tally import Report, Totals
from gateway.inspection.verdict import Verdict

NAME = "inspect"
HELP = "say what is in an HL7 v2, X12 or FHIR document, or why it is refused"

_READ: Final = 0
_REFUSED: Final = 1
_FAILED: Final = 2


class _Listing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What --json prints: every verdict in full."""

    files: list[Verdict]
    totals: Totals
    left_out: dict[str, int]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="- is standard input")
    parser.add_argument(
        "--validate",
        action="store_true",
        help="ask hl7apy, pyx12 and fhir.resources for a second opinion; it changes no verdict",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    parser.add_argument("--table", action="store_true", help="count by type, and fail on a crash")
    parser.add_argument("--report", type=Path, metavar="PATH", help="write that count as JSON")


def run(given: argparse.Namespace) -> int:
    """Return 0 if all was read, 1 if something was refused, 2 if it crashed or cannot be opened.

    With --table, 0 unless something crashed: what is refused by name is then a finding.
    """
    for name in missing(given.paths):
        print(f"suture inspect: there is nothing at {name}", file=sys.stderr)
        return _FAILED
    try:
        return _inspect(given)
    except OSError as exc:
        print(f"suture inspect: {exc.filename or 'output'}: {exc.strerror}", file=sys.stderr)
        return _FAILED


def _inspect(given: argparse.Namespace) -> int:
    report, listed = Report(), list[Verdict]()
    is_table = bool(given.table or given.report)
    began = time.monotonic()
    with ExitStack() as stack:
        second = stack.enter_context(SecondOpinions()).of if given.validate else None
        for verdict in _verdicts(_tracked(given.paths), report, second):
            if given.json and not is_table:
                listed.append(verdict)
            elif not is_table:
                show(console(), verdict)
    report.seconds = round(time.monotonic() - began, 3)
    if is_table:
        return _tabulated(report, given)
    if given.json:
        listing = _Listing(files=listed, totals=report.totals, left_out=report.left_out)
        _print_json(listing)
    return _exit_code(report.totals)


def _verdicts(
    found: Iterator[Candidate], report: Report, second: Second | None
) -> Iterator[Verdict]:
    """Judge one file after the other, and keep count of all."""
    for candidate in found:
        file = opened(candidate)
        if file.left_out:
            report.leave_out(file.left_out)
            continue
        verdict = inspected(file.name, file.body, second)
        report.add(verdict)
        yield verdict


def _tracked(names: list[str]) -> Iterator[Candidate]:
    """Show on a terminal how far it is, if there is more than one file."""
    found = candidates(names)
    err = console(to_stderr=True)
    if len(found) > 1 and err.is_terminal:
        yield from track(found, "reading", console=err, transient=True)
    else:
        yield from found


def _tabulated(report: Report, given: argparse.Namespace) -> int:
    if given.report:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    if given.json:
        _print_json(report)
    else:
        show_table(console(), report)
    return _FAILED if report.totals.crashed else _READ


def _print_json(found: msgspec.Struct) -> None:
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def _exit_code(totals: Totals) -> int:
    if totals.crashed:
        return _FAILED
    return _REFUSED if totals.refused else _READ
