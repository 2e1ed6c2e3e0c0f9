"""System API of the EHR: the clinical documents it sends, over HTTP."""

from typing import Any, Final, Literal, Protocol

from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.errors import UnsupportedMessage
from canonical.request import RequestFacts

_ER7 = "x-application/hl7-v2+er7"
_FHIR = "application/fhir+json"

_RESOURCE: Final = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": {"type": "string"}},
}


class Hl7Door(Protocol):
    async def accept(self, raw: bytes, channel: Literal["mllp", "http"]) -> bytes | None: ...


class FhirDoor(Protocol):
    async def accept(self, raw: bytes, sender: str) -> tuple[int, bytes]: ...


@post(
    "/hl7v2",
    operation_id="sendHl7v2",
    scope="system.ehr.hl7v2:write",
    status_code=200,
    media_type=_ER7,
    takes=(_ER7,),
)
async def send_hl7v2(
    request: Request[Any, Any, State],
    hl7: NamedDependency[SkipValidation[Hl7Door]],
) -> Response[bytes]:
    """Hand in one HL7 v2 message (ER7); the answer is its acknowledgement, also a refusing one."""
    answer = await hl7.accept(await request.body(), "http")
    return Response(answer or b"", media_type=_ER7)


@post(
    "/fhir",
    operation_id="sendFhir",
    scope="system.ehr.fhir:write",
    status_code=200,
    media_type=_FHIR,
    takes=(_FHIR, "application/json"),
    shape=_RESOURCE,
    refusals=("400", "409", "415", "422"),
)
async def send_fhir(
    request: Request[Any, Any, State],
    fhir: NamedDependency[SkipValidation[FhirDoor | None]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Response[bytes]:
    """Hand in a FHIR R4 Bundle, Procedure or DeviceUseStatement; failures are OperationOutcomes."""
    sender = facts.principal.client if facts.principal else ""
    if fhir is None:
        raise UnsupportedMessage(
            "no FHIR feed is configured here", fix="add feeds.fhir to gateway.toml"
        )
    status, answer = await fhir.accept(await request.body(), sender)
    return Response(answer, status_code=status, media_type=_FHIR)


router = Router("/system/v1/ehr", route_handlers=[send_hl7v2, send_fhir])
