"""UDI text in any of the three accredited formats into one Udi, or `MalformedMessage`.

Rules:
- the format is read from the text: a symbology identifier, `(`, `+`, `=`, `&`, a URI, digits;
- every check character is verified; nothing that was printed is dropped silently;
- a failure names the place and the rule, never the value: a serial number is patient-linked.
"""

import re

from canonical.errors import MalformedMessage
from standards.udi import gs1, hibcc, iccbba
from standards.udi.identifier import Issuer, Udi

__all__ = ["Issuer", "Udi", "parse"]

_MAX_LENGTH = 512
_SYMBOLOGY = re.compile(r"\](?P<kind>[A-Za-z][0-9])")
_GS1_CARRIERS = frozenset({"C1", "e0", "d2", "Q3", "J1"})
_SHOWN_FNC1 = str.maketrans({"\u2194": "\x1d", "\u241d": "\x1d"})
"""How CP437 consoles and editors show the group separator, as seen in published FHIR examples."""


def parse(text: str) -> Udi:
    """Read a UDI as scanned, printed or typed; raise `MalformedMessage` when it is not one."""
    scan = text.lstrip(" \t\r\n").translate(_SHOWN_FNC1)
    if not scan.strip() or len(scan) > _MAX_LENGTH or not scan.isascii():
        raise MalformedMessage(
            "empty, too long, or with characters no issuer allows",
            where="UDI",
            expected="a GS1, HIBCC or ICCBBA UDI",
        )
    symbology = _SYMBOLOGY.match(scan)
    if symbology is None:
        return _by_content(scan)
    scan = scan[symbology.end() :]
    if symbology["kind"] in _GS1_CARRIERS and not scan.startswith(("http:", "https:")):
        return gs1.from_element_string(scan, separators_kept=True)
    return _by_content(scan)


def _by_content(scan: str) -> Udi:
    text = scan.strip()
    if text.startswith(("+", "*+")):
        return hibcc.parse(scan)
    if text.startswith(("=", "&")):
        return iccbba.parse(text)
    if text.startswith("("):
        return gs1.from_human_readable(text)
    if text.lower().startswith(("http://", "https://")):
        return gs1.from_digital_link(text)
    if text.isascii() and text.isdigit() and len(text) in (8, 12, 13, 14):
        return gs1.from_gtin(text)
    if text.lstrip("\x1d")[:2] in gs1.FIRST_IDENTIFIERS:
        return gs1.from_element_string(scan, separators_kept=False)
    raise MalformedMessage(
        "not a UDI of any accredited issuer",
        where="UDI",
        expected="a GS1 element string or (01) text, HIBCC +, ICCBBA =/, or a GTIN",
    )
