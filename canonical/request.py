"""Who asks: the typed facts of one request, and the events that documents turn into."""

from typing import Literal, NamedTuple

import msgspec


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated OAuth client. `facilities` empty means every facility."""

    client: str
    scopes: frozenset[str]
    token_id: str
    expires: float
    facilities: frozenset[str] = frozenset()


class RequestFacts(msgspec.Struct, kw_only=True):
    """The facts of one call; each field is set by exactly one policy."""

    correlation_id: str = ""
    principal: Principal | None = None
    transaction: str = ""
    failure: str = ""


class Reference(NamedTuple):
    """A name under which people look for a transaction: ('order', '4500000001'), ('msh10',
    'MSG1'), ('isa13', '000000001').
    """

    kind: str
    value: str


EventName = Literal[
    "case-scheduled",
    "item-used",
    "nothing-used",
    "requisition-raised",
    "order-placed",
    "syntax-verdict",
    "order-acknowledged",
    "shipment-notified",
    "goods-received",
    "receipt-posted",
    "invoice-received",
    "invoice-matched",
    "charge-eligible",
    "exception-escalated",
]
"""The facts that documents and flows announce. `gateway/wiring.py` says which flow each one
starts; others are waited for.
"""
