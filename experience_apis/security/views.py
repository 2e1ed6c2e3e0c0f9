"""What a security reviewer sees of the audit trail."""

from datetime import datetime

import msgspec


class AuditRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One record: who did what, to which object, how it ended. `id` is chain and number."""

    id: str
    at: datetime
    kind: str
    actor: str
    action: str
    outcome: str
    object: str
    transaction: str
    correlation_id: str
    detail: dict[str, str]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[AuditRow, ...]
