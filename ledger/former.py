"""What is recorded of a flow that is told again: the newest record of each step over the whole line
of its replays, and whether it still holds.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from canonical.events import TAXONOMY, kind_of
from canonical.published import Published
from canonical.task import Resolution, TaskDraft
from ledger.catalogue import encoded
from ledger.database import Database
from ledger.differences import are_equal, differences
from ledger.ids import derived_id

if TYPE_CHECKING:
    from asyncpg import Record

Mapping = Literal["pinned", "current"]
"""`pinned`: what was read and ruled then holds; `current`: it is read and ruled anew, by the newest
version of the flow.
"""

RECORDED, SUPPRESSED = "recorded", "suppressed"
UNDO_EARLIER = "undo earlier: "
_UNDONE = ("undo: ", UNDO_EARLIER)
_UNDER = "under the earlier key "
_AGAIN = re.compile(r" #\d+$")
EFFECTS = ("effect", "disclose")
_TOLD = (*EFFECTS, "ask", "decide", "wait", "announce", "publish")

_LINE = """
with recursive line as (
    select id, replay_of, status, arrival, 0 as depth from flow where id = $1
    union all
    select f.id, f.replay_of, f.status, f.arrival, line.depth + 1
    from flow f join line on f.id = line.replay_of)
select id, status, arrival from line order by depth"""

_HOPS = """
select flow_id, hop, kind, system, outcome, input, output, versions, why from entry
where transaction_id = $1 and flow_id = any($2::text[]) order by seq"""

_ANSWERS = """
select reason, subject, title, detail, affected, fix, owner, actions, resolution from task
where flow_id = any($1::text[]) and kind = 'decision' and status = 'resolved'
order by resolved_at desc"""

_SIGNALS = "select facts from signal where transaction_id = $1 and event = $2 and key = $3"

# What came of flows that arrived before: a replay does not see its own line, nor what came later.
_RESULTS_BEFORE = """
select result from flow
where transaction_id = $1 and name = $2 and status = 'done' and result is not null
  and coalesce((replay ->> 'arrival')::bigint, arrival) < $3
  and not exists (select 1 from flow again
                  where again.replay_of = flow.id and again.status = 'done')
order by coalesce((replay ->> 'arrival')::bigint, arrival), flow.arrival"""

_PUBLISHED = "select id, body from outbox where id = any($1::text[])"


class ReplayTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a flow is told again: `arrival` of the first flow of its line, `job` '' where it is one
    by itself.
    """

    mapping: Mapping
    by: str
    reason: str
    arrival: int
    job: str = ""


class Past(NamedTuple):
    """The newest record of a step: what went in and came out, who did it under which key, and
    whether it `stands` (nobody has taken it back).
    """

    kind: str
    system: str
    flow: str
    key: str
    input: str | None
    output: str
    versions: str
    stands: bool = True


class Spoken(NamedTuple):
    """What was said: people's answers, announcements by name, published events by id."""

    answers: "list[Record]"
    announced: dict[str, list[str]]
    outbox: dict[str, str]


class Former:
    """The past of a replay. `line` are the flows it tells again, itself first."""

    def __init__(
        self,
        mapping: Mapping,
        line: "list[Record]",
        hops: "list[Record]",
        spoken: "Spoken",
    ) -> None:
        self.pinned = mapping == "pinned"
        self.moments = set[bytes]()
        self.line = tuple(str(row["id"]) for row in line)
        self.arrival = int(line[-1]["arrival"])
        self.steps = _pasts(hops)
        self.undone = {
            str(hop["hop"]).removeprefix("undo: ")
            for hop in hops
            if str(hop["hop"]).startswith("undo: ")
        }
        self._answers, self._announced, self._outbox = spoken
        self._before = {hop["hop"] for hop in hops if hop["flow_id"] != self.line[0]}
        self._given_up = [str(row["id"]) for row in line[1:] if row["status"] == "abandoned"]

    def same(self, before: str | None, after: str) -> bool:
        """Return whether two contents say the same, but for the moment at which it is said."""
        return are_equal(before, after) or all(
            bytes(each.after) in self.moments for each in differences(before, after)
        )

    def standing(self, name: str) -> Past | None:
        """Return the record of a step that nobody has taken back."""
        past = self.steps.get(name)
        return past if past is not None and past.stands else None

    def repeated(self, name: str, said: str) -> Past | None:
        """Return the record of a step where it was told with the same content."""
        past = self.standing(name)
        return past if past is not None and self.same(past.input, said) else None

    def announced(self, name: str, facts: str) -> Past | None:
        """Return the record of an announcement where it said the same."""
        past = self.standing(name)
        same = any(self.same(each, facts) for each in self._announced.get(name, ()))
        return past if same else None

    def published(self, name: str, told: Sequence[Published]) -> bool:
        """Return whether subscribers were told the same under that name. Of what has left the
        outbox it is taken for granted: they are not told twice.
        """
        before = self._told_before(name, told)
        self._announced[name] = [f"[{','.join(text or 'null' for text in before)}]"]
        return all(
            text is None or self.same(text, encoded(each))
            for text, each in zip(before, told, strict=True)
        )

    def _told_before(self, name: str, told: Sequence[Published]) -> list[str | None]:
        flow = self.steps[name].flow
        return [
            self._outbox.get(derived_id("evt", flow, name, kind_of(each).type)) for each in told
        ]

    def said_before(self, name: str) -> str | None:
        """Return what an announcement said."""
        return next(iter(self._announced.get(name, ())), None)

    def answer_to(self, draft: TaskDraft) -> Resolution | None:
        """Return what a person answered when the same was asked."""
        asked = (draft.reason, draft.subject, draft.title, draft.detail)
        asked_of = (draft.affected, draft.fix, draft.owner, list(draft.actions))
        for row in self._answers:
            if tuple(row)[:-1] == (*asked, *asked_of):
                answer = msgspec.json.decode(row["resolution"], type=Resolution)
                if answer.action in draft.actions:
                    return answer
        return None

    def unsure_key(self, name: str) -> str | None:
        """Return the key under which an effect may have been tried that has no record: a flow was
        given up in the middle of it. Under the same key it is not done twice.
        """
        own = (
            step
            for step, past in self.steps.items()
            if past.flow == self.line[0] and past.kind in EFFECTS
        )
        if not self._given_up or name in self._before or any(s not in self._before for s in own):
            return None
        return f"{self._given_up[-1]}/{name}"


