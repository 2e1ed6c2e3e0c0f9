"""The wire session: OData V2 reads and writes, CSRF tokens, and the one place where httpx's and the
vendor's failures become ours.
"""

import asyncio
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from canonical.errors import (
    BusinessFailure,
    CallerFailure,
    InactiveItem,
    QuantityExceeded,
    SerialAlreadyUsed,
    StateConflict,
    UnknownCostCenter,
    UnknownItem,
    UnknownLot,
    UnknownOrder,
    UnknownSupplier,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
    WrongUnit,
)
from system_apis.erp.s4hana import wire

T = TypeVar("T")

SERVICES = "/sap/opu/odata/sap/"
JOURNAL = "/sap/bc/srt/scs_ext/sap/journalentrycreaterequestconfi"
_LITERAL = "'"
_TOKEN = "x-csrf-token"  # noqa: S105  the name of a header

_REFUSALS: dict[str, type[BusinessFailure | CallerFailure]] = {
    "M3/305": UnknownItem,
    "M3/351": UnknownItem,
    "06/052": InactiveItem,
    "M3/070": WrongUnit,
    "M8/082": WrongUnit,
    "M7/018": UnknownLot,
    "M7/042": UnknownLot,
    "M7/021": QuantityExceeded,
    "M7/022": QuantityExceeded,
    "IO/227": SerialAlreadyUsed,
    "IO/231": SerialAlreadyUsed,
    "KI/101": UnknownCostCenter,
    "KI/161": UnknownCostCenter,
    "F2/145": UnknownSupplier,
    "M7/001": UnknownOrder,
    "M8/321": UnknownOrder,
    "M8/462": StateConflict,
}
"""Message class and number to the closed vocabulary; every other refusal is `UpstreamRefused`."""


def where(**conditions: str | bool) -> str:
    """Write `$filter`: equality joined by `and`, quotes doubled (OData V2, Uri Conventions 4.5)."""
    return " and ".join(map(_term, conditions.items()))


def _term(condition: tuple[str, str | bool]) -> str:
    name, value = condition
    if isinstance(value, bool):
        return f"{name} eq {'true' if value else 'false'}"
    return f"{name} eq '{_doubled(value)}'"


def keyed(entity_set: str, **keys: str) -> str:
    """Write `Set(Key='value',…)`, safe for a path."""
    pairs = (f"{name}='{quote(_doubled(value), safe='')}'" for name, value in keys.items())
    return f"{entity_set}({','.join(pairs)})"


def _doubled(value: str) -> str:
    return value.replace("'", "''")


