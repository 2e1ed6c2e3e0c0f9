"""A lazy reader for HL7 v2 messages in ER7 encoding (HL7 v2 chapter 2.5 to 2.7). Sans-IO.

Rules:
1. `read` takes the bytes of one message without its MLLP frame and raises nothing but
   `MalformedMessage` or `UnsupportedMessage`, each naming the place.
2. Segments end with CR; LF and CRLF are taken too. Whatever follows a line break must be a
   segment: a raw line break inside a value is refused, never repaired.
3. The message is its bytes: nothing is normalised, `encode` gives them back, Z segments included.
"""

import re

from canonical.errors import MalformedMessage, UnsupportedMessage
from standards.hl7v2 import charset
from standards.hl7v2.message import Message
from standards.hl7v2.separators import Separators, declared

MAX_BYTES = 16 << 20
MAX_SEGMENTS = 50_000

_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_ENVELOPES = (b"FHS", b"BHS")
_CONTROLS = bytes({*range(32), 127} - {*b"\t\r\n"})
_LINE_BREAK = re.compile(rb"[\r\n]")
_MSH_18 = 17
_SHORTEST = len("MSH|^~\\&")


def read(body: bytes) -> Message:
    """Read one message, or raise `MalformedMessage` or `UnsupportedMessage` naming the place."""
    start = body if body[:3] == b"MSH" else _from_header(body)
    if len(start) > MAX_BYTES:
        raise MalformedMessage(
            "the message is too long", where="MSH", expected=f"at most {MAX_BYTES} bytes"
        )
    if len(start.translate(None, _CONTROLS)) != len(start):
        raise _control_character(start)
    codec, marks = _declarations(start, marked=start is not body and body.startswith(_BOM))
    text = charset.decoded(start, codec)
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    lines = [line for line in text.split("\r") if line.strip()]
    if len(lines) > MAX_SEGMENTS:
        raise MalformedMessage(
            "the message has too many segments", expected=f"at most {MAX_SEGMENTS} segments"
        )
    return Message(body, codec, marks, lines)


def _from_header(body: bytes) -> bytes:
    """Skip what may stand before MSH: a UTF-8 byte order mark and line breaks."""
    if body.startswith(_WIDE_BOMS):
        raise UnsupportedMessage("a 16-bit byte order mark", where="MSH", expected="UTF-8 text")
    start = body.removeprefix(_BOM).lstrip(b"\r\n")
    if start.startswith(_ENVELOPES):
        raise UnsupportedMessage(
            "a batch, not a message",
            where=start[:3].decode(),
            expected="MSH",
            fix="split the batch and send its messages one by one",
        )
    if not start.startswith(b"MSH"):
        raise MalformedMessage("the message does not begin with MSH", where="MSH", expected="MSH|")
    return start


def _declarations(start: bytes, *, marked: bool) -> tuple[str, Separators]:
    """Read MSH-1, MSH-2 and MSH-18 from the bytes: the rest cannot be decoded before."""
    end = start.find(b"\r")
    if end < 0 or b"\n" in start[:end]:
        found = _LINE_BREAK.search(start)
        end = found.start() if found else len(start)
    if end < _SHORTEST:
        raise MalformedMessage("MSH ends too early", where="MSH-2", expected="MSH|^~\\&|")
    header = start[3:end].split(start[3:4])
    if not start[3:4].isascii() or not header[1].isascii():
        raise MalformedMessage("separators are not ASCII", where="MSH-2", expected="|^~\\&")
    marks = declared(start[3:4].decode(), header[1].decode())
    if len(header) <= _MSH_18:
        return charset.DEFAULT, marks
    first = header[_MSH_18].split(marks.repetition.encode())[0]
    codec = charset.codec(first.decode("latin-1"))
    if marked and codec not in {charset.DEFAULT, "ascii"}:
        raise MalformedMessage(
            "the byte order mark says UTF-8, the field another set", where="MSH-18"
        )
    return codec, marks


def _control_character(start: bytes) -> MalformedMessage:
    offset = next(at for at, byte in enumerate(start) if byte in _CONTROLS)
    return MalformedMessage(
        f"a control character at byte {offset}",
        where=f"segment {len(_LINE_BREAK.split(start[:offset]))}",
        expected="text; control characters are sent as \\Xhh\\",
    )
