"""Master records of S/4HANA: items, suppliers, cost centres."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta

import httpx

from canonical.clock import Clock
from canonical.errors import UnknownCostCenter, UnknownItem, UnknownSupplier
from canonical.item import Item, ItemId
from canonical.location import CostCenter
from canonical.supplier import Supplier
from system_apis.erp.s4hana import wire
from system_apis.erp.s4hana.mapping import master
from system_apis.erp.s4hana.odata import ODataSession, keyed, where
from system_apis.erp.s4hana.settings import S4Settings

_PRODUCT = "API_PRODUCT_SRV/A_Product"
_SUPPLIER = "API_BUSINESS_PARTNER/A_Supplier"
_COST_CENTER = "API_COSTCENTER_SRV/A_CostCenter"
_WHOLE_PRODUCT = "to_Description,to_ProductUnitsOfMeasure"
_PACKAGING_HOLDS = timedelta(minutes=5)
_PACKAGINGS_KEPT = 20_000


class Catalogue:
    """What every other part needs: the session, the settings, the clock, and the items."""

    def __init__(self, http: httpx.AsyncClient, settings: S4Settings, clock: Clock) -> None:
        self._odata = ODataSession(http)
        self._settings = settings
        self._clock = clock
        self._seen: dict[ItemId, tuple[datetime, Item]] = {}

    async def item(self, item: ItemId) -> Item:
        """Return an item of the material master."""
        path = keyed(_PRODUCT, Product=item)
        row = await self._odata.one(path, wire.One[wire.Product], expand=_WHOLE_PRODUCT)
        if row is None:
            raise UnknownItem(f"item {item} is not in the item master", fix="correct the crosswalk")
        return self._remembered(row)

    async def items(self, limit: int) -> tuple[Item, ...]:
        """Return the first items of the material master, by number."""
        rows = await self._odata.rows(
            _PRODUCT,
            wire.Many[wire.Product],
            expand=_WHOLE_PRODUCT,
            orderby="Product",
            top=str(limit),
        )
        return tuple(map(self._remembered, rows))

    async def supplier(self, supplier: str) -> Supplier:
        """Return a supplier."""
        row = await self._odata.one(keyed(_SUPPLIER, Supplier=supplier), wire.One[wire.Supplier])
        if row is None:
            raise UnknownSupplier(f"supplier {supplier} is not in the ERP")
        return master.supplier(row)

    async def cost_center(self, cost_center: str) -> CostCenter:
        """Return a cost centre as it holds today, with its budget where the ERP reports one."""
        area = self._settings.controlling_area
        rows = await self._odata.rows(
            _COST_CENTER,
            wire.Many[wire.CostCenter],
            filter=where(CostCenter=cost_center, ControllingArea=area),
            expand="to_Text",
        )
        today = self._clock().date()
        valid = [row for row in rows if master.is_valid(row, today)]
        if not valid:
            raise UnknownCostCenter(f"cost centre {cost_center} is not in the ERP")
        return master.cost_center(valid[0], await self._budget(cost_center, str(today.year)))

    async def _budget(self, cost_center: str, year: str) -> wire.CostCenterBudget | None:
        if not self._settings.budget_service:
            return None
        path = keyed(self._settings.budget_service, CostCenter=cost_center, FiscalYear=year)
        return await self._odata.one(path, wire.One[wire.CostCenterBudget])

    async def _packaged(self, items: Iterable[str]) -> dict[ItemId, Item]:
        """Return items for their packagings; those seen lately are not asked again."""
        wanted = {ItemId(item) for item in items}
        now = self._clock()
        held = {item: self._seen[item] for item in wanted if item in self._seen}
        fresh = {item: it for item, (at, it) in held.items() if now - at < _PACKAGING_HOLDS}
        asked = await asyncio.gather(*(self.item(item) for item in wanted - fresh.keys()))
        return fresh | {item.id: item for item in asked}

    def _remembered(self, row: wire.Product) -> Item:
        item = master.item(row, self._settings.kinds, self._settings.language)
        if len(self._seen) >= _PACKAGINGS_KEPT:
            self._seen.clear()
        self._seen[item.id] = (self._clock(), item)
        return item
