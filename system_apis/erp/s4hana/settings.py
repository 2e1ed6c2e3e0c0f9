"""What a customer's S/4HANA has configured: codes that no standard fixes."""

import msgspec

from canonical.item import ItemKind


class S4Settings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """Organisation, document types and accounts of one S/4HANA.

    `kinds` says what a product group holds; a group that is not named holds consumables.
    `budget-service` is the customer's own OData service, because S/4HANA publishes none for the
    budget left on a cost centre; '' when there is none.
    """

    company_code: str = "1710"
    controlling_area: str = "A000"
    purchasing_organization: str = "1710"
    purchasing_group: str = "001"
    currency: str = "USD"
    language: str = "EN"
    requisition_type: str = "NB"
    order_type: str = "NB"
    journal_type: str = "SA"
    tax_code: str = "I0"
    expense_account: str = "51600000"
    case_cost_account: str = "51650000"
    reversal_reason: str = "01"
    user: str = "GATEWAY"
    budget_service: str = "ZBUDGET_AVAILABILITY_SRV/CostCenterBudgetSet"
    kinds: dict[str, ItemKind] = msgspec.field(
        default_factory=lambda: dict[str, ItemKind](
            IMPLANT="implant",
            REAGENT="reagent",
            PHARMA="medication",
            EQUIP="equipment",
        )
    )
