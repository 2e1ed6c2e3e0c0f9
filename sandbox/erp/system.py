"""One simulated system: its tables, its company, its clock, and the books it keeps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sandbox.erp.store import Row, SapError, Store, flag, number, text

ZERO = Decimal(0)
CENT = Decimal("0.01")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Company:
    """What the house has configured: its codes and the accounts of automatic postings."""

    code: str = "1710"
    controlling_area: str = "A000"
    purchasing_organization: str = "1710"
    purchasing_group: str = "001"
    currency: str = "USD"
    inventory: str = "13100000"
    clearing: str = "21120000"
    payables: str = "21100000"
    consumption: str = "51600000"
    price_difference: str = "52041000"
    freight: str = "65100000"
    opening: str = "39900000"
    journal_accounts: frozenset[str] = frozenset({"51600000", "51650000"})


@dataclass
class Valuation:
    """What the stock of a material at a plant is worth, at moving average price."""

    quantity: Decimal = ZERO
    value: Decimal = ZERO
    price: Decimal = ZERO

    def take(self, quantity: Decimal) -> Decimal:
        """Take out, and return the value that leaves; the last piece takes the last cent."""
        worth = self.value if quantity == self.quantity else cents(quantity * self.price)
        self.quantity -= quantity
        self.value -= worth
        return worth

    def give_back(self, quantity: Decimal, worth: Decimal) -> Decimal:
        """Take out at the value it came in for; the last piece takes all that is left. Return what
        left.
        """
        taken = self.value if quantity == self.quantity else worth
        self.quantity -= quantity
        self.value -= taken
        if self.quantity > 0:
            self.price = self.value / self.quantity
        return taken

    def put(self, quantity: Decimal, worth: Decimal) -> None:
        """Put in, and average the price."""
        self.quantity += quantity
        self.value += worth
        if self.quantity > 0:
            self.price = self.value / self.quantity


@dataclass
class System:
    """Everything a request may touch."""

    clock: Callable[[], datetime]
    company: Company = field(default_factory=Company)
    store: Store = field(default_factory=Store)
    valuations: dict[tuple[str, str], Valuation] = field(
        default_factory=dict[tuple[str, str], Valuation]
    )
    balances: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    worths: dict[tuple[str, str, str], Decimal] = field(
        default_factory=dict[tuple[str, str, str], Decimal]
    )
    user: str = "GATEWAY"
    changed: datetime = _NEVER

    @property
    def today(self) -> date:
        """Return the system's day."""
        return self.clock().date()

    def stamp(self) -> datetime:
        """Return the time of a change; no two changes share one, so it tells versions apart."""
        self.changed = max(self.clock(), self.changed + timedelta(microseconds=1))
        return self.changed

    def valuation(self, material: str, plant: str) -> Valuation:
        """Return the valuation of a material at a plant."""
        return self.valuations.setdefault((material, plant), Valuation())

    def product(self, material: str, plant: str) -> Row:
        """Return the material's master row, or refuse."""
        found = self.store["A_Product"].get(material)
        if found is None:
            raise SapError(400, "M3/305", f"Material {material} does not exist")
        if self.store["A_ProductPlant"].get(material, plant) is None:
            raise SapError(400, "M3/351", f"Material {material} not maintained in plant {plant}")
        return found

    def factor(self, material: str, unit: str) -> Decimal:
        """Return how many base units one `unit` of a material holds."""
        product = self.store["A_Product"].get(material) or {}
        if unit == text(product, "BaseUnit"):
            return Decimal(1)
        row = self.store["A_ProductUnitsOfMeasure"].get(material, unit)
        if row is None:
            raise SapError(400, "M3/070", f"Unit {unit} is not defined for material {material}")
        return number(row, "QuantityNumerator") / number(row, "QuantityDenominator")

    def invoiced(self, order: str, item: str) -> Decimal:
        """Return what invoices that stand bill of an order item, in its unit."""
        rows = self.store["A_SuplrInvcItemPurOrdRef"].find(
            {"PurchaseOrder": order, "PurchaseOrderItem": item}
        )
        return sum(
            (number(row, "QuantityInPurchaseOrderUnit") for row in rows if self._stands(row)), ZERO
        )

    def _stands(self, row: Row) -> bool:
        key = text(row, "SupplierInvoice"), text(row, "FiscalYear")
        return not flag(self.store["A_SupplierInvoice"].get(*key) or {}, "IsReversed")

    def require_cost_center(self, cost_center: str) -> None:
        """Refuse a cost centre that does not exist or takes no postings."""
        rows = self.store["A_CostCenter"].find({"CostCenter": cost_center})
        area = self.company.controlling_area
        if not rows:
            raise SapError(400, "KI/101", f"Cost center {area}/{cost_center} does not exist")
        if text(rows[0], "IsBlkdForPrimaryCostsPosting"):
            message = f"Cost center {area}/{cost_center} is locked against direct postings"
            raise SapError(400, "KI/161", message)

    def procurable(self, material: str, plant: str) -> Row:
        """Return the material's row when it may be bought."""
        product = self.product(material, plant)
        if text(product, "CrossPlantStatus") or flag(product, "IsMarkedForDeletion"):
            raise SapError(400, "06/052", f"Material {material} is blocked for procurement")
        return product

    def commit_budget(self, cost_center: str, amount: Decimal) -> None:
        """Move a cost centre's commitment; other requisitioners have no budget."""
        rows = self.store["CostCenterBudgetSet"].find({"CostCenter": cost_center})
        for row in rows:
            committed = number(row, "CommittedAmount") + amount
            self.store["CostCenterBudgetSet"].update(
                row,
                CommittedAmount=committed,
                AvailableAmount=number(row, "BudgetAmount") - committed,
            )


def cents(amount: Decimal) -> Decimal:
    """Round half up to the cent."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)
