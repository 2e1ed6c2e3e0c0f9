"""Bytes to interchanges, sans-IO (X12.5, X12.6).

Delimiters are read from each ISA anew. What breaks the interchange itself raises
`MalformedMessage`, whose `where` names the place; what is wrong inside a group or set is collected
there, so that one bad set does not cost the others. CR and LF are no data unless one of them is
the terminator: partners wrap lines.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from canonical.errors import MalformedMessage
from standards.x12.assembly import Assembly
from standards.x12.envelope import Delimiters, Interchange, InterchangeHeader, TransactionSet

_ISA_LENGTH: Final = 106
_ISA_WIDTHS: Final = [3, 2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1]
_FIRST_WITH_REPETITION: Final = "00402"
_FILLER: Final = b"\r\n\t \x00\x1a"
_BOM: Final = b"\xef\xbb\xbf"
_LINE_ENDS: Final = b"\r\n"
_WINDOW: Final = 1 << 16
_PLAIN: Final = bytes(range(0x20, 0x7F)) + _LINE_ENDS
_TIME: Final = re.compile(r"([01]\d|2[0-3])[0-5]\d", re.ASCII)
_DIGITS: Final = re.compile(r"\d+", re.ASCII)


def read(body: bytes) -> tuple[Interchange, ...]:
    """Return every interchange of `body` with its envelopes checked, or raise
    `MalformedMessage`.
    """
    return tuple(_interchange(body, *span) for span in _spans(body))


def walk(body: bytes) -> Iterator[TransactionSet]:
    """Yield set after set without keeping any: the memory does not grow with the body, which may
    be a memory map.
    """
    for start, end in _spans(body):
        top = header(body, start)
        assembly = Assembly(top)
        for parts in _windows(body, start, end, assembly):
            assembly.take(parts)
            yield from assembly.drain()
        assembly.interchange()


def interchanges(body: bytes) -> tuple[bytes, ...]:
    """Cut a transmission into its interchanges; what cannot be cut stays together as the last
    one.
    """
    pieces = list[bytes]()
    offset = _skip_filler(body, 0)
    while offset < len(body):
        try:
            end = _end(body, offset, header(body, offset).delimiters)
        except MalformedMessage:
            end = len(body)
        pieces.append(body[offset:end])
        offset = _skip_filler(body, end)
    return tuple(pieces) or (body,)


def header(body: bytes, start: int = 0) -> InterchangeHeader:
    """Read the ISA at `start`: exactly 106 characters, which say what separates the rest."""
    raw = bytes(body[start : start + _ISA_LENGTH + 6])
    if raw[: _ISA_LENGTH - 1].translate(None, _LINE_ENDS) != raw[: _ISA_LENGTH - 1]:
        raw = raw.translate(None, _LINE_ENDS)  # wrapped at 80 columns
    if raw[:3] != b"ISA":
        raise MalformedMessage("no interchange header", where="ISA", expected="ISA first")
    text = raw[:_ISA_LENGTH].decode("latin-1")
    elements = text[: _ISA_LENGTH - 1].split(text[3:4] or "*")
    if [len(element) for element in elements] != _ISA_WIDTHS or len(text) != _ISA_LENGTH:
        raise MalformedMessage(
            "the interchange header has the wrong length", where="ISA", expected="106 characters"
        )
    if not all(element.isascii() and element.isprintable() for element in elements[:16]):
        raise MalformedMessage("a character outside the basic set", where="ISA", expected="ASCII")
    _check_header(elements)
    return InterchangeHeader(
        sender_qualifier=elements[5],
        sender=elements[6].rstrip(),
        receiver_qualifier=elements[7],
        receiver=elements[8].rstrip(),
        date=elements[9],
        time=elements[10],
        version=elements[12],
        control=elements[13],
        wants_ta1=elements[14] == "1",
        test=elements[15] == "T",
        delimiters=_delimiters(text, elements),
    )


def _check_header(elements: list[str]) -> None:
    blank = next((i for i in range(5, 9) if not elements[i].strip()), 0)
    faults = (
        (f"ISA{blank:02}", bool(blank), "the parties"),
        ("ISA09", not _is_date(elements[9]), "YYMMDD"),
        ("ISA10", not _TIME.fullmatch(elements[10]), "HHMM"),
        ("ISA12", not _DIGITS.fullmatch(elements[12]), "a version such as 00401"),
        ("ISA13", not _DIGITS.fullmatch(elements[13]), "9 digits"),
        ("ISA14", elements[14] not in "01", "0 or 1"),
        ("ISA15", elements[15] not in "PTI", "P or T"),
    )
    for where, wrong, expected in faults:
        if wrong:
            raise MalformedMessage("invalid value", where=where, expected=expected)


def _is_date(text: str) -> bool:
    if not _DIGITS.fullmatch(text):
        return False
    try:
        date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return False
    return True


def _delimiters(text: str, elements: list[str]) -> Delimiters:
    repetition = elements[11] if elements[12] >= _FIRST_WITH_REPETITION else ""
    if repetition.isalnum():  # 'U' of the older versions, still sent by partners
        repetition = ""
    found = Delimiters(text[3], text[104], text[105], repetition)
    places = ("ISA element separator", "ISA16", "ISA terminator", "ISA11")
    for where, mark in zip(places, found, strict=True):
        clash = bool(mark) and found.count(mark) > 1
        if clash or not mark.isascii() or mark.isalnum() or mark == " ":
            raise MalformedMessage(
                "this cannot be a delimiter",
                where=where,
                expected="a character of its own, neither letter nor digit",
            )
    return found


def _spans(body: bytes) -> Iterator[tuple[int, int]]:
    offset = _skip_filler(body, 0)
    if offset == len(body):
        raise MalformedMessage("nothing was sent", where="ISA", expected="an interchange")
    while offset < len(body):
        end = _end(body, offset, header(body, offset).delimiters)
        yield offset, end
        offset = _skip_filler(body, end)


def _skip_filler(body: bytes, offset: int) -> int:
    """Skip what stands between interchanges, and the byte order mark an editor put before them."""
    if offset == 0 and body[: len(_BOM)] == _BOM:
        offset = len(_BOM)
    while offset < len(body) and body[offset] in _FILLER:
        offset += 1
    return offset


def _end(body: bytes, start: int, marks: Delimiters) -> int:
    """Find where the interchange at `start` ends: after its IEA, before the next ISA, or at the
    end.
    """
    wrap = b"[\r\n]*"
    boundary = re.compile(wrap.join((b"I", b"([ES])", b"A", re.escape(marks.element.encode()))))
    terminator = ord(marks.terminator)
    for found in boundary.finditer(body, start + 1):
        at = found.start()
        before = at - 1
        while body[before] in _LINE_ENDS and body[before] != terminator:
            before -= 1
        if body[before] != terminator:  # mere data
            continue
        if found[1] == b"S":
            return at
        end = body.find(marks.terminator.encode(), at)
        return len(body) if end < 0 else end + 1
    return len(body)


def _interchange(body: bytes, start: int, end: int) -> Interchange:
    assembly = Assembly(header(body, start))
    for parts in _windows(body, start, end, assembly):
        assembly.take(parts)
    return assembly.interchange()


def _windows(body: bytes, start: int, end: int, assembly: Assembly) -> Iterator[list[str]]:
    """Yield the raw segments window by window; tell the assembly where foreign characters
    begin.
    """
    marks = assembly.header.delimiters
    terminator = marks.terminator
    noise = _LINE_ENDS.replace(terminator.encode(), b"")
    known = _PLAIN + "".join(marks).encode()
    rest = ""
    for at in range(start, end, _WINDOW):
        window = bytes(body[at : min(at + _WINDOW, end)])
        if window.translate(None, known):
            assembly.expect_foreign_characters()
        parts = (rest + window.translate(None, noise).decode("latin-1")).split(terminator)
        rest = parts.pop()
        yield parts
    if rest:
        raise MalformedMessage(
            "the last segment is not terminated", where="end", expected="a segment terminator"
        )
