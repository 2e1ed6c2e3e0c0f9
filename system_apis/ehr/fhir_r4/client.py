"""Charge review at a FHIR R4 server: one ChargeItem a line, created once (3.1.0.8.1).

A charge that is taken back whole before it was reviewed becomes entered-in-error; of any other one
a credit, an item with a negative quantity, is put before the reviewer.
"""

from typing import Final
from urllib.parse import quote

import httpx
import msgspec

from canonical.charge import ChargeCredit, ChargeReversal, ChargeReview, RecordedCharge
from canonical.context import PatientContext
from canonical.errors import (
    UpstreamFailed,
    UpstreamFailure,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from standards.fhir import codec
from standards.fhir.resources import ChargeItem
from system_apis.ehr.fhir_r4.mapping import VERSION, charge_item, charge_name, credit_item

_THROTTLED: Final = 429
_CHANGED: Final = 412
_NOT_REVIEWED: Final = "planned"
_WRONG: Final = "entered-in-error"
_SERVER_ERROR: Final = 500


class _Created(msgspec.Struct, frozen=True, kw_only=True):
    """The one thing we need of the server's answer."""

    id: str = ""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found."""

    entry: tuple["_Entry", ...] = ()


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    resource: _Created


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a JSON Patch (RFC 6902)."""

    op: str
    path: str
    value: str


_created = msgspec.json.Decoder(_Created)
_found = msgspec.json.Decoder(_Found)
_charge = msgspec.json.Decoder(ChargeItem)


class FhirChargeReview:
    """Records charges for review; `http` has the server's base address, token and policies."""

    system = "EHR"
    mapping_version = VERSION

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def record_charge(
        self, charge: ChargeReview, *, key: str, patient: PatientContext
    ) -> RecordedCharge:
        """Record each line as a ChargeItem; the same `key` again finds what was recorded before."""
        return RecordedCharge(
            ids=tuple(
                [
                    await self._record(charge_item(charge, number, patient, key))
                    for number in range(1, len(charge.lines) + 1)
                ]
            )
        )

    async def credit_charge(
        self, reversal: ChargeReversal, *, key: str, patient: PatientContext
    ) -> RecordedCharge:
        """Take recorded charges back, in whole or in part; return the ids that now say so."""
        del patient  # the records name their patient; the grant to touch them is what was asked
        return RecordedCharge(
            ids=tuple(
                [
                    await self._credit(credit, f"{key}/{number}")
                    for number, credit in enumerate(reversal.credits, 1)
                ]
            )
        )

    async def take_back_charge(
        self,
        charge: ChargeReview,
        done: RecordedCharge | None,
        /,
        *,
        key: str,
        patient: PatientContext,
    ) -> RecordedCharge:
        """Undo `record_charge`: take back whatever was recorded under `key`."""
        del patient
        ids = done.ids if done else ()
        known = dict(enumerate(ids, 1))
        taken = list[str]()
        for number, line in enumerate(charge.lines, 1):
            item = known.get(number) or await self._named(charge_name(key, number))
            if item:
                credit = ChargeCredit(id=item, quantity=line.quantity, whole=True)
                taken.append(await self._credit(credit, f"{key}/undo/{number}"))
        return RecordedCharge(ids=tuple(taken))

    async def _credit(self, credit: ChargeCredit, name: str) -> str:
        """Mark the item as wrong, or add a credit of it under `name`; doing it twice is once."""
        path = f"ChargeItem/{quote(credit.id, safe='')}"
        response = _accepted(await self._send("GET", path))
        try:
            item = _charge.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise UpstreamGarbled("not a ChargeItem", expected="a ChargeItem") from exc
        if not credit.whole or item.status not in (_NOT_REVIEWED, _WRONG):
            return await self._record(credit_item(item, credit, name))
        if item.status != _WRONG:
            change = _Change(op="replace", path="/status", value=_WRONG)
            version = {"If-Match": f'W/"{item.meta.version_id}"'} if item.meta.version_id else {}
            headers = {"Content-Type": "application/json-patch+json"} | version
            body = msgspec.json.encode((change,))
            _accepted(await self._send("PATCH", path, body, headers))
        return credit.id

    async def _named(self, name: str) -> str:
        """Return the id of the item with that identifier, '' where there is none."""
        path = f"ChargeItem?identifier={quote(name, safe='')}"
        response = _accepted(await self._send("GET", path))
        try:
            found = _found.decode(response.content).entry
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise UpstreamGarbled("not a Bundle", expected="a searchset Bundle") from exc
        return found[0].resource.id if found else ""

    async def _record(self, item: ChargeItem) -> str:
        """Create one item unless the server has it: If-None-Exist looks before it writes."""
        name = item.identifier[0]
        response = await self._send(
            "POST",
            "ChargeItem",
            codec.encode(item),
            {
                "Content-Type": codec.MEDIA_TYPE,
                "Prefer": "return=representation",
                "If-None-Exist": f"identifier={quote(f'{name.system}|{name.value}', safe='')}",
            },
        )
        return _id_of(_accepted(response))

    async def _send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        told = {"Accept": codec.MEDIA_TYPE} | (headers or {})
        try:
            return await self._http.request(method, path, content=body, headers=told)
        except httpx.TimeoutException as exc:
            raise UpstreamTimeout("charge review did not answer in time") from exc
        except httpx.NetworkError as exc:
            raise UpstreamUnavailable("charge review cannot be reached") from exc
        except httpx.RemoteProtocolError as exc:
            raise UpstreamFailed("charge review broke off its answer") from exc
        except httpx.DecodingError as exc:
            raise UpstreamGarbled("charge review answered in an encoding it did not use") from exc
        except httpx.TransportError as exc:
            raise UpstreamUnavailable("no way to charge review") from exc


def _accepted(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise _refusal(response)
    return response


def _id_of(response: httpx.Response) -> str:
    """Return the id the server gave: the body's, or the one in Location (3.1.0.8)."""
    location = response.headers.get("Location", "")
    _, found, tail = location.rpartition("ChargeItem/")
    given = tail.split("/")[0] if found else ""
    if not given:
        try:
            given = _created.decode(response.content).id
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise UpstreamGarbled(
                "the answer to a created ChargeItem is not FHIR JSON", expected="a ChargeItem"
            ) from exc
    if not given:
        raise UpstreamGarbled("the ChargeItem came back without an id", expected="an id")
    return given


def _refusal(response: httpx.Response) -> UpstreamFailure:
    """Name what the server's status means; its words stay out, they may speak of the patient."""
    status = response.status_code
    if status == _THROTTLED:
        return UpstreamThrottled(
            "charge review asks to slow down", retry_after=_seconds(response.headers)
        )
    if status == _CHANGED and response.request.method == "PATCH":
        return UpstreamFailed("the charge was changed by somebody else meanwhile")
    if status >= _SERVER_ERROR:
        return UpstreamFailed(
            f"charge review answered {status}", retry_after=_seconds(response.headers)
        )
    return UpstreamRefused(
        f"charge review answered {status}",
        where="ChargeItem",
        expected="200 or 201",
        fix="look at the charge-review system's own log for this identifier, then retry",
    )


def _seconds(headers: httpx.Headers) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
