"""Which client answers which port, which event starts which process: the place that knows both."""

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from canonical.case import SurgicalCase
from canonical.clock import Clock
from canonical.invoice import Invoice
from canonical.order import PurchaseOrder
from canonical.request import EventName
from canonical.requisition import Requisition
from canonical.shipment import Receipt
from canonical.usage import UsageEvent, UsageReversal
from gateway.config import Config
from gateway.master_data import MasterData
from gateway.upstreams import Upstreams
from ledger.catalogue import FlowDefinition
from ledger.ledger import Ledger
from process_apis.case_demand import flow as case_demand
from process_apis.invoice_matching import flow as invoice_matching
from process_apis.order_to_receipt import flow as order_to_receipt
from process_apis.receiving import flow as receiving
from process_apis.requisition_to_order import flow as requisition_to_order
from process_apis.usage_reversal import flow as usage_reversal
from process_apis.usage_to_replenishment import flow as usage_to_replenishment
from system_apis.edi.x12.client import X12Sender
from system_apis.edi.x12.intake import X12Intake
from system_apis.ehr.fhir_r4.client import FhirChargeReview
from system_apis.ehr.fhir_r4.intake import FhirIntake
from system_apis.ehr.hl7v2_feed.intake import Hl7Intake
from system_apis.erp.s4hana.client import S4Hana

STARTS: Mapping[EventName, str] = {
    "case-scheduled": "case-demand",
    "item-used": "usage-to-replenishment",
    "usage-reversed": "usage-reversal",
    "requisition-raised": "requisition-to-order",
    "order-placed": "order-to-receipt",
    "goods-received": "receiving",
    "invoice-received": "invoice-matching",
}
"""Which process answers to which fact. Facts that are not here are waited for by flows."""


class Systems(msgspec.Struct, frozen=True, kw_only=True):
    """The connectors of this hospital."""

    erp: S4Hana
    charges: FhirChargeReview
    supplier_link: X12Sender
    records: MasterData


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Where documents come in."""

    hl7: Hl7Intake
    fhir: FhirIntake | None
    x12: X12Intake


def connect(config: Config, ledger: Ledger, upstreams: Upstreams, clock: Clock) -> Systems:
    """Plug the connectors in: another ERP is another class here, and nothing above notices."""
    zones = {facility.id: facility.zone for facility in config.facilities}
    records = MasterData(ledger.registry, zones, clock)
    # A partner may answer an order at once, in the HTTP response: that is an interchange like any.
    on_answer = _x12_intake(config, ledger, records, clock).accept
    return Systems(
        erp=S4Hana(upstreams.client("erp"), config.erp, clock),
        charges=FhirChargeReview(upstreams.client("ehr")),
        supplier_link=X12Sender(ledger.messages, upstreams.client, clock, on_answer=on_answer),
        records=records,
    )


def open_doors(config: Config, ledger: Ledger, systems: Systems, clock: Clock) -> Doors:
    """Make the intakes."""
    fhir = config.feeds.fhir
    return Doors(
        hl7=Hl7Intake(ledger.messages, ledger.vault, config.feeds.hl7v2, clock),
        fhir=FhirIntake(ledger.messages, ledger.vault, fhir, clock) if fhir else None,
        x12=_x12_intake(config, ledger, systems.records, clock),
    )


def _x12_intake(config: Config, ledger: Ledger, records: MasterData, clock: Clock) -> X12Intake:
    own = frozenset((part.split(":", 1)[0], part.split(":", 1)[1]) for part in config.edi.own)
    return X12Intake(ledger.messages, records.partner_named, own, clock)


def prepared_processes(ledger: Ledger, systems: Systems, config: Config) -> Callable[[], None]:
    """Prepare the processes under the rules of a configuration, and how long what is kept."""
    prepared = flows(config, systems)

    def put_in_force() -> None:
        ledger.catalogue.install(prepared, STARTS)
        ledger.retention.rules = config.retention

    return put_in_force


def flows(config: Config, systems: Systems) -> list[FlowDefinition]:
    """Return the processes with their ports filled."""
    usage = _usage_flows(config, systems)
    return [*_demand_flows(config, systems), *usage, *_supply_flows(config, systems)]


def _demand_flows(config: Config, systems: Systems) -> list[FlowDefinition]:
    """From what a case needs to what is bought."""
    erp, records = systems.erp, systems.records
    return [
        FlowDefinition(
            name="case-demand",
            version=case_demand.VERSION,
            facts=SurgicalCase,
            owner="supply-chain",
            run=partial(
                case_demand.case_demand, records=records, stock=erp, policy=config.cancellation
            ),
        ),
        FlowDefinition(
            name="requisition-to-order",
            version=requisition_to_order.VERSION,
            facts=Requisition,
            owner="supply-chain",
            run=partial(
                requisition_to_order.requisition_to_order,
                erp=erp,
                contracts=records,
                policy=config.approval,
                deadlines=config.deadlines,
            ),
        ),
    ]


def _usage_flows(config: Config, systems: Systems) -> list[FlowDefinition]:
    """From what a patient used to its books, and back; these may see the patient."""
    erp, records, charges = systems.erp, systems.records, systems.charges
    return [
        FlowDefinition(
            name="usage-to-replenishment",
            version=usage_to_replenishment.VERSION,
            facts=UsageEvent,
            owner="supply-chain",
            opens_patient_context=True,
            run=partial(
                usage_to_replenishment.usage_to_replenishment,
                records=records,
                stock=erp,
                costs=erp,
                charges=charges,
                deadlines=config.deadlines,
            ),
        ),
        FlowDefinition(
            name="usage-reversal",
            version=usage_reversal.VERSION,
            facts=UsageReversal,
            owner="supply-chain",
            opens_patient_context=True,
            run=partial(
                usage_reversal.usage_reversal,
                records=records,
                stock=erp,
                costs=erp,
                charges=charges,
            ),
        ),
    ]


def _supply_flows(config: Config, systems: Systems) -> list[FlowDefinition]:
    """From the order at the supplier to its goods and its invoice."""
    erp, records = systems.erp, systems.records
    return [
        FlowDefinition(
            name="order-to-receipt",
            version=order_to_receipt.VERSION,
            facts=PurchaseOrder,
            owner="supply-chain",
            run=partial(
                order_to_receipt.order_to_receipt,
                partners=records,
                link=systems.supplier_link,
                erp=erp,
                deadlines=config.deadlines,
            ),
        ),
        FlowDefinition(
            name="receiving",
            version=receiving.VERSION,
            facts=Receipt,
            owner="receiving",
            run=partial(receiving.receiving, erp=erp, codes=records),
        ),
        FlowDefinition(
            name="invoice-matching",
            version=invoice_matching.VERSION,
            facts=Invoice,
            owner="accounts-payable",
            run=partial(
                invoice_matching.invoice_matching,
                erp=erp,
                tolerance=config.matching,
                deadlines=config.deadlines,
            ),
        ),
    ]
