"""What reverses a material document, item by item."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from system_apis.erp.s4hana import wire
from system_apis.erp.s4hana.mapping import codes

_OPPOSITES = {"201": "202", "101": "102"}
_CODES = {"202": "03", "102": "01"}
"""Movement type to the one that reverses it, and that one to the code of its transaction."""


def reversal(
    posted: Iterable[wire.MaterialDocumentItem],
    taken_back: Iterable[wire.MaterialDocumentItem],
    on: date,
    mark: str,
) -> wire.MaterialDocument | None:
    """Take back what is left of the items of a document; None where nothing is."""
    gone = tuple(taken_back)
    items = tuple(item for each in posted if (item := _left(each, gone)) is not None)
    if not items:
        return None
    return wire.MaterialDocument(
        GoodsMovementCode=_CODES[items[0].GoodsMovementType],
        DocumentDate=codes.sap_day(on),
        PostingDate=codes.sap_day(on),
        ReferenceDocument=mark,
        to_MaterialDocumentItem=wire.Results(items),
    )


def _left(
    item: wire.MaterialDocumentItem, gone: tuple[wire.MaterialDocumentItem, ...]
) -> wire.MaterialDocumentItem | None:
    mine = [each for each in gone if each.ReversedMaterialDocumentItem == item.MaterialDocumentItem]
    left = item.QuantityInBaseUnit - sum((each.QuantityInBaseUnit for each in mine), Decimal(0))
    if left <= 0:
        return None
    back = {each.SerialNumber for one in mine for each in one.to_SerialNumbers.results}
    serials = (each.SerialNumber for each in item.to_SerialNumbers.results)
    return wire.MaterialDocumentItem(
        Material=item.Material,
        Plant=item.Plant,
        StorageLocation=item.StorageLocation,
        GoodsMovementType=_OPPOSITES[item.GoodsMovementType],
        Batch=item.Batch,
        CostCenter=item.CostCenter,
        EntryUnit=item.MaterialBaseUnit,
        QuantityInEntryUnit=left,
        ReversedMaterialDocument=item.MaterialDocument,
        ReversedMaterialDocumentYear=item.MaterialDocumentYear,
        ReversedMaterialDocumentItem=item.MaterialDocumentItem,
        to_SerialNumbers=wire.Results(
            tuple(
                wire.SerialNumber(Material=item.Material, SerialNumber=each)
                for each in serials
                if each not in back
            )
        ),
    )
