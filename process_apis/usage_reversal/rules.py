"""What of earlier usage is taken back, and what that moves: pure decisions.

A credit is held against what was posted and not yet taken back: never more comes back than left.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import msgspec

from canonical.charge import ChargeCredit, ChargeReversal, CostPosting, RecordedCharge
from canonical.errors import InvalidRequest, NeverUsed, UnknownLot
from canonical.inventory import Movement, MovementLine, PostedMovement
from canonical.item import Item, ItemId, Quantity
from canonical.usage import ResolvedUsage, UsageLine, UsageReversal

VERSION = "usage-reversal-rules/1"

_ASK = "ask the sender which usage it takes back; correct the facts, or abandon"


class PostedUsage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an earlier usage came to: each line as it left in the movement, under its number."""

    lines: tuple[ResolvedUsage, ...]
    consumption: Movement | None = None
    movement: PostedMovement | None = None
    charge: RecordedCharge | None = None


class Credit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line that is taken back, after the crosswalk, in the item's base unit."""

    item: ItemId
    quantity: Quantity
    lot: str = ""
    serial: str = ""
    reference: str = ""


class TakenBack(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """So much of one posted line: the place of the line, counted from 1, in its document. `left` is
    what then still counts as used; `whole` that this is the line as it was charged.
    """

    document: str
    line: int
    item: ItemId
    quantity: Quantity
    left: Decimal
    whole: bool
    lot: str = ""
    serial: str = ""
    reference: str = ""
    credit: str = ""
    charge: str = ""


class EarlierReversal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an earlier reversal took back."""

    lines: tuple[TakenBack, ...] = ()


class _Used(msgspec.Struct):
    """A posted line and what of it still counts as used."""

    document: str
    place: int
    line: ResolvedUsage
    left: Decimal
    charge: str

    def take(self, quantity: Decimal, credit: str) -> TakenBack:
        self.left -= quantity
        line = self.line
        return TakenBack(
            document=self.document,
            line=self.place,
            item=line.item,
            quantity=Quantity(value=quantity, unit=line.quantity.unit),
            left=self.left,
            whole=quantity == line.quantity.value,
            lot=line.lot,
            serial=line.serial,
            reference=line.reference,
            credit=credit,
            charge=self.charge,
        )


def credit_of(line: UsageLine, item: Item) -> Credit:
    """Return a line that is taken back, in the base unit of its item."""
    quantity = item.in_base_unit(line.quantity)
    if not quantity.value > 0:
        raise InvalidRequest(f"item {item.id}: nothing is taken back", expected="more than 0")
    return Credit(
        item=item.id,
        quantity=quantity,
        lot=line.lot,
        serial=line.serial,
        reference=line.reference,
    )


def taken_back(
    reversal: UsageReversal,
    credits_: list[Credit],
    posted: tuple[PostedUsage, ...],
    before: tuple[EarlierReversal, ...],
) -> tuple[TakenBack, ...]:
    """Find what each credit and each named thing takes back; one that came before takes nothing.

    Raises `NeverUsed` where less was used, `UnknownLot` where a part could be of several lots.
    """
    used = _used(posted, before)
    found = list[TakenBack]()
    for credit in credits_:
        if not _came_before(credit, used, before):
            found += _split(credit, used)
    for names in reversal.names:
        found += _named(names, used)
    return tuple(found)


def _used(posted: tuple[PostedUsage, ...], before: tuple[EarlierReversal, ...]) -> list[_Used]:
    gone = dict[tuple[str, int], Decimal]()
    for one in (line for reversal in before for line in reversal.lines):
        place = (one.document, one.line)
        gone[place] = gone.get(place, Decimal(0)) + one.quantity.value
    return [
        _Used(
            document=usage.movement.document,
            place=place,
            line=line,
            left=line.quantity.value - gone.get((usage.movement.document, place), Decimal(0)),
            charge=usage.charge.ids[place - 1] if usage.charge else "",
        )
        for usage in posted
        if usage.movement is not None and usage.consumption is not None
        for place, line in enumerate(usage.lines, start=1)
    ]


def _came_before(credit: Credit, used: list[_Used], before: tuple[EarlierReversal, ...]) -> bool:
    """Say whether this credit has been dealt with, by its own number or by its serial number."""
    same = [one for one in used if one.line.reference == credit.reference and one.left]
    known = {line.credit for reversal in before for line in reversal.lines}
    if credit.reference and credit.reference in known and not same:
        return True
    pieces = [one for one in used if credit.serial and _fits(credit, one.line)]
    return bool(pieces) and not any(one.left for one in pieces)


def _fits(credit: Credit, line: ResolvedUsage) -> bool:
    return (
        line.item == credit.item
        and credit.lot in ("", line.lot)
        and credit.serial in ("", line.serial)
    )


def _split(credit: Credit, used: list[_Used]) -> Iterator[TakenBack]:
    """Take a credit from the line of its own number, else from the latest lines that fit it."""
    fitting = [one for one in reversed(used) if one.left and _fits(credit, one.line)]
    own = [one for one in fitting if one.line.reference == credit.reference != ""]
    fitting = own or fitting
    wanted = credit.quantity.value
    total = sum((one.left for one in fitting), Decimal(0))
    if wanted > total:
        raise NeverUsed(
            f"item {credit.item}: {wanted} {credit.quantity.unit} taken back, {total} used",
            expected="no more than was used and not taken back before",
            fix=_ASK,
        )
    if wanted < total and len({(one.line.lot, one.line.serial) for one in fitting}) > 1:
        raise UnknownLot(
            f"item {credit.item}: several lots or serials were used, the credit names none",
            expected="the lot or serial that was not used",
            fix=_ASK,
        )
    for one in fitting:
        part = min(wanted, one.left)
        if part:
            yield one.take(part, credit.reference)
        wanted -= part


def _named(names: tuple[str, ...], used: list[_Used]) -> Iterator[TakenBack]:
    """Take back everything that was reported under one of these names."""
    found = [one for one in used if any(_is_of(one.line.reference, name) for name in names)]
    if not found:
        raise NeverUsed(
            "nothing was posted for what was entered in error",
            where=names[0],
            expected="the name under which it was reported",
            fix=_ASK,
        )
    for one in found:
        if one.left:
            yield one.take(one.left, names[0])


def _is_of(reference: str, name: str) -> bool:
    return reference == name or reference.startswith(f"{name}/")


def goods_back(usage: PostedUsage, lines: tuple[TakenBack, ...], today: date) -> Movement:
    """Return the movement that brings goods back to where they were taken from."""
    issued = usage.consumption
    if issued is None:
        raise NeverUsed("the usage moved nothing", fix=_ASK)
    return Movement(
        kind="consumption-reversal",
        facility=issued.facility,
        cost_center=issued.cost_center,
        on=today,
        reference=issued.reference,
        reverses=usage.movement,
        lines=tuple(
            MovementLine(
                item=line.item,
                quantity=line.quantity,
                location=issued.lines[line.line - 1].location,
                lot=line.lot,
                serial=line.serial,
                reverses=line.line,
            )
            for line in lines
        ),
    )


def cost_back(movement: Movement, posted: PostedMovement) -> CostPosting:
    """Return the cost of what came back, moved from the case to the cost centre."""
    return CostPosting(
        facility=movement.facility,
        cost_center=movement.cost_center,
        on=movement.on,
        amount=posted.value,
        reference=posted.document,
        case=movement.reference,
        takes_back=True,
    )


def charge_back(
    reversal: UsageReversal, lines: tuple[TakenBack, ...], today: date
) -> ChargeReversal:
    """Return what the charge reviewer is told, under the context token."""
    return ChargeReversal(
        context_token=reversal.context_token,
        facility=reversal.facility,
        occurred_on=today,
        credits=tuple(
            ChargeCredit(id=line.charge, quantity=line.quantity, whole=line.whole)
            for line in lines
            if line.charge
        ),
    )


def free_again(reversal: UsageReversal, lines: tuple[TakenBack, ...]) -> list[tuple[str, str]]:
    """Return the names (kind, value) of lines of which nothing is left: they may be used again."""
    of = f"{reversal.source}/{reversal.encounter or reversal.case}"
    gone = [line for line in lines if not line.left]
    serials = [("serial", f"{line.item}/{line.serial}") for line in gone if line.serial]
    return serials + [("usage-line", f"{of}/{line.reference}") for line in gone if line.reference]
