"""What the demonstration leaves behind: `.suture/demo/report.json` and the closing picture."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from gateway.demo.stage import Stage
from gateway.demo.story import Outcome

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
        receipts=[each for each in state["materialDocuments"] if each.get("order")],
        invoices=state["supplierInvoices"],
        journal=state["balances"],
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
    """Print the timeline, the stock and the books."""
    timeline = Table(title=f"Transaction {told.transaction_id}", title_justify="left", box=None)
    for column in ("at", "system", "hop", "ms"):
        timeline.add_column(column, justify="right" if column == "ms" else "left", no_wrap=True)
    for hop in told.hops:
        took = f"{hop['milliseconds']:.0f}" if hop["milliseconds"] >= 1 else ""
        timeline.add_row(hop["at"][11:23], hop["system"][:18], hop["name"][:58], took)
    console.print(timeline)
    stock = Table(title="Stock at the operating room", title_justify="left", box=None)
    for column in ("item", "before", "after"):
        stock.add_column(column, justify="left" if column == "item" else "right")
    for item, before in told.stock["before"].items():
        stock.add_row(item, before, told.stock["after"].get(item, ""))
    console.print(stock)
    books = Table(title="Journal balances (they add up to zero)", title_justify="left", box=None)
    books.add_column("account")
    books.add_column("balance", justify="right")
    for account, balance in sorted(told.journal.items()):
        books.add_row(account, balance)
    books.add_row("total", str(sum(map(Decimal, told.journal.values()), Decimal(0))))
    console.print(books)


def invitation(stage: Stage, told: Report) -> list[str]:
    """Return what the reader can try now, ready to paste."""
    url, token = stage.running.url, stage.people["operator"].token
    header = f'-H "Authorization: Bearer {token}"'
    waiting = [task for task in told.tasks if task["status"] == "open"]
    lines = [
        f"console   {url}/console#token={token}",
        f"docs      {url}/docs",
        "",
        f"curl {header} {url}/experience/v1/operations/transactions/{told.transaction_id}",
        f"curl {header} {url}/experience/v1/procurement/orders",
        f"curl {header} '{url}{_AVAILABILITY}'",
    ]
    if waiting:
        decision = "-d '{\"approved\": true}'"
        kind = '-H "Content-Type: application/json"'
        path = f"{url}/process/v1/requisitions/{waiting[0]['id']}/decision"
        lines.append(f"curl -X POST {header} {kind} {decision} {path}")
    return lines
