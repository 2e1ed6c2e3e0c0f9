"""What a replay would do, step by step: the words of its preview."""

from typing import Literal

import msgspec

from ledger.differences import Difference
from ledger.former import Mapping

Verdict = Literal[
    "recorded",
    "same",
    "differs",
    "suppressed",
    "would-be-done",
    "would-be-undone-and-done",
    "would-be-announced",
    "would-wait",
    "would-ask-a-person",
    "left-standing",
    "fails",
]
"""`recorded`: the record holds. `same`, `differs`: told anew, with the same or another result.
`suppressed`: done, said or answered before with the same content. `left-standing`: done before,
and the replay does not come to it.
"""

QUIET: frozenset[Verdict] = frozenset(("recorded", "same", "suppressed"))
"""What changes nothing."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One step. `differences` are those of the content of an effect or announcement, or of the
    result of what is read, ruled or waited for.
    """

    name: str
    kind: str
    system: str
    verdict: Verdict
    why: str = ""
    differences: tuple[Difference, ...] = ()
    versions_before: dict[str, str] = {}
    versions_after: dict[str, str] = {}


class Preview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a replay of `flow` would do; nothing has been written. `ends` says how it would end:
    done, waiting, stuck, or unknown where it depends on what another system would answer.
    """

    transaction: str
    flow: str
    name: str
    key: str
    from_step: str
    mapping: Mapping
    version_before: str
    version_after: str
    ends: Literal["done", "waiting", "stuck", "unknown"]
    changes: bool
    summary: dict[str, int]
    facts: tuple[Difference, ...]
    steps: tuple[Judgement, ...]
