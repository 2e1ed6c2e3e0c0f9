"""Experience API: operations. Transactions as a list, as a timeline, and live."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation
from litestar.response import Stream

from canonical.request import RequestFacts
from experience_apis.operations.deadline_views import DeadlineBoard, deadline_board
from experience_apis.operations.replay_routes import begin_replay, preview_replay
from experience_apis.operations.views import (
    TransactionList,
    TransactionView,
    transaction_list,
    transaction_view,
)
from ledger.ledger import Ledger

_HEARTBEAT_SECONDS = 15.0


@get(
    "/transactions",
    operation_id="listTransactions",
    summary="List business transactions, newest first",
    scope="experience.operations:read",
)
async def list_transactions(
    ledger: NamedDependency[SkipValidation[Ledger]],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    before: Annotated[str, QueryParameter(max_length=64)] = "",
) -> TransactionList:
    rows = await ledger.traces.listed(limit=limit + 1, before=before)
    return transaction_list(rows, limit=limit)


@get(
    "/transactions/{name:str}",
    operation_id="showTransaction",
    summary="Show one transaction, hop by hop",
    scope="experience.operations:read",
)
async def show_transaction(
    name: Annotated[str, PathParameter(max_length=128)],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> TransactionView:
    """Find it by its id, order number, MSH-10, ISA13, invoice number or task id."""
    facts.transaction = await ledger.traces.find(name)
    trace = await ledger.traces.trace(facts.transaction)
    tasks = await ledger.tasks.listed(status="any", transaction=trace.id)
    return transaction_view(trace, tasks)


@get(
    "/deadlines",
    operation_id="showDeadlines",
    summary="Show what is due and what is late, by tier and kind",
    scope="experience.operations:read",
)
async def show_deadlines(ledger: NamedDependency[SkipValidation[Ledger]]) -> DeadlineBoard:
    """Count what is open now, and what broke its deadline within the last day."""
    return deadline_board(await ledger.agenda.groups())


@get(
    "/events",
    operation_id="watchTransactions",
    summary="Watch which transaction has just changed (server-sent events)",
    scope="experience.operations:read",
    media_type="text/event-stream",
    include_in_schema=False,
)
async def watch_transactions(ledger: NamedDependency[SkipValidation[Ledger]]) -> Stream:
    return Stream(
        _news(ledger), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _news(ledger: Ledger) -> AsyncGenerator[bytes]:
    async with ledger.live.watch() as queue:
        yield b": watching\n\n"
        while True:
            try:
                transaction = await asyncio.wait_for(queue.get(), _HEARTBEAT_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            told = msgspec.json.encode({"transaction": transaction})
            yield b"event: transaction\ndata: " + told + b"\n\n"


router = Router(
    "/experience/v1/operations",
    route_handlers=[
        list_transactions,
        show_transaction,
        show_deadlines,
        watch_transactions,
        preview_replay,
        begin_replay,
    ],
)
