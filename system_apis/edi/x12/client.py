"""Sends orders to partners. A document is kept before it leaves, and what is kept is what is sent
again.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from canonical.clock import Clock
from canonical.errors import (
    MalformedMessage,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from canonical.order import PurchaseOrder, TransmissionReceipt
from canonical.request import Reference
from canonical.supplier import TradingPartner
from ledger.arrival import Departure
from ledger.message_store import MessageStore
from standards.x12.writer import (
    OutgoingGroup,
    OutgoingInterchange,
    OutgoingSet,
    control_number,
    control_text,
    write,
)
from system_apis.edi.x12.announcing import SENT_ORDER
from system_apis.edi.x12.mapping import VERSION, purchase_order_850

OnAnswer = Callable[[bytes, str], Awaitable[bytes]]
"""Takes an interchange that came back as the HTTP answer: `X12Intake.accept`."""

_THROTTLED: Final = 429
_FIRST_SET: Final = "0001"
_HEADERS: Final = {"content-type": "application/edi-x12"}


class X12Sender:
    """Writes 850s and posts them. `http` gives the client of an endpoint by its name."""

    system: Final = "EDI"
    mapping_version: Final = VERSION

    def __init__(
        self,
        messages: MessageStore,
        http: Callable[[str], httpx.AsyncClient],
        clock: Clock,
        *,
        path: str = "/edi",
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._messages = messages
        self._http = http
        self._clock = clock
        self._path = path
        self._on_answer = on_answer

    async def send_order(
        self, order: PurchaseOrder, partner: TradingPartner, *, key: str
    ) -> TransmissionReceipt:
        """Send `order` as an 850. The same `key` sends the same bytes again, so the partner sees
        a resend and not a second order.

        The group has the interchange's number: a TA1 names only the interchange, and finds it so.
        """
        number = await self._messages.control_number(f"{partner.supplier}/isa13", key)
        interchange, group = control_text(number), str(control_number(number))
        message = await self._messages.keep(
            Departure(
                channel="edi",
                kind="X12 850",
                recipient=partner.supplier,
                body=self._spelled(order, partner, number),
                key=key,
                control_id=interchange,
                references=(
                    Reference("isa13", interchange),
                    Reference("x12-group", f"{partner.supplier}:{group}"),
                    Reference(SENT_ORDER, f"{partner.supplier}:{order.number}"),
                ),
            )
        )
        kept = await self._messages.kept(message)
        answer = await self._post(partner.endpoint, kept.body)
        await self._messages.sent(message, answer)
        if self._on_answer and answer.startswith(b"ISA"):
            # A garbled answer is kept as a task by the intake; the order has gone out all the same.
            with contextlib.suppress(MalformedMessage):
                await self._on_answer(answer, partner.client or partner.supplier)
        return TransmissionReceipt(
            partner=partner.supplier,
            interchange=interchange,
            group=group,
            transaction_set=_FIRST_SET,
            message=message,
        )

    def _spelled(self, order: PurchaseOrder, partner: TradingPartner, number: int) -> bytes:
        content = OutgoingSet(code="850", segments=purchase_order_850(order, partner))
        return write(
            OutgoingInterchange(
                sender_qualifier=partner.own_qualifier,
                sender=partner.own_interchange_id,
                receiver_qualifier=partner.qualifier,
                receiver=partner.interchange_id,
                at=self._clock(),
                control=number,
                groups=(
                    OutgoingGroup(
                        sender=partner.own_application_id,
                        receiver=partner.application_id,
                        control=number,
                        sets=(content,),
                    ),
                ),
                test=partner.test,
            )
        )

    async def _post(self, endpoint: str, body: bytes) -> bytes:
        try:
            response = await self._http(endpoint).post(self._path, content=body, headers=_HEADERS)
        except httpx.TimeoutException as exc:
            raise UpstreamTimeout("the partner did not answer in time", where=endpoint) from exc
        except httpx.NetworkError as exc:
            raise UpstreamUnavailable("the partner cannot be reached", where=endpoint) from exc
        except httpx.RemoteProtocolError as exc:
            raise UpstreamFailed("the partner broke off", where=endpoint) from exc
        _raise_for_status(response, endpoint)
        return response.content


def _raise_for_status(response: httpx.Response, endpoint: str) -> None:
    status = response.status_code
    if response.is_success:
        return
    detail = f"the partner answered {status}"
    if status == _THROTTLED:
        after = response.headers.get("retry-after", "")
        seconds = float(after) if after.isdigit() else None
        raise UpstreamThrottled(detail, where=endpoint, retry_after=seconds)
    if response.is_server_error:
        raise UpstreamFailed(detail, where=endpoint)
    raise UpstreamRefused(detail, where=endpoint, fix="check the partner's endpoint and our id")
