"""Who asks: the typed facts of one request, and the events that documents turn into."""

from contextvars import ContextVar
from typing import Literal, NamedTuple

import msgspec

DataClass = Literal["supply", "financial", "phi"]
"""What may be seen: goods and orders; prices, invoices and postings; what names a patient."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: an authenticated OAuth client, and the person it speaks for (`subject` '' where it
    speaks for itself). `facilities` empty means every facility; `sla` names its tier of service.
    `issued` is when (seconds); `lineage` names what the token came from: tokens, sessions, actors.
    A token is of use only to whoever has its `key` or `certificate` (thumbprints; '' binds nobody).
    """

    client: str
    scopes: frozenset[str]
    token_id: str
    expires: float
    subject: str = ""
    facilities: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    data_classes: frozenset[DataClass] = frozenset(("supply", "financial"))
    purpose: str = ""
    sla: str = "standard"
    issued: float = 0.0
    lineage: tuple[str, ...] = ()
    key: str = ""
    certificate: str = ""

    @property
    def actor(self) -> str:
        """Who is named in records: the person, where there is one."""
        return self.subject or self.client


class RequestFacts(msgspec.Struct, kw_only=True):
    """The facts of one call; each field is set by exactly one policy, or by its route.

    `transaction` and `object` are what the call was about, `facility` where that is ('' leaves it
    to the token), `policy` the version of the configuration in force, `traceparent` the place of
    the call in the caller's trace (W3C Trace Context 3.2).
    """

    correlation_id: str = ""
    principal: Principal | None = None
    transaction: str = ""
    failure: str = ""
    object: str = ""
    facility: str = ""
    policy: str = ""
    traceparent: str = ""

    @property
    def seen_facility(self) -> str:
        """Where the call was about, or the one facility that its token is for."""
        if self.facility or self.principal is None or len(self.principal.facilities) != 1:
            return self.facility
        return next(iter(self.principal.facilities))


CALL: ContextVar[RequestFacts | None] = ContextVar("suture_call", default=None)
"""The call in hand, for what is recorded, logged and sent on its behalf; None in a worker."""


class Reference(NamedTuple):
    """A name under which people look for a transaction: ('order', '4500000001'), ('msh10',
    'MSG1'), ('isa13', '000000001').
    """

    kind: str
    value: str


EventName = Literal[
    "case-scheduled",
    "item-used",
    "usage-reversed",
    "nothing-used",
    "requisition-raised",
    "order-placed",
    "syntax-verdict",
    "order-acknowledged",
    "order-change-answered",
    "shipment-notified",
    "goods-received",
    "receipt-posted",
    "invoice-received",
    "invoice-matched",
    "charge-eligible",
    "charge-credited",
]
"""The facts that documents and flows announce. `gateway/wiring.py` says which flow each one
starts; others are waited for.
"""
