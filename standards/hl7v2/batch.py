"""The HL7 batch protocol (HL7 v2 2.10.3): [FHS] {[BHS] {MSH…} [BTS]} [FTS] into single messages.

Envelope segments carry no separators of their own here: only their names and the counts in BTS-1
and FTS-1 are read. An opened envelope must be closed, and a count that is given must be right:
a batch that lost messages on the way is refused as a whole.
"""

from canonical.errors import MalformedMessage
from standards.hl7v2.reader import MAX_BYTES

_BOM = b"\xef\xbb\xbf"
_FHS_FIELD_SEPARATOR = 3


class _Envelopes:
    """What is open, and what has been counted."""

    def __init__(self) -> None:
        self.file = False
        self.batch = False
        self.batches = 0
        self.in_batch = 0
        self.closed = False

    def take(self, name: bytes, line: bytes, where: str) -> None:
        if self.closed or not _TURNS[name](self):
            raise MalformedMessage(
                "envelope segments are out of order", where=where, expected="FHS BHS MSH BTS FTS"
            )
        if name == b"BTS":
            _agree(line, self.in_batch, f"{where} BTS-1")
        elif name == b"FTS":
            _agree(line, self.batches, f"{where} FTS-1")

    def open_file(self) -> bool:
        fresh = not (self.file or self.batch or self.batches)
        self.file = True
        return fresh

    def open_batch(self) -> bool:
        fresh = not self.batch
        self.batch, self.in_batch = True, 0
        self.batches += 1
        return fresh

    def close_batch(self) -> bool:
        was_open, self.batch = self.batch, False
        return was_open

    def close_file(self) -> bool:
        self.closed = True
        return self.file and not self.batch


_TURNS = {
    b"FHS": _Envelopes.open_file,
    b"BHS": _Envelopes.open_batch,
    b"BTS": _Envelopes.close_batch,
    b"FTS": _Envelopes.close_file,
}


def split(body: bytes) -> list[bytes]:
    """Return the messages of a batch, a file of batches, or of several messages in a row.

    A single message is returned as it is. Raises `MalformedMessage` only.
    """
    if len(body) > MAX_BYTES:
        raise MalformedMessage("the batch is too long", expected=f"at most {MAX_BYTES} bytes")
    envelopes = _Envelopes()
    messages = list[list[bytes]]()
    inside = False
    for number, line in enumerate(body.removeprefix(_BOM).splitlines(keepends=True), start=1):
        name = line[:3]
        where = f"segment {number}"
        if name in _TURNS:
            envelopes.take(name, line, where)
            inside = False
        elif name == b"MSH":
            messages.append([line])
            envelopes.in_batch += 1
            inside = True
        elif inside:
            messages[-1].append(line)
        elif line.strip():
            raise MalformedMessage("a segment outside any message", where=where, expected="MSH")
    if envelopes.batch or (envelopes.file and not envelopes.closed):
        raise MalformedMessage("the batch does not end", expected="BTS and FTS")
    return [b"".join(lines) for lines in messages]


def _agree(trailer: bytes, counted: int, where: str) -> None:
    """Compare the count a trailer gives, if it gives one, with what was there."""
    line = trailer.strip()
    fields = line[_FHS_FIELD_SEPARATOR:].split(line[3:4]) if len(line) > len(b"BTS") else []
    said = fields[1].strip() if len(fields) > 1 else b""
    if said and (not said.isdigit() or int(said) != counted):
        raise MalformedMessage("the count does not match", where=where, expected=str(counted))
