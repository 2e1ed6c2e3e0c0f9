"""The page and the APIs of the operations console with an example story behind them, in memory."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canonical.task import Resolution, TaskAction
from experience_apis.operations.views import transaction_list, transaction_view
from ledger.tasks import Task
from ledger.traces import FlowState, Hop, TransactionRow, TransactionTrace

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "experience_apis" / "operations" / "console"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _ExampleHop(msgspec.Struct, frozen=True, kw_only=True):
    after: int
    name: str
    kind: str
    system: str
    flow: str = ""
    why: str = ""
    outcome: str = "done"
    actor: str = ""
    rule: str = ""
    mapping: str = ""
    message: str | None = None
    milliseconds: float = 0.0
    input: msgspec.Raw = msgspec.Raw(b"null")
    output: msgspec.Raw = msgspec.Raw(b"null")


class _ExampleTask(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    reason: str
    subject: str
    title: str
    detail: str
    affected: str
    fix: str
    owner: str
    actions: tuple[TaskAction, ...]


class _Example(msgspec.Struct, frozen=True, kw_only=True):
    opened: datetime
    title: str
    references: tuple[tuple[str, str], ...]
    flows: tuple[tuple[str, str, str], ...]
    task: _ExampleTask
    others: tuple[str, ...]
    hops: tuple[_ExampleHop, ...]
    later: tuple[_ExampleHop, ...]


class StandIn:
    """The operations API over an example, in memory."""

    transaction = "tx_01JV0A1Q8Z4N7T2C6E9GXYM3KD"
    token = "example-token"
    client = "operations-desk"
    secret = "example-secret"

    def __init__(self) -> None:
        raw = (HERE / "example_story.json").read_bytes()
        self.example = msgspec.json.decode(raw, type=_Example)
        self.shift = datetime.now(UTC) - self.example.opened - timedelta(minutes=5)
        self.hops = [self._hop(number, hop) for number, hop in enumerate(self.example.hops, 1)]
        self.later = iter(self.example.later)
        self.resolution: Resolution | None = None
        self.watchers = set[asyncio.Queue[str]]()

    def _hop(self, seq: int, hop: _ExampleHop, at: datetime | None = None) -> Hop:
        flow = {"flow": f"{hop.flow}/1"} if hop.flow else {}
        said = {"rule": hop.rule, "mapping": hop.mapping}
        return Hop(
            seq=seq,
            at=at or self.example.opened + self.shift + timedelta(milliseconds=hop.after),
            name=hop.name,
            kind=hop.kind,
            system=hop.system,
            outcome=hop.outcome,
            versions=flow | {name: value for name, value in said.items() if value},
            actor=hop.actor,
            why=hop.why,
            milliseconds=hop.milliseconds,
            flow=f"flow_{hop.flow}" if hop.flow else None,
            message=hop.message,
            input=hop.input,
            output=hop.output,
        )

    async def go_on(self) -> None:
        hop = next(self.later)
        self.hops.append(self._hop(len(self.hops) + 1, hop, datetime.now(UTC)))
        self.tell()

    def tell(self) -> None:
        for queue in self.watchers:
            queue.put_nowait(self.transaction)

    @property
    def task(self) -> Task:
        return Task(
            id="task_01JV0C3",
            **msgspec.structs.asdict(self.example.task),
            status="resolved" if self.resolution else "open",
            raised_at=self.example.opened + self.shift + timedelta(seconds=262),
            transaction=self.transaction,
            flow="flow_order-to-receipt",
            resolution=self.resolution,
        )

    @property
    def trace(self) -> TransactionTrace:
        opened = self.example.opened + self.shift
        return TransactionTrace(
            id=self.transaction,
            title=self.example.title,
            status="open" if self.resolution else "attention",
            opened_at=opened,
            changed_at=self.hops[-1].at,
            references=self.example.references,
            flows=tuple(
                FlowState(
                    id=f"flow_{name}",
                    name=name,
                    version="1",
                    status=status,
                    attempts=0,
                    started_at=next(hop.at for hop in self.hops if hop.flow == f"flow_{name}"),
                    waits_for="855, 856 or receipt" if waits and self.resolution else waits,
                )
                for name, status, waits in self.example.flows
            ),
            hops=tuple(self.hops),
        )

    @property
    def rows(self) -> list[TransactionRow]:
        trace = self.trace
        first = TransactionRow(
            id=trace.id,
            title=trace.title,
            status=trace.status,
            opened_at=trace.opened_at,
            changed_at=trace.changed_at,
            hops=len(trace.hops),
            open_tasks=0 if self.resolution else 1,
        )
        others = [
            TransactionRow(
                id=f"tx_01JV0A1Q8Z4N7T2C6E9GXYM{number:03}",
                title=title,
                status="done",
                opened_at=trace.opened_at - timedelta(hours=10 - number),
                changed_at=trace.opened_at - timedelta(hours=9 - number),
                hops=31 + number,
                open_tasks=0,
            )
            for number, title in enumerate(self.example.others)
        ]
        return [first, *reversed(others)]

    # What the page asks.

    async def listed(self, call: Request) -> Response:
        limit, before = int(call.query_params["limit"]), call.query_params.get("before", "")
        rows = [row for row in self.rows if not before or row.id < before]
        return _json(transaction_list(rows[: limit + 1], limit))

    async def one(self, call: Request) -> Response:
        names = {self.transaction, self.task.id, *(value for _, value in self.example.references)}
        if call.path_params["name"] not in names:
            return _problem(404, "no transaction goes by this name")
        return _json(transaction_view(self.trace, [self.task]))

    async def events(self, _: Request) -> Response:
        return StreamingResponse(self._news(), media_type="text/event-stream")

    async def _news(self) -> AsyncGenerator[str]:
        queue = asyncio.Queue[str]()
        self.watchers.add(queue)
        try:
            yield ": here\n\n"
            while True:
                transaction = await queue.get()
                yield f'event: transaction\ndata: {{"transaction":"{transaction}"}}\n\n'
        finally:
            self.watchers.discard(queue)

    async def resolve(self, call: Request) -> Response:
        asked = msgspec.json.decode(await call.body(), type=dict[str, str])
        self.resolution = msgspec.convert(asked | {"by": self.client}, Resolution)
        told = _ExampleHop(
            after=0,
            name=f"task resolved: {self.resolution.action}",
            kind="approval",
            system="procurement",
            flow="order-to-receipt",
            outcome=self.resolution.action,
            actor=self.client,
            why=self.resolution.reason,
        )
        self.hops.append(self._hop(len(self.hops) + 1, told, datetime.now(UTC)))
        self.tell()
        return _json(self.task)

    async def sign_in(self, call: Request) -> Response:
        known = base64.b64encode(f"{self.client}:{self.secret}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {known}":
            return Response(b'{"error":"invalid_client"}', 401, media_type="application/json")
        return _json({"access_token": self.token, "token_type": "Bearer", "expires_in": 600})

    async def file(self, call: Request) -> Response:
        return FileResponse(PAGE / call.path_params.get("file", "index.html"))

    @property
    def app(self) -> Starlette:
        operations = "/experience/v1/operations"
        return Starlette(
            routes=[
                Route("/console", self.file),
                Route("/console/{file}", self.file),
                Route("/oauth/token", self.sign_in, methods=["POST"]),
                Route(f"{operations}/transactions", self.listed),
                Route(f"{operations}/transactions/{{name}}", self.one),
                Route(f"{operations}/events", self.events),
                Route("/process/v1/tasks/{id}/resolution", self.resolve, methods=["POST"]),
            ],
            middleware=[Middleware(_Guard, token=self.token)],
        )


class _Guard:
    """The headers of the gateway, and its bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"content-security-policy", POLICY.encode()))
            await send(message)

        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        free = scope["path"].startswith(("/console", "/oauth"))
        refused = not free and given != f"Bearer {self.token}"
        app = _problem(401, "the token is not valid") if refused else self.app
        await app(scope, receive, with_policy)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _problem(status: int, detail: str) -> Response:
    body = msgspec.json.encode({"status": status, "detail": detail})
    return Response(body, status, media_type="application/problem+json")
