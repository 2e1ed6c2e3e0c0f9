"""How the simulated supplier is set up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import httpx


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _no_prices() -> Mapping[str, Decimal]:
    return {}


@dataclass(frozen=True)
class Settings:
    """`own_*` and `partner_*` are ISA ids; empty ones are taken from the order that came in.

    `catalogue` holds the supplier's own prices by SKU. Every line carries a lot unless
    `lot_controlled` names the SKUs that do; `serial_controlled` names those with serial numbers.
    """

    gateway_url: str
    token_url: str
    client_id: str
    client_secret: str
    own_qualifier: str = "ZZ"
    own_id: str = ""
    partner_qualifier: str = "ZZ"
    partner_id: str = ""
    behaviour: str = "accept"
    pace: float = 1.0
    catalogue: Mapping[str, Decimal] = field(default_factory=_no_prices)
    lot_controlled: frozenset[str] | None = None
    serial_controlled: frozenset[str] = frozenset()
    test: bool = False
    limit: str = "60/minute"
    first_retry: float = 0.2
    longest_retry: float = 5.0
    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], datetime] = _utc_now
