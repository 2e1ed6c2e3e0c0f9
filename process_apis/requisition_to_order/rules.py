"""May this be bought, at which price, and who must say yes: pure decisions."""

from datetime import date
from decimal import ROUND_CEILING, Decimal

import msgspec

from canonical.contract import ContractPrice
from canonical.errors import (
    BudgetExceeded,
    InactiveItem,
    InvalidRequest,
    NoContractPrice,
    UnknownCostCenter,
    UnknownSupplier,
)
from canonical.item import Item, Quantity
from canonical.location import CostCenter
from canonical.money import Money
from canonical.requisition import PricedLine, PricedRequisition, Requisition, RequisitionLine
from canonical.supplier import Supplier
from canonical.task import TaskDraft

VERSION = "requisition-rules/1"


class ApprovalPolicy(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """Up to `threshold` (in `currency`) the rule approves; above it one of `approvers` does."""

    threshold: Decimal = Decimal(1000)
    currency: str = "USD"
    approvers: str = "supply-chain"


class ApprovalVerdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether a person has to decide, and why."""

    needs_person: bool
    why: str


def priced_requisition(
    requisition: Requisition,
    items: list[Item],
    prices: list[list[ContractPrice]],
    center: CostCenter,
    supplier: Supplier,
    today: date,
) -> PricedRequisition:
    """Check everything that can forbid the purchase; price each line by the contract of the day
    that makes it cheapest, in whole ordering units of that contract.
    """
    _check_buyer(center, supplier)
    if not requisition.lines:
        raise InvalidRequest("a requisition needs a line", where="$.lines")
    lines = tuple(
        _priced_line(number, line, item, offers, today)
        for number, (line, item, offers) in enumerate(
            zip(requisition.lines, items, prices, strict=True), start=1
        )
    )
    total = _amount(lines[0])
    for line in lines[1:]:
        total += _amount(line)
    _check_budget(center, total)
    return PricedRequisition(
        facility=requisition.facility,
        location=requisition.location,
        cost_center=requisition.cost_center,
        supplier=requisition.supplier,
        needed_on=max(requisition.needed_on, today),
        lines=lines,
        total=total,
        requested_by=requisition.requested_by,
    )


def _check_buyer(center: CostCenter, supplier: Supplier) -> None:
    if not center.active:
        raise UnknownCostCenter(
            f"cost centre {center.id} is closed", fix="name an open cost centre"
        )
    if supplier.blocked:
        raise UnknownSupplier(
            f"supplier {supplier.id} is blocked", fix="unblock it in the ERP, or choose another"
        )


def _check_budget(center: CostCenter, total: Money) -> None:
    if center.budget is None:
        return
    spent = center.committed.amount if center.committed else Decimal(0)
    left = center.budget.amount - spent
    if total.currency != center.budget.currency:
        raise BudgetExceeded(
            f"cost centre {center.id} has no budget in {total.currency}",
            expected=center.budget.currency,
            fix="choose a contract in that currency, or have a budget in the other one set up",
        )
    if total.amount > left:
        raise BudgetExceeded(
            f"cost centre {center.id} has {left} left, {total.amount} {total.currency} asked",
            fix="raise the budget or lower the quantity, then retry",
        )


def _priced_line(
    number: int, line: RequisitionLine, item: Item, offers: list[ContractPrice], today: date
) -> PricedLine:
    if not item.active:
        other = f"order {item.substitute} instead" if item.substitute else "choose another item"
        raise InactiveItem(f"item {item.id} is inactive", fix=other)
    if not line.quantity.value > 0:
        raise InvalidRequest(
            f"item {item.id}: {line.quantity.value} {line.quantity.unit} asked",
            where=f"$.lines[{number - 1}].quantity",
            expected="more than 0",
        )
    priced = [
        _under_contract(number * 10, line, item, offer) for offer in _effective(item, offers, today)
    ]
    return min(priced, key=lambda one: (_amount(one).amount, one.contract))


def _under_contract(
    number: int, line: RequisitionLine, item: Item, contract: ContractPrice
) -> PricedLine:
    wanted = item.in_base_unit(line.quantity)
    per_unit = item.in_base_unit(Quantity(value=Decimal(1), unit=contract.unit)).value
    units = (wanted.value / per_unit).to_integral_value(rounding=ROUND_CEILING)
    return PricedLine(
        line=number,
        item=item.id,
        description=item.description,
        quantity=Quantity(value=units, unit=contract.unit),
        unit_price=contract.price,
        contract=contract.contract,
        supplier_sku=contract.supplier_sku,
        gtin=item.gtin or "",
        base_quantity=Quantity(value=units * per_unit, unit=item.base_unit),
    )


def _amount(line: PricedLine) -> Money:
    return line.unit_price.times(line.quantity.value)


def _effective(item: Item, offers: list[ContractPrice], today: date) -> list[ContractPrice]:
    effective = [offer for offer in offers if offer.is_effective(today)]
    if not effective:
        ended = max((offer.valid_to for offer in offers), default=None)
        reason = f"the last one ended on {ended}" if ended else "there never was one"
        raise NoContractPrice(
            f"no contract price for {item.id} on {today}: {reason}",
            fix="extend the contract or choose another supplier, then retry",
        )
    return effective


def approval_verdict(requisition: PricedRequisition, policy: ApprovalPolicy) -> ApprovalVerdict:
    """Return whether the amount is within what the rule may approve."""
    total = requisition.total
    if total.currency != policy.currency:
        return ApprovalVerdict(needs_person=True, why=f"no rule for {total.currency}")
    if total.amount > policy.threshold:
        why = f"{total.amount} {total.currency} is above {policy.threshold}"
        return ApprovalVerdict(needs_person=True, why=why)
    why = f"{total.amount} {total.currency} is within {policy.threshold}"
    return ApprovalVerdict(needs_person=False, why=why)


def approval_task(
    requisition: PricedRequisition, verdict: ApprovalVerdict, policy: ApprovalPolicy
) -> TaskDraft:
    """Return the question for the approver."""
    bought = ", ".join(
        f"{line.quantity.value} {line.quantity.unit} {line.description}"
        for line in requisition.lines
    )
    return TaskDraft(
        reason="approval",
        subject=requisition.number,
        title=f"Approve requisition {requisition.number}: {requisition.total.amount}"
        f" {requisition.total.currency}",
        detail=f"{bought}; from supplier {requisition.supplier}; {verdict.why}",
        affected=f"{requisition.location} in {requisition.facility}, needed on"
        f" {requisition.needed_on}",
        fix="approve, or decline with a reason",
        owner=policy.approvers,
        actions=("approve", "decline"),
    )
