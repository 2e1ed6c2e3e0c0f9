"""One row of the table of attacks: what is tried, and how it must be refused."""

from typing import NamedTuple


class Case(NamedTuple):
    """`kind` groups rows («algorithm», «redirect», …); `refused` is the OAuth or problem code."""

    name: str
    kind: str
    refused: str
