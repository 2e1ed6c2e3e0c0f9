"""Money: an amount with its currency."""

from decimal import ROUND_HALF_UP, Decimal

import msgspec

from canonical.errors import InvalidRequest


class Money(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An amount in one currency (ISO 4217), exact to the cent where it is posted."""

    amount: Decimal
    currency: str = "USD"

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise InvalidRequest(
                f"cannot add {other.currency} to {self.currency}", expected=self.currency
            )
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def times(self, factor: Decimal) -> "Money":
        """Multiply, rounded half up to the cent."""
        cents = (self.amount * factor).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        return Money(amount=cents, currency=self.currency)
