"""The separators of MSH-1 and MSH-2 and the escapes made from them (HL7 v2 2.5.4, 2.7).

Rules:
- separators are read from the message, never assumed; they are distinct, printable, no letters;
- MSH-2 has four characters, five from v2.7 on (the truncation character);
- an escape that cannot be resolved stays in the text as it came: visible, never lost.
"""

from functools import lru_cache
from typing import NamedTuple

from canonical.errors import MalformedMessage

_ENCODING_CHARACTERS = (4, 5)
_HEX_BYTE = 2
_LINE_BREAKS = {".br": "\n", ".ce": "\n", ".sp": "\n"}
_NO_TEXT = frozenset({"H", "N", ".in", ".ti", ".fi", ".nf"})


class Separators(NamedTuple):
    """MSH-1 and MSH-2, taken apart."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str = ""


STANDARD = Separators("|", "^", "~", "\\", "&")


@lru_cache(maxsize=256)
def declared(field: str, encoding: str) -> Separators:
    """Return what MSH-1 and MSH-2 declare, or raise `MalformedMessage` naming the field."""
    for place, character in (("MSH-1", field), *(("MSH-2", one) for one in encoding)):
        if not _separates(character):
            raise MalformedMessage(
                "a separator may not be a letter, digit, quote, blank or control character",
                where=place,
                expected="|^~\\&",
            )
    if len(encoding) not in _ENCODING_CHARACTERS:
        raise MalformedMessage(
            "encoding characters are not four or five", where="MSH-2", expected="^~\\& or ^~\\&#"
        )
    if len({field, *encoding}) != 1 + len(encoding):
        raise MalformedMessage("two separators are the same", where="MSH-2", expected="^~\\&")
    return Separators(field, *encoding)


def _separates(character: str) -> bool:
    return (
        character.isascii()
        and character.isprintable()
        and not character.isalnum()
        and character not in {" ", '"'}
    )


def escaped(text: str, marks: Separators) -> str:
    """Return `text` fit for one field: separators escaped, line breaks and controls gone."""
    letters = {
        marks.escape: "E",
        marks.field: "F",
        marks.component: "S",
        marks.repetition: "R",
        marks.subcomponent: "T",
    }
    out = [
        f"{marks.escape}{letters[c]}{marks.escape}" if c in letters else c for c in printable(text)
    ]
    return "".join(out)


def printable(text: str) -> str:
    """Return `text` on one line: line breaks become blanks, other control characters go."""
    if text.isprintable():
        return text
    return "".join(" " if c in "\r\n\t" else c for c in text if c in "\r\n\t" or c.isprintable())


def unescaped(text: str, marks: Separators, charset: str) -> str:
    """Return `text` with its escapes resolved; `charset` decodes the hexadecimal ones (2.7.3)."""
    mark = marks.escape
    out = list[str]()
    position = 0
    while True:
        start = text.find(mark, position)
        end = text.find(mark, start + 1) if start >= 0 else -1
        if end < 0:
            out.append(text[position:])
            return "".join(out)
        out.append(text[position:start])
        meaning = _meaning(text[start + 1 : end], marks, charset)
        out.append(text[start : end + 1] if meaning is None else meaning)
        position = end + 1


def _meaning(sequence: str, marks: Separators, charset: str) -> str | None:
    letters = {
        "F": marks.field,
        "S": marks.component,
        "T": marks.subcomponent,
        "R": marks.repetition,
        "E": marks.escape,
        "P": marks.truncation or None,
    }
    if sequence in letters:
        return letters[sequence]
    if sequence in _NO_TEXT or sequence[:3] in _NO_TEXT:
        return ""
    if sequence[:3] in _LINE_BREAKS:
        return _LINE_BREAKS[sequence[:3]]
    if sequence[:3] == ".sk":
        return " "
    return _from_hex(sequence[1:], charset) if sequence[:1] == "X" else None


def _from_hex(digits: str, charset: str) -> str | None:
    if not digits or len(digits) % _HEX_BYTE:
        return None
    try:
        text = bytes.fromhex(digits).decode(charset)
    except ValueError:  # not hexadecimal, or (UnicodeDecodeError) not text in this charset
        return None
    return None if "\0" in text else text  # NUL is no text anywhere, and no database keeps it
