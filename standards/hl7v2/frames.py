"""MLLP framing (HL7 v2 transport specification, release 1): 0x0B, the message, 0x1C 0x0D. Sans-IO.

Rules:
- bytes before 0x0B are no message: they are counted in `junk` and dropped;
- a frame ends with both end bytes; 0x1C alone is part of the message (the reader refuses it);
- each byte is looked at once, however the stream is cut;
- whole frames are handed out before a failure: call `feed(b"")` again until it gives none.
"""

from canonical.errors import BodyTooLarge

START = b"\x0b"
END = b"\x1c\x0d"
MAX_FRAME = 16 << 20


def frame(message: bytes) -> bytes:
    """Return `message` as it goes over the wire."""
    return START + message + END


class Framer:
    """Cuts a byte stream into messages."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.junk = 0
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._inside = False
        self._scanned = 0

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._inside

    @property
    def partial(self) -> bytes:
        """What has arrived of the frame that has not ended."""
        return bytes(self._buffer) if self._inside else b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take `chunk` and return the messages it completes; raise `BodyTooLarge` on a huge one."""
        self._buffer += chunk
        messages = list[bytes]()
        while self._inside or self._opened():
            end = self._buffer.find(END, self._scanned)
            length = end if end >= 0 else len(self._buffer)
            if length > self._max_frame:
                if messages:
                    break
                raise BodyTooLarge(
                    "the frame is too long", expected=f"at most {self._max_frame} bytes"
                )
            if end < 0:
                self._scanned = max(0, length - 1)
                break
            messages.append(bytes(self._buffer[:end]))
            del self._buffer[: end + len(END)]
            self._inside = False
            self._scanned = 0
        return messages

    def _opened(self) -> bool:
        start = self._buffer.find(START)
        self.junk += start if start >= 0 else len(self._buffer)
        if start < 0:
            self._buffer.clear()
            return False
        del self._buffer[: start + 1]
        self._inside = True
        return True
