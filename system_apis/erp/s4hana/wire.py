"""S/4HANA's own messages, spelled as its OData V2 services spell them; only what we read or send.

Numbers travel as text, dates as `/Date(ms)/`, links as `results` (or deferred, which reads empty).
A field at its default is not sent.
"""

from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
ZERO = Decimal(0)


class Results(msgspec.Struct, Generic[T], frozen=True):
    results: tuple[T, ...] = ()


class Many(msgspec.Struct, Generic[T], frozen=True):
    d: Results[T]


class One(msgspec.Struct, Generic[T], frozen=True):
    d: T


class _Text(msgspec.Struct, frozen=True):
    value: str = ""


class _ErrorBody(msgspec.Struct, frozen=True):
    code: str = ""
    message: _Text = _Text()


class ErrorAnswer(msgspec.Struct, frozen=True):
    error: _ErrorBody = _ErrorBody()


class ProductDescription(msgspec.Struct, frozen=True, kw_only=True):
    Language: str = ""
    ProductDescription: str = ""


class ProductUnit(msgspec.Struct, frozen=True, kw_only=True):
    AlternativeUnit: str
    QuantityNumerator: Decimal
    QuantityDenominator: Decimal
    GlobalTradeItemNumber: str = ""


class Product(msgspec.Struct, frozen=True, kw_only=True):
    Product: str
    BaseUnit: str
    ProductGroup: str = ""
    CrossPlantStatus: str = ""
    IsMarkedForDeletion: bool = False
    IsBatchManagementRequired: bool = False
    SerialNumberProfile: str = ""
    to_Description: Results[ProductDescription] = Results()
    to_ProductUnitsOfMeasure: Results[ProductUnit] = Results()


class MaterialStock(msgspec.Struct, frozen=True, kw_only=True):
    Batch: str = ""
    MatlWrhsStkQtyInMatlBaseUnit: Decimal = ZERO


class MaterialSerialNumber(msgspec.Struct, frozen=True, kw_only=True):
    Plant: str = ""
    StorageLocation: str = ""
    InventoryStockType: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    Batch: str
    ShelfLifeExpirationDate: str | None = None
    BatchIsMarkedForDeletion: bool = False


class Supplier(msgspec.Struct, frozen=True, kw_only=True):
    Supplier: str
    SupplierName: str = ""
    PurchasingIsBlocked: bool = False
    DeletionIndicator: bool = False


class CostCenterText(msgspec.Struct, frozen=True, kw_only=True):
    Language: str = ""
    CostCenterName: str = ""
    CostCenterDescription: str = ""


class CostCenter(msgspec.Struct, frozen=True, kw_only=True):
    CostCenter: str
    ValidityStartDate: str | None = None
    ValidityEndDate: str | None = None
    IsBlkdForPrimaryCostsPosting: str = ""
    to_Text: Results[CostCenterText] = Results()


class CostCenterBudget(msgspec.Struct, frozen=True, kw_only=True):
    Currency: str
    BudgetAmount: Decimal
    CommittedAmount: Decimal


class ReservationItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    Product: str
    Plant: str
    StorageLocation: str
    Reservation: str = ""
    ReservationItem: str = ""
    EntryUnit: str = ""
    ResvnItmRequiredQtyInEntryUnit: Decimal = ZERO
    ResvnItmRequiredQtyInBaseUnit: Decimal = ZERO
    ResvnItmWithdrawnQtyInBaseUnit: Decimal = ZERO
    ReservationItmIsMarkedForDeltn: bool = False
    ReservationItemText: str = ""


class ReservationDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    Reservation: str = ""
    GoodsMovementType: str = ""
    CostCenter: str = ""
    GoodsRecipientName: str = ""
    ReservationDate: str | None = None
    to_ReservationDocumentItem: Results[ReservationItem] = Results()


class SerialNumber(msgspec.Struct, frozen=True, kw_only=True):
    Material: str
    SerialNumber: str


class MaterialDocumentItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    Material: str
    Plant: str
    StorageLocation: str
    GoodsMovementType: str
    MaterialDocument: str = ""
    MaterialDocumentYear: str = ""
    MaterialDocumentItem: str = ""
    ReversedMaterialDocument: str = ""
    ReversedMaterialDocumentYear: str = ""
    ReversedMaterialDocumentItem: str = ""
    Batch: str = ""
    CostCenter: str = ""
    PurchaseOrder: str = ""
    PurchaseOrderItem: str = ""
    GoodsMovementRefDocType: str = ""
    MaterialBaseUnit: str = ""
    QuantityInBaseUnit: Decimal = ZERO
    EntryUnit: str = ""
    QuantityInEntryUnit: Decimal = ZERO
    MaterialDocumentItemText: str = ""
    ShelfLifeExpirationDate: str | None = None
    IsCompletelyDelivered: bool = False
    Reservation: str = ""
    ReservationItem: str = ""
    GoodsMovementIsCancelled: bool = False
    to_SerialNumbers: Results[SerialNumber] = Results()


class MaterialDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    MaterialDocument: str = ""
    MaterialDocumentYear: str = ""
    GoodsMovementCode: str = ""
    DocumentDate: str | None = None
    PostingDate: str | None = None
    MaterialDocumentHeaderText: str = ""
    ReferenceDocument: str = ""
    to_MaterialDocumentItem: Results[MaterialDocumentItem] = Results()


class RequisitionItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    PurchaseRequisitionItem: str
    Material: str
    Plant: str
    StorageLocation: str
    RequestedQuantity: Decimal
    BaseUnit: str
    PurchaseRequisitionPrice: Decimal
    PurReqnPriceQuantity: Decimal
    PurReqnItemCurrency: str
    DeliveryDate: str
    FixedSupplier: str
    CompanyCode: str
    PurchasingOrganization: str
    PurchasingGroup: str
    RequisitionerName: str = ""
    RequirementTracking: str = ""
    PurchaseRequisitionItemText: str = ""
    SupplierMaterialNumber: str = ""


class Metadata(msgspec.Struct, frozen=True):
    etag: str = ""


class KeptRequisitionItem(msgspec.Struct, frozen=True, kw_only=True):
    """A requisition item as S/4HANA keeps it, whoever raised it."""

    PurchaseRequisition: str
    PurchaseRequisitionItem: str
    RequestedQuantity: Decimal
    BaseUnit: str
    OrderedQuantity: Decimal = ZERO
    PurchasingDocument: str = ""
    IsDeleted: str = ""
    IsClosed: bool = False
    metadata: Metadata = msgspec.field(name="__metadata", default=Metadata())


class ItemChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    IsDeleted: str = ""
    IsCompletelyDelivered: bool = False
    PurchasingDocumentDeletionCode: str = ""


class RequisitionDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    PurchaseRequisition: str = ""
    PurchaseRequisitionType: str = ""
    PurReqnDescription: str = ""
    to_PurchaseReqnItem: Results[RequisitionItem] = Results()


class ScheduleLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    ScheduleLineDeliveryDate: str | None = None
    ScheduleLineOrderQuantity: Decimal = ZERO


class OrderItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    PurchaseOrderItem: str
    Material: str
    Plant: str
    StorageLocation: str
    OrderQuantity: Decimal
    PurchaseOrderQuantityUnit: str
    NetPriceAmount: Decimal
    NetPriceQuantity: Decimal
    DocumentCurrency: str
    PurchaseOrder: str = ""
    PurchaseOrderItemText: str = ""
    PurchasingDocumentDeletionCode: str = ""
    SupplierMaterialNumber: str = ""
    RequisitionerName: str = ""
    PurchaseRequisition: str = ""
    PurchaseRequisitionItem: str = ""
    TaxCode: str = ""
    IsCompletelyDelivered: bool = False
    IsFinallyInvoiced: bool = False
    to_ScheduleLine: Results[ScheduleLine] = Results()


class OrderDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    PurchaseOrder: str = ""
    Supplier: str = ""
    CompanyCode: str = ""
    PurchaseOrderType: str = ""
    PurchasingOrganization: str = ""
    PurchasingGroup: str = ""
    PurchaseOrderDate: str | None = None
    DocumentCurrency: str = ""
    Language: str = ""
    CorrespncInternalReference: str = ""
    PurchasingDocumentDeletionCode: str = ""
    to_PurchaseOrderItem: Results[OrderItem] = Results()
