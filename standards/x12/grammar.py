"""The part of the X12 grammar that our sets use: elements, segments and what a set must hold.

Taken from releases 004010 and 005010; where they differ in length the longer limit holds. Only the
segments we read or write are listed: an unlisted segment is let through, because partners send
many more than anyone maps.
"""

from typing import Final, NamedTuple

_ELEMENTS: Final = {
    "2": "N0 1 6",
    "28": "N0 1 9",
    "66": "ID 1 2",
    "67": "AN 2 80",
    "76": "AN 1 22",
    "87": "AN 1 48",
    "88": "ID 1 2",
    "91": "ID 1 2",
    "92": "ID 2 2",
    "93": "AN 1 60",
    "96": "N0 1 10",
    "97": "N0 1 6",
    "98": "ID 2 3",
    "100": "ID 3 3",
    "123": "N0 1 6",
    "127": "AN 1 50",
    "128": "ID 2 3",
    "133": "ID 1 2",
    "143": "ID 3 3",
    "212": "R 1 17",
    "234": "AN 1 80",
    "235": "ID 2 2",
    "248": "ID 1 1",
    "324": "AN 1 22",
    "326": "AN 1 45",
    "327": "AN 1 8",
    "328": "AN 1 30",
    "329": "AN 1 9",
    "330": "R 1 15",
    "337": "TM 4 8",
    "347": "R 1 10",
    "349": "ID 1 1",
    "350": "AN 1 20",
    "352": "AN 1 80",
    "353": "ID 2 2",
    "354": "N0 1 6",
    "355": "ID 2 2",
    "358": "R 1 15",
    "367": "AN 1 30",
    "373": "DT 8 8",
    "374": "ID 3 3",
    "380": "R 1 15",
    "382": "R 1 10",
    "387": "AN 1 35",
    "396": "AN 2 30",
    "447": "AN 1 6",
    "479": "ID 2 2",
    "480": "AN 1 12",
    "559": "ID 2 2",
    "587": "ID 2 2",
    "610": "N2 1 15",
    "628": "AN 1 12",
    "639": "ID 2 2",
    "640": "ID 2 2",
    "646": "R 1 15",
    "668": "ID 2 2",
    "715": "ID 1 1",
    "716": "ID 1 3",
    "717": "ID 1 1",
    "718": "ID 1 3",
    "719": "N0 1 10",
    "720": "ID 1 3",
    "721": "ID 2 3",
    "723": "ID 1 3",
    "724": "AN 1 99",
    "725": "N0 1 4",
    "734": "AN 1 12",
    "735": "ID 1 2",
    "736": "ID 1 1",
    "750": "ID 2 3",
    "751": "AN 1 12",
    "782": "R 1 18",
    "954": "R 1 10",
    "963": "ID 2 2",
    "1005": "ID 4 4",
    "1300": "ID 4 4",
    "1301": "AN 1 10",
    "1705": "AN 1 35",
}
"""Data elements: type, minimum and maximum length."""

_PRODUCTS: Final = " 235 234" * 10

_SEGMENTS: Final = {
    "ACK": "668! 380 355 374 373 326" + _PRODUCTS,
    "AK1": "479! 28! 480",
    "AK2": "143! 329! 1705",
    "AK3": "721! 719! 447 720",
    "AK4": "- 725 723! 724",
    "AK5": "717! 718 718 718 718 718",
    "AK9": "715! 97! 123! 2! 716 716 716 716 716",
    "BAK": "353! 587! 324! 373! 328 326 367 127 373 640",
    "BCA": "353! 587 324! 328 327 373!",
    "BCH": "353! 92! 324! 328 327 373!",
    "BEG": "353! 92! 324! 328 373! 367",
    "BIG": "373! 76! 373 324 328 327 640 353",
    "BSN": "353! 396! 373! 337! 1005",
    "CTT": "354! 347",
    "CUR": "98! 100!",
    "DTM": "374! 373 337",
    "HL": "628! 734 735! 736",
    "IK3": "721! 719! 447 720",
    "IK4": "- 725 723! 724",
    "IK5": "717! 718 718 718 718 718",
    "IT1": "350 358 355 212 639" + _PRODUCTS,
    "LIN": "350 235! 234!" + _PRODUCTS,
    "MAN": "88! 87! 87",
    "N1": "98! 93 66 67",
    "PID": "349! 750 559 751 352",
    "PO1": "350 330 355 212 639" + _PRODUCTS,
    "PRF": "324! 328 327 373 350 367",
    "REF": "128! 127 352",
    "SAC": "248! 1300 559 1301 610",
    "SE": "96! 329!",
    "SN1": "350 382! 355! 646 330 355",
    "ST": "143! 329! 1705",
    "TD5": "133 66 67 91 387",
    "TDS": "610! 610 610 610",
    "TXI": "963! 782 954",
}
"""Segments as their data elements in order; `!` is mandatory, `-` is not looked at."""

PAIRS: Final = {"ACK": (2, 3), "N1": (3, 4), "PO1": (6, 7), "IT1": (6, 7)}
"""Syntax note P: if one of the two is there, the other must be too (AK403 2)."""


class ElementRule(NamedTuple):
    reference: str
    kind: str
    low: int
    high: int
    mandatory: bool


class SetRule(NamedTuple):
    """`begin` follows ST at once, `required` must occur, `once` at most once, and no `detail`
    comes after a `summary`.
    """

    begin: str
    required: frozenset[str]
    once: frozenset[str]
    detail: frozenset[str]
    summary: frozenset[str]


def _element(spelled: str) -> ElementRule | None:
    if spelled == "-":
        return None
    reference = spelled.rstrip("!")
    kind, low, high = _ELEMENTS[reference].split()
    return ElementRule(reference, kind, int(low), int(high), spelled.endswith("!"))


def _rule(begin: str, required: str = "", detail: str = "", summary: str = "") -> SetRule:
    return SetRule(
        begin=begin,
        required=frozenset(required.split()),
        once=frozenset((begin, *summary.split())),
        detail=frozenset(detail.split()),
        summary=frozenset(summary.split()),
    )


SEGMENTS: Final = {
    name: tuple(_element(each) for each in spelled.split()) for name, spelled in _SEGMENTS.items()
}

SETS: Final = {
    "850": _rule("BEG", "PO1", "PO1", "CTT"),
    "855": _rule("BAK", "", "PO1 ACK", "CTT"),
    "856": _rule("BSN", "HL", "HL LIN SN1", "CTT"),
    "860": _rule("BCH", "", "POC", "CTT"),
    "865": _rule("BCA", "", "POC", "CTT"),
    "810": _rule("BIG", "TDS", "IT1", "TDS CTT"),
    "997": _rule("AK1", "AK9", "AK2 AK5", "AK9"),
    "999": _rule("AK1", "AK9", "AK2 IK5", "AK9"),
}
