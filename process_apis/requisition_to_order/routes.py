"""Process API: requisitions and their approval."""

from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody, PathParameter, SkipValidation

from canonical.errors import Forbidden, NotFound, StateConflict
from canonical.request import Reference, RequestFacts
from canonical.requisition import Requisition, RequisitionLine
from canonical.task import Resolution
from ledger.arrival import Announcement
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.submission import Submission, Submitted, hand_in
from ledger.tasks import Task

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
IdempotencyKey = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=128)]


class RequisitionRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A wish to buy: where it is needed, from whom, when, and what."""

    facility: Text
    location: Text
    cost_center: Text
    supplier: Text
    needed_on: date
    lines: Annotated[tuple[RequisitionLine, ...], msgspec.Meta(min_length=1, max_length=200)]
    urgent: bool = False


class ApprovalDecision(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An approver's word. A refusal needs a reason."""

    approved: bool
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


@post(
    "/requisitions",
    operation_id="createRequisition",
    summary="Hand in a requisition; it is checked, priced, approved and ordered",
    scope="process.requisitions:write",
    status_code=202,
)
async def create_requisition(
    data: JSONBody[RequisitionRequest],
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    idempotency_key: IdempotencyKey = "",
) -> Submitted:
    client = facts.principal.client if facts.principal else ""
    identifier = new_id("req")
    requisition = Requisition(**msgspec.structs.asdict(data), requested_by=client, origin="person")
    submitted = await hand_in(
        ledger.messages,
        Submission(
            kind="requisition",
            client=client,
            body=await request.body(),
            idempotency_key=idempotency_key,
            announcement=Announcement(
                event="requisition-raised",
                key=identifier,
                facts=requisition,
                title=f"Requisition for {data.location} in {data.facility}",
                references=(Reference("requisition", identifier),),
            ),
        ),
    )
    facts.transaction = submitted.transaction
    return submitted


@post(
    "/requisitions/{requisition_id:str}/decision",
    operation_id="decideRequisition",
    summary="Approve or decline a requisition that is above the threshold",
    scope="process.requisitions:approve",
    status_code=200,
)
async def decide_requisition(
    requisition_id: Annotated[str, PathParameter(max_length=64)],
    data: JSONBody[ApprovalDecision],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Task:
    """Take the id of `createRequisition`, the ERP's number, or the approval task's id."""
    client = facts.principal.client if facts.principal else ""
    task = await _approval_task(ledger, requisition_id)
    facts.transaction = task.transaction or ""
    if await _requested_by(ledger, task) == client:
        raise Forbidden(
            "who requested may not approve", fix="have another person of the approvers decide"
        )
    return await ledger.tasks.resolve(
        task.id,
        Resolution(action="approve" if data.approved else "decline", by=client, reason=data.reason),
    )


async def _approval_task(ledger: Ledger, requisition: str) -> Task:
    approvals = await ledger.tasks.about(requisition, reason="approval")
    if not approvals:
        raise NotFound("no approval is asked for this requisition", where=requisition)
    waiting = [task for task in approvals if task.status == "open"]
    if not waiting:
        raise StateConflict("this requisition has been decided", where=requisition)
    return waiting[0]


async def _requested_by(ledger: Ledger, task: Task) -> str:
    facts = await ledger.traces.facts_of(task.flow or "")
    return msgspec.json.decode(facts, type=Requisition).requested_by


router = Router("/process/v1", route_handlers=[create_requisition, decide_requisition])
