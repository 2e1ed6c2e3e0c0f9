"""From the seed to rows: master data in the vendor's form, opening stock as a balanced posting."""

from datetime import date
from decimal import Decimal

from sandbox.erp import books, stock
from sandbox.erp.seed import CostCenterSeed, ItemSeed, PriceSeed, Seed, StockSeed, SupplierSeed
from sandbox.erp.store import Row
from sandbox.erp.system import System, cents

UNITS = {"EA": "ST", "CA": "KAR", "PK": "PAK", "PR": "PAA", "DZ": "DZ", "BT": "FL", "RL": "ROL"}
"""Hospital unit to the vendor's internal unit (T006); what is missing is spelled the same."""

GROUPS = {"implant": "IMPLANT", "reagent": "REAGENT", "medication": "PHARMA", "equipment": "EQUIP"}

_FOREVER = date(9999, 12, 31)


def unit(code: str) -> str:
    """Spell a hospital unit as the vendor does."""
    return UNITS.get(code, code)


def load(system: System, seed: Seed) -> None:
    """Fill an empty system."""
    plants = sorted({each.facility for each in seed.locations})
    for item in seed.items:
        _product(system, item, plants)
    for supplier in seed.suppliers:
        _supplier(system, supplier)
    for center in seed.cost_centers:
        _cost_center(system, center)
    for lot in seed.lots:
        stock.keep_batch(system, lot.item, lot.number, lot.expires)
    items = {item.id: item for item in seed.items}
    opening = [line for each in seed.stock for line in _opened(system, each, items[each.item].cost)]
    original = f"0000000001{system.today.year}"
    books.post(
        system,
        books.Voucher("SA", system.today, "BKPFF", original, tuple(opening), header_text="Opening"),
    )
    for number, price in enumerate(seed.contracts, start=1):
        _info_record(system, number, price, items[price.item])


def _product(system: System, item: ItemSeed, plants: list[str]) -> None:
    base = unit(item.base_unit)
    serial = "0001" if item.serial_controlled else ""
    system.store["A_Product"].insert(
        {
            "Product": item.id,
            "ProductType": "HAWA",
            "CrossPlantStatus": "" if item.active else "01",
            "ProductGroup": GROUPS.get(item.kind, "CONSUM"),
            "BaseUnit": base,
            "PurchaseOrderQuantityUnit": unit(item.order_unit) if item.order_unit else base,
            "ProductStandardID": item.gtin,
            "ProductManufacturerNumber": item.catalogue,
            "IsBatchManagementRequired": item.lot_controlled,
            "SerialNumberProfile": serial,
        }
    )
    system.store["A_ProductDescription"].insert(
        {"Product": item.id, "Language": "EN", "ProductDescription": item.description}
    )
    _units(system, item, base)
    for plant in plants:
        row: Row = {"Product": item.id, "Plant": plant, "BaseUnit": base}
        system.store["A_ProductPlant"].insert(row | {"SerialNumberProfile": serial})
        system.store["A_ProductValuation"].insert(
            {
                "Product": item.id,
                "ValuationArea": plant,
                "InventoryValuationProcedure": "V",
                "MovingAveragePrice": cents(item.cost),
                "PriceUnitQty": Decimal(1),
                "Currency": system.company.currency,
                "BaseUnit": base,
            }
        )


def _units(system: System, item: ItemSeed, base: str) -> None:
    levels = [(base, Decimal(1), item.gtin)]
    levels += [(unit(pack.unit), pack.factor, pack.gtin) for pack in item.packagings]
    for code, factor, gtin in levels:
        system.store["A_ProductUnitsOfMeasure"].insert(
            {
                "Product": item.id,
                "AlternativeUnit": code,
                "QuantityNumerator": factor,
                "QuantityDenominator": Decimal(1),
                "GlobalTradeItemNumber": gtin,
                "GlobalTradeItemNumberCategory": "IC" if gtin else "",
                "BaseUnit": base,
            }
        )


def _supplier(system: System, supplier: SupplierSeed) -> None:
    system.store["A_Supplier"].insert(
        {
            "Supplier": supplier.id,
            "SupplierName": supplier.name,
            "SupplierFullName": supplier.name,
            "PurchasingIsBlocked": supplier.blocked,
        }
    )


def _cost_center(system: System, center: CostCenterSeed) -> None:
    key: Row = {
        "ControllingArea": system.company.controlling_area,
        "CostCenter": center.id,
        "ValidityEndDate": _FOREVER,
    }
    system.store["A_CostCenter"].insert(
        key
        | {
            "ValidityStartDate": date(2020, 1, 1),
            "CompanyCode": system.company.code,
            "CostCenterCurrency": system.company.currency,
            "IsBlkdForPrimaryCostsPosting": "" if center.active else "X",
        }
    )
    system.store["A_CostCenterText"].insert(
        key
        | {
            "Language": "EN",
            "CostCenterName": center.name[:20],
            "CostCenterDescription": center.name,
        }
    )
    system.store["CostCenterBudgetSet"].insert(
        {
            "CostCenter": center.id,
            "FiscalYear": str(system.today.year),
            "Currency": system.company.currency,
            "BudgetAmount": center.budget,
            "CommittedAmount": center.committed,
            "AvailableAmount": center.budget - center.committed,
        }
    )


def _opened(system: System, opening: StockSeed, cost: Decimal) -> list[books.Line]:
    place = (opening.facility, opening.location)
    stock.change(system, opening.item, place, opening.lot, opening.quantity)
    row: Row = {
        "Material": opening.item,
        "Plant": opening.facility,
        "StorageLocation": opening.location,
        "Batch": opening.lot,
    }
    for serial in opening.serials:
        stock.place_serial(system, row, serial, here=True)
    worth = cents(opening.quantity * cost)
    system.valuation(opening.item, opening.facility).put(opening.quantity, worth)
    tail = ("", "", opening.item, opening.facility)
    return [
        books.Line(system.company.inventory, worth, *tail),
        books.Line(system.company.opening, -worth, *tail),
    ]


def _info_record(system: System, number: int, price: PriceSeed, item: ItemSeed) -> None:
    record = str(5300000000 + number)
    factors = {pack.unit: pack.factor for pack in item.packagings}
    system.store["A_PurchasingInfoRecord"].insert(
        {
            "PurchasingInfoRecord": record,
            "Supplier": price.supplier,
            "Material": price.item,
            "PurgDocOrderQuantityUnit": unit(price.unit),
            "OrderItemQtyToBaseQtyNmrtr": factors.get(price.unit, Decimal(1)),
            "OrderItemQtyToBaseQtyDnmntr": Decimal(1),
            "SupplierMaterialNumber": price.supplier_sku,
            "BaseUnit": unit(item.base_unit),
        }
    )
    system.store["A_PurgInfoRecdOrgPlantData"].insert(
        {
            "PurchasingInfoRecord": record,
            "PurchasingInfoRecordCategory": "0",
            "PurchasingOrganization": system.company.purchasing_organization,
            "Currency": price.currency,
            "NetPriceAmount": price.price,
            "MaterialPriceUnitQty": Decimal(1),
            "PurchaseOrderPriceUnit": unit(price.unit),
            "PriceValidityEndDate": price.valid_to,
        }
    )
