"""Quantities on hand by batch, serial numbers and batches; nothing here knows why they move."""

from datetime import date
from decimal import Decimal

from sandbox.erp.store import Row, SapError, number, text
from sandbox.erp.system import ZERO, System

_KEYS = ("Supplier", "Customer", "WBSElementInternalID", "SDDocument", "SDDocumentItem")


def on_hand(system: System, material: str, place: tuple[str, str], batch: str) -> Decimal:
    """Return the unrestricted stock of a batch at (plant, storage location)."""
    row = _row(system, material, place, batch)
    return number(row, "MatlWrhsStkQtyInMatlBaseUnit") if row else ZERO


def change(
    system: System, material: str, place: tuple[str, str], batch: str, quantity: Decimal
) -> None:
    """Add to (or with a negative quantity take from) the stock of a batch."""
    table = system.store["A_MatlStkInAcctMod"]
    row = _row(system, material, place, batch)
    if row is None:
        product = system.store["A_Product"].get(material) or {}
        row = table.insert(
            {
                "Material": material,
                "Plant": place[0],
                "StorageLocation": place[1],
                "Batch": batch,
                "InventoryStockType": "01",
                "MaterialBaseUnit": text(product, "BaseUnit"),
            }
        )
    quantity += number(row, "MatlWrhsStkQtyInMatlBaseUnit")
    table.update(row, MatlWrhsStkQtyInMatlBaseUnit=quantity)


def _row(system: System, material: str, place: tuple[str, str], batch: str) -> Row | None:
    rest = tuple("" for _ in _KEYS)
    return system.store["A_MatlStkInAcctMod"].get(material, *place, batch, *rest, "", "01")


def keep_batch(system: System, material: str, batch: str, expires: date | None) -> None:
    """Create the batch's master record at its first receipt, as the real system does."""
    table = system.store["Batch"]
    if batch and table.get(material, "", batch) is None:
        table.insert(
            {
                "Material": material,
                "BatchIdentifyingPlant": "",
                "Batch": batch,
                "ShelfLifeExpirationDate": expires,
            }
        )


def require_serial(system: System, row: Row, serial: str, *, here: bool) -> None:
    """Refuse a serial number that is not where the movement needs it, or already in stock."""
    material = text(row, "Material")
    known = system.store["A_MaterialSerialNumber"].get(material, serial)
    at = (text(known, "Plant"), text(known, "StorageLocation")) if known else ("", "")
    place = (text(row, "Plant"), text(row, "StorageLocation"))
    if here and (known is None or at != place or text(known, "Batch") != text(row, "Batch")):
        message = f"Serial number {serial} not available for goods movement, material {material}"
        raise SapError(400, "IO/231", message)
    if not here and at[0]:
        raise SapError(400, "IO/227", f"Serial number {serial} of {material} is already in stock")


def place_serial(system: System, row: Row, serial: str, *, here: bool) -> None:
    """Put a serial number into the stock of the movement's place, or out of any."""
    table = system.store["A_MaterialSerialNumber"]
    known = table.get(text(row, "Material"), serial)
    if known is None:
        known = table.insert({"Material": row["Material"], "SerialNumber": serial})
    table.update(
        known,
        Plant=text(row, "Plant") if here else "",
        StorageLocation=text(row, "StorageLocation") if here else "",
        Batch=text(row, "Batch"),
        InventoryStockType="01" if here else "",
    )
