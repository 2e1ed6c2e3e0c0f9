"""What the EHR has sent and still has to send: kept, in order, until somebody took it.

HL7 goes over one MLLP connection, FHIR over HTTP; each keeps its own order. The same bytes under
the same control id go out until there is an answer, so that a gateway that was away loses nothing.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

import httpx

from sandbox.ehr.mllp import Line, NoAnswer
from sandbox.ehr.settings import Settings

_PATH = "/system/v1/ehr/fhir"
_SCOPE = "system.ehr.fhir:write"
_TAKEN, _REFUSED = frozenset({"AA", "CA"}), frozenset({"AR", "CR"})
_UNAUTHORIZED = 401
_TRY_AGAIN = frozenset({_UNAUTHORIZED, 403, 404, 408, 425, 429})

Verdict = Literal["taken", "refused", "error", "again"]


@dataclass
class Sent:
    """One message and what became of it; `status` is waiting, accepted or refused."""

    control_id: str
    kind: str
    via: Literal["hl7", "fhir"]
    body: bytes
    case: str = ""
    attempts: int = 0
    errors: int = 0
    status: Literal["waiting", "accepted", "refused"] = "waiting"
    answers: list[str] = field(default_factory=list[str])


class Outbox:
    """Two queues, each emptied by its own task."""

    def __init__(self, settings: Settings) -> None:
        self.messages: list[Sent] = []
        self._settings = settings
        self._http = httpx.AsyncClient(transport=settings.transport, timeout=settings.answer_within)
        self._line = Line(settings.mllp_host, settings.mllp_port, settings.answer_within)
        self._queues = {"hl7": asyncio.Queue[Sent](), "fhir": asyncio.Queue[Sent]()}
        self._tasks: list[asyncio.Task[None]] = []
        self._token = ""

    def start(self) -> None:
        """Begin to deliver."""
        for queue in self._queues.values():
            self._tasks.append(asyncio.create_task(self._empty(queue)))

    async def close(self) -> None:
        """Stop delivering; what waits is lost with the process, as memory is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._line.close()
        await self._http.aclose()

    def send(self, message: Sent) -> None:
        """Keep a message and line it up."""
        self.messages.append(message)
        self._queues[message.via].put_nowait(message)

    def resend(self, control_id: str) -> Sent | None:
        """Line the kept message up once more, byte for byte."""
        found = next((one for one in self.messages if one.control_id == control_id), None)
        if found is not None:
            found.status, found.errors = "waiting", 0
            self._queues[found.via].put_nowait(found)
        return found

    async def _empty(self, queue: asyncio.Queue[Sent]) -> None:
        while True:
            message = await queue.get()
            wait = self._settings.first_retry
            while not await self._attempt(message):
                await asyncio.sleep(wait)
                wait = min(wait * 2, self._settings.longest_retry)

    async def _attempt(self, message: Sent) -> bool:
        """Send once; True when there is nothing more to do."""
        message.attempts += 1
        verdict = await (self._over_mllp if message.via == "hl7" else self._over_http)(message)
        if verdict == "error":
            message.errors += 1
            verdict = "refused" if message.errors >= self._settings.error_attempts else "again"
        if verdict == "again":
            return False
        message.status = "accepted" if verdict == "taken" else "refused"
        return True

    async def _over_mllp(self, message: Sent) -> Verdict:
        try:
            code = await self._line.ask(message.body, message.control_id)
        except NoAnswer as exc:
            message.answers.append(str(exc))
            return "again"
        message.answers.append(code)
        if code in _TAKEN:
            return "taken"
        return "refused" if code in _REFUSED else "error"

    async def _over_http(self, message: Sent) -> Verdict:
        try:
            response = await self._http.post(
                f"{self._settings.gateway_url}{_PATH}",
                content=message.body,
                headers={
                    "content-type": "application/fhir+json",
                    "authorization": f"Bearer {await self._bearer()}",
                },
            )
        except (httpx.HTTPError, ValueError, KeyError) as exc:
            message.answers.append(type(exc).__name__)
            return "again"
        status = response.status_code
        message.answers.append(str(status))
        if status == _UNAUTHORIZED:
            self._token = ""
        if response.is_success:
            return "taken"
        return "again" if status in _TRY_AGAIN or response.is_server_error else "refused"

    async def _bearer(self) -> str:
        if not self._token:
            settings = self._settings
            response = await self._http.post(
                settings.token_url,
                data={"grant_type": "client_credentials", "scope": _SCOPE},
                auth=(settings.client_id, settings.client_secret),
            )
            self._token = str(response.raise_for_status().json()["access_token"])
        return self._token
