"""What a scanned text says: a GTIN or UDI by its standard, otherwise a number of the house."""

from canonical.errors import MalformedMessage
from canonical.item import CodeScheme, ItemCode, ScannedLabel
from standards.udi.codec import parse

_HOUSE: tuple[CodeScheme, ...] = ("erp", "supplier-sku", "catalogue", "ehr")


class Labels:
    """Reads barcodes of any kind."""

    def read(self, text: str) -> ScannedLabel:
        """Return the codes a text may mean, most specific first."""
        own = tuple(ItemCode(scheme=scheme, value=text) for scheme in _HOUSE)
        try:
            udi = parse(text)
        except MalformedMessage:
            return ScannedLabel(codes=own)
        codes = (udi.item_code(), *own)
        return ScannedLabel(codes=codes, lot=udi.lot, serial=udi.serial, expires=udi.expires)
