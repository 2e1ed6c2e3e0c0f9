"""MSH-18 character sets (HL7 table 0211) and what to decode them with.

An empty MSH-18 reads as UTF-8, of which the standard's ASCII default is a part. Sets that switch
inside the message (ISO IR87, IR159) and the 16/32-bit ones, which MLLP cannot carry, are refused.
"""

from canonical.errors import MalformedMessage, UnsupportedMessage

DEFAULT = "utf-8"

_CODECS = {
    "": DEFAULT,
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "US-ASCII": "ascii",
    "UNICODE UTF-8": DEFAULT,
    "UTF-8": DEFAULT,
    "UTF8": DEFAULT,
    "UNICODE": DEFAULT,
    "LATIN1": "latin-1",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    **{f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    **{f"ISO-8859-{part}": f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    **{f"ISO8859-{part}": f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
}


def codec(declared: str) -> str:
    """Return the codec for the first repetition of MSH-18, or raise `UnsupportedMessage`."""
    found = _CODECS.get(declared.strip().upper())
    if found is None:
        raise UnsupportedMessage(
            "a character set that is not read here",
            where="MSH-18",
            expected="UNICODE UTF-8, ASCII, 8859/1 to 8859/16, GB 18030-2000, KS X 1001 or BIG-5",
        )
    return found


def decoded(body: bytes, name: str) -> str:
    """Decode the whole message; undecodable bytes are named by their offset, never guessed."""
    try:
        return body.decode(name)
    except UnicodeDecodeError as exc:
        raise MalformedMessage(
            f"byte {exc.start} is not valid in the declared character set",
            where="MSH-18",
            expected=f"{name} text, or the character set the sender really uses",
        ) from exc