async def former_of(
    database: Database, transaction: str, flow: str, mapping: Mapping, *, before: str = ""
) -> Former:
    """Read the past of `flow`; of a replay that is only thought of, that of the flow `before`."""
    line = await database.rows(_LINE, before or flow)
    if before:
        line = [_thought_of(flow, line[0]), *line]
    ids = [str(row["id"]) for row in line]
    hops = await database.rows(_HOPS, transaction, ids)
    announced = dict[str, list[str]]()
    for name, past in _pasts(hops).items():
        if past.kind == "announce":
            announced[name] = await _announced(database, transaction, name, past.flow)
    answers, outbox = await database.rows(_ANSWERS, ids), await _published(database, hops)
    return Former(mapping, line, hops, Spoken(answers, announced, outbox))


def _thought_of(flow: str, newest: "Record") -> Any:
    return {"id": flow, "status": "ready", "arrival": newest["arrival"]}


async def results_before(
    database: Database, transaction: str, flow_name: str, arrival: int
) -> list[str]:
    """Return what the flows of that name came to that arrived before, oldest first."""
    rows = await database.rows(_RESULTS_BEFORE, transaction, flow_name, arrival)
    return [str(row["result"]) for row in rows]


async def _published(database: Database, hops: "list[Record]") -> dict[str, str]:
    """Return what subscribers were told, by the id of the event; what has left is not there."""
    kinds = {kind.name: kind.type for kind in TAXONOMY}
    ids = [
        derived_id("evt", hop["flow_id"], hop["hop"], kinds[name])
        for hop in hops
        if hop["kind"] == "publish" and hop["outcome"] != SUPPRESSED
        for name in str(hop["why"]).split(", ")
        if name in kinds
    ]
    rows = await database.rows(_PUBLISHED, ids)
    return {str(row["id"]): str(row["body"]) for row in rows}


async def _announced(database: Database, transaction: str, name: str, flow: str) -> list[str]:
    """Return what was said under an announcement's name: to the flow it began, or to who waits."""
    child = derived_id("flow", flow, name)
    rows = await database.rows("select facts from flow where id = $1", child)
    if not rows:
        _, event, key = _AGAIN.sub("", name).split(" ", 2)
        rows = await database.rows(_SIGNALS, transaction, event, key)
    return [str(row["facts"]) for row in rows]


def _pasts(hops: "list[Record]") -> dict[str, Past]:
    """Return the newest record of each step; what was taken back does not stand."""
    pasts = dict[str, Past]()
    for hop in hops:
        name, kind = str(hop["hop"]), str(hop["kind"])
        undone = next((name.removeprefix(p) for p in _UNDONE if name.startswith(p)), "")
        if undone in pasts:
            pasts[undone] = pasts[undone]._replace(stands=False)
        elif kind in _TOLD and _is_step(hop):
            pasts[name] = _past(hop)
    return pasts


def _is_step(hop: "Record") -> bool:
    if hop["outcome"] in (RECORDED, SUPPRESSED):
        return False  # it was told again: whoever did it first is named by the earlier hop
    return hop["output"] is not None or hop["kind"] in ("announce", "publish")


def _past(hop: "Record") -> Past:
    own, why = f"{hop['flow_id']}/{hop['hop']}", str(hop["why"])
    return Past(
        kind=hop["kind"],
        system=hop["system"],
        flow=hop["flow_id"],
        key=why.removeprefix(_UNDER) if why.startswith(_UNDER) else own,
        input=hop["input"],
        output="true" if hop["output"] is None else hop["output"],
        versions=hop["versions"],
    )


def earlier_key_note(key: str) -> str:
    """Return how a hop says that an effect was done under the key of an earlier flow."""
    return f"{_UNDER}{key}"


def said(names: tuple[str, ...], args: tuple[Any, ...]) -> str:
    """Return what goes into a call, as its hop records it."""
    return encoded(dict(zip(names, args, strict=False)))
