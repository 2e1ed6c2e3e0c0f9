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
        scheme: CodeScheme = "gtin" if udi.gtin else udi.issuer if udi.issuer != "gs1" else "gtin"
        code = ItemCode(scheme=scheme, value=udi.gtin or udi.di)
        return ScannedLabel(codes=(code, *own), lot=udi.lot, serial=udi.serial, expires=udi.expires)
