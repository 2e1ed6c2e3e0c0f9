"""Items, suppliers and cost centres."""

from collections.abc import Mapping
from datetime import date

from canonical.errors import InvalidRequest
from canonical.item import Gtin, Item, ItemId, ItemKind, Packaging, gtin
from canonical.location import CostCenter
from canonical.money import Money
from canonical.supplier import Supplier
from system_apis.erp.s4hana import wire
from system_apis.erp.s4hana.mapping.codes import day, unit


def item(row: wire.Product, kinds: Mapping[str, ItemKind], language: str) -> Item:
    """Return an item with its packagings; a cross-plant status blocks it."""
    levels = row.to_ProductUnitsOfMeasure.results
    codes = {each.AlternativeUnit: _gtin(each.GlobalTradeItemNumber) for each in levels}
    return Item(
        id=ItemId(row.Product),
        description=_description(row, language),
        base_unit=unit(row.BaseUnit),
        kind=kinds.get(row.ProductGroup, "consumable"),
        active=not row.CrossPlantStatus and not row.IsMarkedForDeletion,
        lot_controlled=row.IsBatchManagementRequired,
        serial_controlled=bool(row.SerialNumberProfile),
        gtin=codes.get(row.BaseUnit),
        group=row.ProductGroup,
        packagings=tuple(
            Packaging(
                unit=unit(each.AlternativeUnit),
                factor=each.QuantityNumerator / each.QuantityDenominator,
                gtin=codes[each.AlternativeUnit],
            )
            for each in levels
            if each.AlternativeUnit != row.BaseUnit
        ),
    )


def _description(row: wire.Product, language: str) -> str:
    texts = {each.Language: each.ProductDescription for each in row.to_Description.results}
    return texts.get(language, next(iter(texts.values()), ""))


def _gtin(text: str) -> Gtin | None:
    """Read a GTIN; the field also holds house EANs, which are none of ours."""
    try:
        return gtin(text)
    except InvalidRequest:
        return None


def supplier(row: wire.Supplier) -> Supplier:
    """Return a supplier; one marked for deletion takes no orders either."""
    blocked = row.PurchasingIsBlocked or row.DeletionIndicator
    return Supplier(id=row.Supplier, name=row.SupplierName, blocked=blocked)


def is_valid(row: wire.CostCenter, on: date) -> bool:
    """Return whether this time slice of a cost centre holds on that day."""
    start, end = day(row.ValidityStartDate), day(row.ValidityEndDate)
    return (start is None or start <= on) and (end is None or on <= end)


def cost_center(row: wire.CostCenter, budget: wire.CostCenterBudget | None) -> CostCenter:
    """Return a cost centre with the budget the customer's own service reports."""
    texts = row.to_Text.results
    return CostCenter(
        id=row.CostCenter,
        name=texts[0].CostCenterDescription or texts[0].CostCenterName if texts else "",
        active=not row.IsBlkdForPrimaryCostsPosting,
        budget=Money(amount=budget.BudgetAmount, currency=budget.Currency) if budget else None,
        committed=Money(amount=budget.CommittedAmount, currency=budget.Currency)
        if budget
        else None,
    )
