"""What the demonstration leaves behind: `.suture/demo/report.json` and the closing picture."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from gateway.demo.stage import Stage
from gateway.demo.story import Outcome

_GOODS_RECEIPT = "WE"
_QUIET = frozenset({"ask", "decide", "announce", "publish", "wait", "end"})
_AVAILABILITY = (
    "/experience/v1/mobile/items/00844588017735/availability?facility=1710&location=OR01"
)


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The machine-readable end of the story."""

    outcome: str
    transaction_id: str
    hops: list[dict[str, Any]]
    stock: dict[str, dict[str, str]]
    orders: list[dict[str, Any]]
    receipts: list[dict[str, Any]]
    invoices: list[dict[str, Any]]
    journal: dict[str, str]
    tasks: list[dict[str, Any]]
    elapsed_seconds: float


async def report(stage: Stage, outcome: Outcome, elapsed: float) -> Report:
    """Collect the report: the story from the operations API, the books from the ERP itself."""
    operator = stage.people["operator"]
    trace = await operator.call(
        "GET", f"/experience/v1/operations/transactions/{outcome.transaction}"
    )
    tasks = await operator.call("GET", "/process/v1/tasks", params={"status": "any"})
    state = (await stage.erp.get("/sim/state")).json()
    told = ("name", "kind", "system", "at", "outcome", "why", "actor", "versions", "milliseconds")
    return Report(
        outcome=outcome.outcome,
        transaction_id=outcome.transaction,
        hops=[{name: hop[name] for name in told} for hop in trace["hops"]],
        stock={"before": outcome.stock_before, "after": outcome.stock_after},
        orders=state["purchaseOrders"],
        receipts=[
            each
            for each in state["materialDocuments"]
            if each["inventoryTransactionType"] == _GOODS_RECEIPT
        ],
        invoices=state["supplierInvoices"],
        journal=state["journal"]["balances"],
        tasks=tasks["items"],
        elapsed_seconds=round(elapsed, 3),
    )


def write(told: Report, folder: Path) -> Path:
    """Write report.json; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "report.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return file


def show(console: Console, told: Report) -> None:
    """Print the timeline (what changed something or came from outside), the stock and the books."""
    timeline = _table(f"Transaction {told.transaction_id}", "time", "system", "hop", ">ms")
    shown = [hop for hop in told.hops if hop["kind"] not in _QUIET]
    for hop in shown:
        took = f"{hop['milliseconds']:.0f}" if hop["milliseconds"] >= 1 else ""
        timeline.add_row(hop["at"][11:23], hop["system"], hop["name"], took)
    console.print(timeline)
    console.print(f"  … and {len(told.hops) - len(shown)} reads, rules and waits between them\n")
    stock = _table("Stock at the operating room", "item", ">before", ">after")
    for item, before in told.stock["before"].items():
        stock.add_row(item, before, told.stock["after"].get(item, ""))
    console.print(stock)
    books = _table("Journal balances of the ERP", "account", ">balance")
    for account, balance in sorted(told.journal.items()):
        books.add_row(account, balance)
    books.add_row("sum", str(sum(map(Decimal, told.journal.values()), Decimal(0))))
    console.print(books)


def _table(title: str, *columns: str) -> Table:
    """Return a plain table; a column that begins with `>` is a number."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, min_width=60)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return table


def invitation(stage: Stage, told: Report) -> list[str]:
    """Return what the reader can try now, ready to paste."""
    url, token = stage.running.url, stage.people["operator"].token
    header = '-H "Authorization: Bearer $TOKEN"'
    waiting = [task for task in told.tasks if task["status"] == "open"]
    order = told.orders[0]["purchaseOrder"]
    lines = [
        f"console  {url}/console#token={token}",
        f"docs     {url}/docs",
        f"trace    .venv/bin/suture trace --demo {order}",
        f'replay   .venv/bin/suture replay --demo {order} --from "three-way match" --preview',
        "",
        f"TOKEN={token}",
        f"curl {header} {url}/experience/v1/operations/transactions/{order}",
        f"curl {header} {url}/experience/v1/procurement/orders",
        f"curl {header} '{url}{_AVAILABILITY}'",
    ]
    if waiting:
        approve = '-H "Content-Type: application/json" -d \'{"approved": true}\''
        path = f"{url}/process/v1/requisitions/{waiting[0]['id']}/decision"
        lines.append(f"curl -X POST {header} {approve} {path}")
    return lines
