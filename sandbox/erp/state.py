"""The totals of a simulated system: what tests assert conservation on and the demo shows."""

from collections import Counter
from collections.abc import Iterable

from sandbox.erp.store import Row, Value, flag, number, text
from sandbox.erp.system import System

Totals = dict[str, object]


def totals(system: System, calls: Counter[str]) -> Totals:
    """Everything that must stay true across crashes, duplicates and replays."""
    store = system.store
    return {
        "stock": [_shelf(row) for row in store["A_MatlStkInAcctMod"].rows()],
        "reservations": len(store["A_ReservationDocumentHeader"]),
        "openReservations": [
            _named(row, ("Reservation", "Product", "Plant", "StorageLocation"))
            | {"quantity": number(row, "ResvnItmRequiredQtyInBaseUnit")}
            for row in store["A_ReservationDocumentItem"].find(
                {"ReservationItemIsFinallyIssued": False, "ReservationItmIsMarkedForDeltn": False}
            )
        ],
        "requisitions": _list(store["A_PurchaseRequisitionHeader"].rows(), "PurchaseRequisition"),
        "openRequisitions": _open_requisitions(store["A_PurchaseRequisitionItem"].rows()),
        "purchaseOrders": [
            _named(row, ("PurchaseOrder", "Supplier", "CorrespncInternalReference"))
            for row in store["A_PurchaseOrder"].rows()
        ],
        "materialDocuments": [
            _named(row, ("MaterialDocument", "InventoryTransactionType", "ReferenceDocument"))
            for row in store["A_MaterialDocumentHeader"].rows()
        ],
        "supplierInvoices": [
            _named(row, ("SupplierInvoice", "InvoicingParty", "SupplierInvoiceIDByInvcgParty"))
            | {"blocked": bool(text(row, "PaymentBlockingReason"))}
            for row in store["A_SupplierInvoice"].rows()
        ],
        "committed": {
            text(row, "CostCenter"): number(row, "CommittedAmount")
            for row in store["CostCenterBudgetSet"].rows()
        },
        "journal": {
            "lines": len(store["A_OperationalAcctgDocItemCube"]),
            "balances": dict(sorted(system.balances.items())),
            "sum": sum(system.balances.values()),
        },
        "calls": dict(sorted(calls.items())),
    }


def _shelf(row: Row) -> dict[str, Value]:
    return {
        "material": row["Material"],
        "plant": row["Plant"],
        "location": row["StorageLocation"],
        "batch": row["Batch"],
        "quantity": number(row, "MatlWrhsStkQtyInMatlBaseUnit"),
    }


def _open_requisitions(rows: Iterable[Row]) -> list[dict[str, Value]]:
    return [
        _named(row, ("PurchaseRequisition", "PurchaseRequisitionItem", "Material"))
        | {"quantity": number(row, "RequestedQuantity") - number(row, "OrderedQuantity")}
        for row in rows
        if not text(row, "IsDeleted") and not flag(row, "IsClosed")
    ]


def _named(row: Row, names: tuple[str, ...]) -> dict[str, Value]:
    return {f"{name[0].lower()}{name[1:]}": row[name] for name in names}


def _list(rows: Iterable[Row], name: str) -> list[str]:
    return [text(row, name) for row in rows]
