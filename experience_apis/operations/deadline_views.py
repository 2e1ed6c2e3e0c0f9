"""What the operations desk sees of deadlines: by tier and kind, with the transactions behind it.

The record is read by attribute (`ledger.agenda`), because views know no ledger.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec


class DueItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that is or was due in a transaction, and who is affected when it is late."""

    transaction: str
    what: str
    due_at: datetime | None
    affected: str
    overdue: bool


class DeadlineGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One kind of deadline in one tier: how many are open in time (`waiting`), open and late
    (`overdue`), and broke their deadline within a day. The most pressing twenty are named.
    """

    tier: str
    kind: str
    waiting: int
    overdue: int
    breached_last_day: int
    pressing: tuple[DueItem, ...]
    broken: tuple[DueItem, ...]


class DeadlineBoard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every tier and kind with something open or lately late, critical ones first."""

    waiting: int
    overdue: int
    breached_last_day: int
    groups: tuple[DeadlineGroup, ...]


def deadline_board(rows: Sequence[msgspec.Struct]) -> DeadlineBoard:
    """Return the board, with its totals."""
    groups = msgspec.convert(rows, tuple[DeadlineGroup, ...], from_attributes=True)
    return DeadlineBoard(
        waiting=sum(group.waiting for group in groups),
        overdue=sum(group.overdue for group in groups),
        breached_last_day=sum(group.breached_last_day for group in groups),
        groups=groups,
    )
