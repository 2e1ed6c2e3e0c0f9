"""System API of EDI: the interchanges trading partners send, over HTTP."""

from typing import Any, Protocol

from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.request import RequestFacts

_X12 = "application/edi-x12"


class X12Door(Protocol):
    async def accept(self, raw: bytes, partner_client: str) -> bytes: ...


@post(
    "/x12",
    operation_id="sendX12",
    scope="system.edi.x12:write",
    status_code=200,
    media_type=_X12,
    takes=(_X12,),
)
async def send_x12(
    request: Request[Any, Any, State],
    x12: NamedDependency[SkipValidation[X12Door]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Response[bytes]:
    """Hand in one X12 interchange; the answer is its 997, 999 or TA1, also a rejecting one."""
    client = facts.principal.client if facts.principal else ""
    return Response(await x12.accept(await request.body(), client), media_type=_X12)


router = Router("/system/v1/edi", route_handlers=[send_x12])
