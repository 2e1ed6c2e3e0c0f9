"""Master data for the processes: what the registry keeps, and how a facility pack fills it."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from canonical.case import PreferenceCard
from canonical.clock import Clock
from canonical.contract import ContractPrice
from canonical.errors import (
    InvalidRequest,
    NotFound,
    UnknownLocation,
    UnknownPartner,
    UnknownProcedure,
)
from canonical.inventory import ParLevel
from canonical.item import ItemCode, ItemId, gtin
from canonical.location import Location
from canonical.supplier import TradingPartner
from ledger.registry import Registry


class FacilityPack(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """A facility as data: what is needed before its first message, checked as a whole."""

    locations: tuple[Location, ...] = ()
    par_levels: tuple[ParLevel, ...] = ()
    preference_cards: tuple[PreferenceCard, ...] = ()
    contracts: tuple[ContractPrice, ...] = ()
    partners: tuple[TradingPartner, ...] = ()
    codes: tuple[tuple[ItemCode, ItemId], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a GTIN that no label can carry; msgspec wants a `ValueError` here."""
        for at, (code, _) in enumerate(self.codes):
            try:
                if code.scheme == "gtin":
                    gtin(code.value)
            except InvalidRequest as exc:
                reason = f"{exc.detail}, expected {exc.expected}"
                raise ValueError(f"{reason} - at `$.codes[{at}][0].value`") from exc


def read_pack(path: Path) -> FacilityPack:
    """Read a pack (JSON); a wrong one is refused with the path of the mistake."""
    body = path.read_bytes()
    pack = msgspec.json.decode(body, type=FacilityPack)
    _refuse_unknown(msgspec.json.decode(body), msgspec.to_builtins(pack), "$")
    return pack


def _refuse_unknown(raw: Any, known: Any, where: str) -> None:
    """Refuse keys that reading passed over: the objects of a pack are everybody's Structs, and not
    everywhere is an unknown field a mistake.
    """
    if isinstance(known, list | tuple):
        for at, part in enumerate(cast("Sequence[Any]", known)):
            _refuse_unknown(raw[at], part, f"{where}[{at}]")
    elif isinstance(known, dict):
        own = cast("dict[str, Any]", known)
        for name in raw:
            if name not in own:
                raise msgspec.ValidationError(
                    f"Object contains unknown field `{name}` - at `{where}`"
                )
            _refuse_unknown(raw[name], own[name], f"{where}.{name}")


class MasterData:
    """Answers the processes' questions from the registry."""

    system = "registry"

    def __init__(self, registry: Registry, zones: dict[str, str], clock: Clock) -> None:
        self._registry = registry
        self._zones = {facility: ZoneInfo(zone) for facility, zone in zones.items()}
        self._clock = clock

    async def load(self, pack: FacilityPack, *, by: str) -> int:
        """Add what is new or different in the pack; return how many objects changed."""
        objects: list[tuple[str, msgspec.Struct]] = [
            *((f"{place.facility}/{place.id}", place) for place in pack.locations),
            *((f"{par.facility}/{par.location}/{par.item}", par) for par in pack.par_levels),
            *((f"{card.procedure}/{card.surgeon}", card) for card in pack.preference_cards),
            *((_price_key(price), price) for price in pack.contracts),
            *((partner.supplier, partner) for partner in pack.partners),
        ]
        return await self._registry.put(objects, pack.codes, by=by)

    async def location(self, facility: str, location: str) -> Location:
        found = await self._registry.find(Location, f"{facility}/{location}")
        if found is None:
            raise UnknownLocation(
                f"facility {facility} has no location {location}",
                fix="add the location to the facility, then retry",
            )
        return found

    async def facility_of(self, location: str) -> str:
        """Return the one facility that has a location of this id."""
        places = await self._registry.all_of(Location)
        found = sorted({place.facility for place in places if place.id == location})
        if len(found) != 1:
            raise UnknownLocation(
                f"{len(found)} facilities have a location {location}",
                where="facility",
                expected=f"one of {', '.join(found)}" if found else "a location of a facility",
                fix="name the facility" if found else "add the location to its facility",
            )
        return found[0]

    async def preference_card(self, procedure: str, surgeon: str) -> PreferenceCard:
        """Return the surgeon's own card, else the card for everybody."""
        own = await self._registry.find(PreferenceCard, f"{procedure}/{surgeon}")
        card = own or await self._registry.find(PreferenceCard, f"{procedure}/")
        if card is None:
            raise UnknownProcedure(
                f"no preference card for procedure {procedure}",
                fix="add a preference card, then retry; or abandon where nothing is needed",
            )
        return card

    async def par_levels(self, facility: str, location: str) -> list[ParLevel]:
        return await self._registry.all_of(ParLevel, f"{facility}/{location}")

    async def prices(self, supplier: str, item: ItemId) -> list[ContractPrice]:
        return await self._registry.all_of(ContractPrice, f"{supplier}/{item}")

    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId:
        return await self._registry.resolve(codes)

    async def today(self, facility: str) -> date:
        """Return the day at the facility: after midnight in UTC it may still be yesterday there."""
        return self.now(facility).date()

    async def day_at(self, facility: str, moment: datetime) -> date:
        """Return the day at the facility at a moment."""
        return moment.astimezone(self._zone(facility)).date()

    def now(self, facility: str) -> datetime:
        return self._clock().astimezone(self._zone(facility))

    def _zone(self, facility: str) -> ZoneInfo:
        zone = self._zones.get(facility)
        if zone is None:
            raise UnknownLocation(
                f"facility {facility} is not configured", fix="add it to facilities in gateway.toml"
            )
        return zone

    async def partner_of(self, supplier: str) -> TradingPartner:
        try:
            return await self._registry.one(TradingPartner, supplier)
        except NotFound as exc:
            raise UnknownPartner(
                f"supplier {supplier} has no EDI profile", fix="add a trading partner, then retry"
            ) from exc

    async def partner_named(self, qualifier: str, interchange_id: str) -> TradingPartner | None:
        """Return the partner that sends under this ISA05/06, or None."""
        for partner in await self._registry.all_of(TradingPartner):
            if (partner.qualifier, partner.interchange_id.strip()) == (
                qualifier,
                interchange_id.strip(),
            ):
                return partner
        return None


def _price_key(price: ContractPrice) -> str:
    return f"{price.supplier}/{price.item}/{price.contract}/{price.valid_from}"
