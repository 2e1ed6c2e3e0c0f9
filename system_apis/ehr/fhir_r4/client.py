"""Charge review at a FHIR R4 server: one ChargeItem a line, created once (3.1.0.8.1)."""

from typing import Final
from urllib.parse import quote

import httpx
import msgspec

from canonical.charge import ChargeReview, RecordedCharge
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
from system_apis.ehr.fhir_r4.mapping import VERSION, charge_item

_THROTTLED: Final = 429
_SERVER_ERROR: Final = 500


class _Created(msgspec.Struct, frozen=True, kw_only=True):
    """The one thing we need of the server's answer."""

    id: str = ""


_created = msgspec.json.Decoder(_Created)


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

    async def _record(self, item: ChargeItem) -> str:
        """Create one item unless the server has it: If-None-Exist looks before it writes."""
        name = item.identifier[0]
        response = await self._post(
            codec.encode(item),
            {
                "Content-Type": codec.MEDIA_TYPE,
                "Accept": codec.MEDIA_TYPE,
                "Prefer": "return=representation",
                "If-None-Exist": f"identifier={quote(f'{name.system}|{name.value}', safe='')}",
            },
        )
        if not response.is_success:
            raise _refusal(response)
        return _id_of(response)

    async def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._http.post("ChargeItem", content=body, headers=headers)
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
