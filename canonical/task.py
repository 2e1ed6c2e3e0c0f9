"""Exception tasks: where work is stuck, a person gets something to act on."""

from typing import Literal

import msgspec

TaskAction = Literal[
    "retry",
    "correct",
    "compensate",
    "abandon",
    "approve",
    "decline",
    "accept",
    "reject",
    "acknowledge",
]
"""`correct` goes on with corrected facts, `compensate` undoes what was done so far."""


class TaskDraft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a person needs to act: what happened, who is affected, what would help, and what may be
    done.

    `reason` is a slug of the failure vocabulary or of the decision asked for; `subject` the
    document it is about; `owner` the team
    that acts.
    """

    reason: str
    title: str
    detail: str
    owner: str
    actions: tuple[TaskAction, ...]
    subject: str = ""
    affected: str = ""
    fix: str = ""


class Resolution(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the person decided. `correction` is a JSON merge patch (RFC 7396) to the facts."""

    action: TaskAction
    by: str
    reason: str = ""
    correction: dict[str, msgspec.Raw] = {}
