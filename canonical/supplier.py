"""Suppliers (owner: ERP) and how they trade."""

import msgspec


class Supplier(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A vendor. `blocked` means no new orders."""

    id: str
    name: str
    blocked: bool = False


class TradingPartner(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a supplier is reached over EDI: the identifiers of ISA05-08 and GS02/GS03, and its
    endpoint by name.

    `qualifier`/`interchange_id` are the partner's, `own_*` are ours towards it. `endpoint` names an
    upstream of `gateway.toml`, never an address. `client` is the only OAuth client that may hand in
    what this partner sends; '' binds it to none.
    """

    supplier: str
    qualifier: str
    interchange_id: str
    application_id: str
    own_qualifier: str
    own_interchange_id: str
    own_application_id: str
    endpoint: str
    test: bool = False
    client: str = ""
