"""Everybody who takes part in the demonstration, each with an OAuth client of their own."""

import asyncio
import contextlib
from http import HTTPStatus
from typing import Any

import httpx

SCOPES = {
    "ehr": ("system.ehr.hl7v2:write", "system.ehr.fhir:write"),
    "supplier": ("system.edi.x12:write",),
    "scanner": ("experience.mobile:read", "experience.mobile:write"),
    "approver": ("process.tasks:read", "process.requisitions:approve"),
    "operator": (
        "experience.operations:read",
        "experience.operations:replay",
        "experience.procurement:read",
        "experience.security:read",
        "experience.mobile:read",
        "process.tasks:read",
        "process.tasks:write",
        "process.flows:cancel",
        "process.requisitions:approve",
        "process.requisitions:write",
        "process.orders:read",
        "system.erp.items:read",
        "system.erp.stock:read",
        "system.erp.purchase-orders:read",
        "system.erp.suppliers:read",
        "system.erp.cost-centers:read",
    ),
}


_TRIES, _PAUSE_SECONDS = 150, 0.2


class Refused(Exception):
    """The gateway said no: status and problem."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(f"{status} {problem}")
        self.status = status


class Person:
    """Somebody with a client of their own: calls the gateway with a token, renewed when refused."""

    def __init__(self, url: str, client: str, secret: str) -> None:
        self.client = client
        self.secret = secret
        self._http = httpx.AsyncClient(base_url=url, timeout=15, trust_env=False)
        self.token = ""

    async def call(self, method: str, path: str, **given: Any) -> Any:
        """Return the decoded answer; raises `Refused`."""
        if not self.token:
            await self.sign_in()
        answer = await self._patiently(method, path, given)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            await self.sign_in()
            answer = await self._patiently(method, path, given)
        if answer.is_error:
            raise Refused(answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def _patiently(self, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        """Send as often as it takes while the gateway is away: every door takes a repetition."""
        known = {"authorization": f"Bearer {self.token}"} if self.token else {}
        headers = known | given.get("headers", {})
        for _ in range(_TRIES):
            with contextlib.suppress(httpx.TransportError):
                return await self._http.request(method, path, **{**given, "headers": headers})
            await asyncio.sleep(_PAUSE_SECONDS)
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway does not answer")

    async def sign_in(self) -> None:
        """Get a new token."""
        self.token = ""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client,
            "client_secret": self.secret,
        }
        answer = await self._patiently("POST", "/oauth/token", {"data": form})
        if answer.is_error:
            raise Refused(answer.status_code, answer.text)
        self.token = answer.json()["access_token"]

    async def close(self) -> None:
        await self._http.aclose()
