"""Process API: tasks, and what people decide."""

from typing import Annotated, Literal, Protocol

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter, SkipValidation

from canonical.errors import StateConflict
from canonical.request import RequestFacts
from canonical.task import Resolution, TaskAction
from ledger.cancelling import Cancellation
from ledger.ledger import Ledger
from ledger.tasks import Task


class Redelivery(Protocol):
    """Reads a refused document again, as if it had just come."""

    async def redeliver(self, message: str) -> None: ...


class TaskList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[Task, ...]


class TaskResolution(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One of the task's `actions`, with a reason where something is given up.

    `correction` is a JSON merge patch (RFC 7396) to the facts, for the action `correct`.
    """

    action: TaskAction
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    correction: Annotated[dict[str, msgspec.Raw], msgspec.Meta(max_length=100)] = {}


@get(
    "/tasks",
    operation_id="listTasks",
    summary="List the tasks that wait for a person, oldest first",
    scope="process.tasks:read",
)
async def list_tasks(
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    status: Annotated[Literal["open", "resolved", "any"], QueryParameter()] = "open",
    transaction: Annotated[str, QueryParameter(max_length=64)] = "",
    owner: Annotated[str, QueryParameter(max_length=64)] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> TaskList:
    facts.transaction = transaction
    tasks = await ledger.tasks.listed(
        status=status, transaction=transaction, owner=owner, limit=limit
    )
    return TaskList(items=tuple(tasks))


@post(
    "/tasks/{task_id:str}/resolution",
    operation_id="resolveTask",
    summary="Resolve a task: retry, abandon, approve, accept … as the task allows",
    scope="process.tasks:write",
    status_code=200,
)
async def resolve_task(
    task_id: Annotated[str, PathParameter(max_length=64)],
    data: JSONBody[TaskResolution],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    redelivery: NamedDependency[SkipValidation[Redelivery]],
) -> Task:
    client = facts.principal.client if facts.principal else ""
    if (await ledger.tasks.one(task_id)).reason == "approval":
        raise StateConflict(
            "an approval is decided by an approver",
            where=task_id,
            expected=f"POST /process/v1/requisitions/{task_id}/decision",
        )
    resolved = await ledger.tasks.resolve(
        task_id,
        Resolution(action=data.action, by=client, reason=data.reason, correction=data.correction),
    )
    facts.transaction = resolved.transaction or ""
    if resolved.kind == "refused" and data.action == "retry" and resolved.message:
        await redelivery.redeliver(resolved.message)
    return resolved


class CancellationRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Why a flow is to be cancelled: people will read it in the story."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


@post(
    "/flows/{flow_id:str}/cancellation",
    operation_id="cancelFlow",
    summary="Cancel a flow: it goes no further, and what it did is undone in reverse order",
    scope="process.flows:cancel",
    status_code=202,
)
async def cancel_flow(
    flow_id: Annotated[str, PathParameter(max_length=64)],
    data: JSONBody[CancellationRequest],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> None:
    """Follow it in the transaction: each undoing is a hop, and what cannot be undone a task."""
    client = facts.principal.client if facts.principal else ""
    await ledger.cancel(flow_id, Cancellation(by=client, reason=data.reason))


router = Router("/process/v1", route_handlers=[list_tasks, resolve_task, cancel_flow])
