"""What a UDI carrier says, whoever issued it (FDA 21 CFR 830; «UDI formats by issuing agency»)."""

from datetime import date
from typing import Literal

import msgspec

from canonical.item import Gtin, ItemCode

Issuer = Literal["gs1", "hibcc", "iccbba"]


class Udi(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A device identifier with its production identifiers.

    `di` is the identifier as its issuer writes it; `gtin` is the same as a checked GTIN-14, for
    GS1 only. A serial number points at one patient's implant: treat a Udi as patient-linked.
    """

    issuer: Issuer
    di: str
    gtin: Gtin | None = None
    lot: str = ""
    serial: str = ""
    expires: date | None = None
    made: date | None = None
    donation: str = ""

    def item_code(self) -> ItemCode:
        """Return the name of the item this device is one of."""
        if self.gtin is not None:
            return ItemCode(scheme="gtin", value=self.gtin)
        return ItemCode(scheme="iccbba" if self.issuer == "iccbba" else "hibcc", value=self.di)