class ODataSession:
    """Reads and writes of one S/4HANA. The client brings base address, credentials, cookies and the
    outbound policies; this brings the CSRF token, fetched once and again when it is refused.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._token = ""
        self._fetching = asyncio.Lock()

    async def rows(self, path: str, shape: type[wire.Many[T]], **query: str) -> tuple[T, ...]:
        """Return the entities of a set."""
        options = {f"${name}": value for name, value in query.items() if value}
        response = await self._send("GET", SERVICES + path, params=options)
        return _decoded(_accepted(response), shape).d.results

    async def one(self, path: str, shape: type[wire.One[T]], **query: str) -> T | None:
        """Return one entity by its key, or nothing where there is none."""
        options = {f"${name}": value for name, value in query.items() if value}
        response = await self._send("GET", SERVICES + path, params=options)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        return _decoded(_accepted(response), shape).d

    async def create(self, path: str, document: msgspec.Struct, shape: type[wire.One[T]]) -> T:
        """Create an entity with its deep inserts. Not idempotent: look it up by its mark first."""
        response = await self._write("POST", path, msgspec.json.encode(document))
        return _decoded(_accepted(response), shape).d

    async def change(self, path: str, document: msgspec.Struct, etag: str) -> bool:
        """Change an entity as it was read; False when it has been changed since. What was read with
        an etag is written with it (OData V2, Operations, concurrency control and ETags).
        """
        response = await self._write("PATCH", path, msgspec.json.encode(document), etag)
        if response.status_code == HTTPStatus.PRECONDITION_FAILED:
            return False
        _accepted(response)
        return True

    async def delete(self, path: str) -> None:
        """Delete an entity; one that is gone already is as good."""
        response = await self._write("DELETE", path, b"")
        if response.status_code != HTTPStatus.NOT_FOUND:
            _accepted(response)

    async def call(self, name: str, **parameters: str) -> None:
        """Call a function import that changes something (OData V2, 2.2.5.4). Not idempotent."""
        pairs = (f"{key}={quote(value, safe=_LITERAL)}" for key, value in parameters.items())
        _accepted(await self._write("POST", f"{name}?{'&'.join(pairs)}", b""))

    async def soap(self, envelope: str) -> None:
        """Post a journal entry; a confirmation of severity 3 is a refusal in the vendor's words."""
        response = await self._send(
            "POST",
            JOURNAL,
            content=envelope.encode(),
            headers={"content-type": "text/xml; charset=utf-8"},
        )
        _confirmed(_accepted(response))

    async def _write(self, method: str, path: str, body: bytes, etag: str = "") -> httpx.Response:
        service = path.split("/", 1)[0]
        condition = {"if-match": etag} if etag else dict[str, str]()
        token = self._token or await self._fetched(service, "")
        response = await self._sent(method, path, body, condition | {_TOKEN: token})
        if _wants_token(response):
            token = await self._fetched(service, token)
            response = await self._sent(method, path, body, condition | {_TOKEN: token})
        return response

    async def _sent(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> httpx.Response:
        headers = headers | {"content-type": "application/json"}
        return await self._send(method, SERVICES + path, content=body, headers=headers)

    async def _fetched(self, service: str, stale: str) -> str:
        """Fetch a token, once for all who wait: token and session cookie belong together."""
        async with self._fetching:
            if self._token == stale:
                headers = {_TOKEN: "Fetch"}
                response = await self._send("GET", f"{SERVICES}{service}/", headers=headers)
                self._token = _accepted(response).headers.get(_TOKEN, "")
            return self._token

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        accept = {"accept": "application/json"} | (headers or {})
        try:
            return await self._http.request(
                method, path, params=params, content=content, headers=accept
            )
        except httpx.TimeoutException as exc:
            raise UpstreamTimeout("S/4HANA did not answer in time") from exc
        except (httpx.NetworkError, httpx.RemoteProtocolError) as exc:
            raise UpstreamUnavailable("the connection to S/4HANA broke") from exc
        except httpx.DecodingError as exc:
            raise UpstreamGarbled("S/4HANA's answer is not decodable") from exc


def _wants_token(response: httpx.Response) -> bool:
    asked = response.headers.get(_TOKEN, "").lower()
    return response.status_code == HTTPStatus.FORBIDDEN and asked == "required"


def _accepted(response: httpx.Response) -> httpx.Response:
    """Pass a success; raise what any other status means."""
    status = response.status_code
    if response.is_success:
        return response
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdigit() else None
        raise UpstreamThrottled("S/4HANA asks to slow down", retry_after=seconds)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UpstreamFailed(f"S/4HANA answered {status}; it may have committed")
    raise _refusal(status, response.content)


def _refusal(status: int, body: bytes) -> BusinessFailure | CallerFailure | UpstreamRefused:
    try:
        error = msgspec.json.decode(body, type=wire.ErrorAnswer).error
    except msgspec.DecodeError:
        return UpstreamRefused(f"S/4HANA answered {status}")
    return _named(error.code, error.message.value)


def _named(code: str, message: str) -> BusinessFailure | CallerFailure | UpstreamRefused:
    return _REFUSALS.get(code, UpstreamRefused)(f"S/4HANA {code}: {message}")


def _decoded(response: httpx.Response, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(response.content, type=shape)
    except msgspec.DecodeError as exc:
        raise UpstreamGarbled(
            "S/4HANA's answer is not what its service publishes", where=str(response.url.path)
        ) from exc


def _confirmed(response: httpx.Response) -> None:
    """Read JournalEntryBulkCreateConfirmation: no document number, or severity 3, is a refusal."""
    try:
        root = fromstring(response.content, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as exc:
        raise UpstreamGarbled("the journal confirmation is not plain XML", where=JOURNAL) from exc
    document = (root.findtext(".//AccountingDocument") or "").strip()
    if document.strip("0"):
        return
    type_id = root.findtext(".//Log/Item/TypeID") or ""
    number, _, message_class = type_id.rstrip(")").partition("(")
    raise _named(f"{message_class}/{number}", root.findtext(".//Log/Item/Note") or "no document")
