"""Verdicts and tables for people to read."""

from collections.abc import Iterator
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.inspection.tally import Report, TypeTally
from gateway.inspection.verdict import Message, Refusal, Verdict

_STYLES: Final = {"read": "green", "refused": "yellow", "crashed": "bold red"}
_WIDE: Final = 140


def console(*, to_stderr: bool = False) -> Console:
    """Return a console; one that is no terminal is wide, so that no line of a table is cut."""
    found = Console(stderr=to_stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=to_stderr, highlight=False, width=_WIDE)


def show(out: Console, verdict: Verdict) -> None:
    """Print what is in one document."""
    what = f"{verdict.format} {verdict.type}".rstrip()
    head = Text(f"{verdict.file}: {what} ")
    head.append(verdict.verdict, style=_STYLES[verdict.verdict])
    out.print(head, soft_wrap=True)
    for line in _lines(verdict):
        out.print(Text(f"  {line}"), soft_wrap=True)


def _lines(verdict: Verdict) -> Iterator[str]:
    yield from verdict.notes
    if verdict.exception:
        yield f"{verdict.exception} escaped: this is a defect of Suture, please report it"
    own = [message.failure for message in verdict.messages]
    if verdict.failure and verdict.failure not in own:
        yield from _failure(verdict.failure)
    numbered = len(verdict.messages) > 1
    for number, message in enumerate(verdict.messages, 1):
        if numbered:
            outcome = "refused" if message.failure else "read"
            yield f"{number} of {len(verdict.messages)}: {message.type} {outcome}"
        yield from (f"  {line}" if numbered else line for line in _message(message))


def _message(message: Message) -> Iterator[str]:
    if message.version:
        yield f"version {message.version}"
    if message.failure:
        yield from _failure(message.failure)
    for each in message.canonical:
        yield f"{each.object}:"
        text = msgspec.json.format(msgspec.json.encode(each.value), indent=2).decode()
        yield from (f"  {line}" for line in text.splitlines())
    if message.patient_context:
        yield f'"patientContext": "{message.patient_context}"'
    if message.structure:
        yield from _structure(message)
    if message.note:
        yield f"({message.note})"
    if message.second_opinion:
        opinion = message.second_opinion
        yield f"{opinion.by}: {opinion.says} ({opinion.text})"


def _structure(message: Message) -> Iterator[str]:
    found = message.structure
    if found is None:
        return
    if found.bundle:
        yield f"bundle of type {found.bundle}"
    for title, counts in (("segments", found.segments), ("resources", found.resources)):
        if counts:
            yield f"{title}: {', '.join(f'{name} {n}' for name, n in counts.items())}"


def _failure(failure: Refusal) -> Iterator[str]:
    place = f" at {failure.where}" if failure.where else ""
    yield f"{failure.slug}{place}: {failure.detail}"
    if failure.expected:
        yield f"expected: {failure.expected}"
    if failure.fix:
        yield f"fix: {failure.fix}"


def show_table(out: Console, report: Report) -> None:
    """Print the table by type, what was left out, and every crash by name."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    totals = report.totals
    table.add_column("Type", footer="All")
    table.add_column("Read", justify="right", footer=str(totals.read))
    table.add_column("Refused", justify="right", footer=str(totals.refused))
    table.add_column("Crashed", justify="right", footer=str(totals.crashed))
    table.add_column("Refused as", overflow="fold")
    for name, row in sorted(report.types.items()):
        table.add_row(Text(name), *_cells(row))
    out.print(table)
    out.print()
    for reason, count in sorted(report.left_out.items()):
        out.print(Text(f"left out: {count} ({reason})"), soft_wrap=True)
    for by, says in report.second_opinions.items():
        told = ", ".join(f"{word} {count}" for word, count in sorted(says.items()))
        out.print(Text(f"second opinion of {by}: {told}"), soft_wrap=True)
    for incident in report.incidents:
        if incident.exception:
            line = Text(f"crashed: {incident.file}: {incident.exception}", style=_STYLES["crashed"])
            out.print(line, soft_wrap=True)
    out.print(
        f"{report.files} documents, {report.messages} messages: {totals.read} read, "
        f"{totals.refused} refused, {totals.crashed} crashed in {report.seconds:.1f} s"
    )


def _cells(row: TypeTally) -> tuple[str | Text, ...]:
    refused = sum(row.refused.values())
    crashed = Text(str(row.crashed), style=_STYLES["crashed"]) if row.crashed else "0"
    slugs = ", ".join(f"{slug} {count}" for slug, count in sorted(row.refused.items()))
    return str(row.read), str(refused), crashed, slugs
