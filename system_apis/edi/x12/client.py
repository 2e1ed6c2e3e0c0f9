"""Sends orders to partners, and takes them back. A document is kept before it leaves, and what is
kept is what is sent again.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import msgspec

from canonical.clock import Clock
from canonical.errors import (
    AlreadyShipped,
    MalformedMessage,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from canonical.order import (
    ChangeAnswer,
    OrderCancellation,
    PurchaseOrder,
    SyntaxVerdict,
    TransmissionReceipt,
)
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
from system_apis.edi.x12.cancellation import cancellation_860
from system_apis.edi.x12.mapping import VERSION, purchase_order_850

OnAnswer = Callable[[bytes, str], Awaitable[bytes]]
"""Takes an interchange that came back as the HTTP answer: `X12Intake.accept`."""

_THROTTLED: Final = 429
_FIRST_SET: Final = "0001"
_HEADERS: Final = {"content-type": "application/edi-x12"}


class X12Sender:
    """Writes 850s and 860s and posts them. `http` gives the client of an endpoint by its name."""

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
        """
        content = OutgoingSet(code="850", segments=purchase_order_850(order, partner))
        own_name = Reference(SENT_ORDER, f"{partner.supplier}:{order.number}")
        return await self._send(content, partner, (own_name,), key)

    async def cancel_order(
        self,
        order: PurchaseOrder,
        partner: TradingPartner,
        sent: TransmissionReceipt | None,
        /,
        *,
        key: str,
    ) -> OrderCancellation | None:
        """Undo `send_order`: cancel by an 860, once, and return when the supplier has agreed.

        Raises `UpstreamTimeout` until then, and `AlreadyShipped` where the supplier refuses. An
        order that was never written under `key` needs no word.
        """
        if sent is None and await self._messages.departure(key) is None:
            return None
        undoing = f"{key}/undo"
        told = await self._messages.departure(undoing)
        if told is None or not told.sent:
            content = OutgoingSet(code="860", segments=cancellation_860(order, partner))
            await self._send(content, partner, (), undoing)
        await self._agreed(order, partner, undoing)
        return OrderCancellation(order=order.number)

    async def _agreed(self, order: PurchaseOrder, partner: TradingPartner, key: str) -> None:
        """Return once the supplier has agreed to the 860 of this key; raise what it says else."""
        number = await self._messages.control_number(f"{partner.supplier}/isa13", key)
        group = f"{partner.supplier}:{control_number(number)}"
        said = await self._messages.heard(
            "order-change-answered", f"{partner.supplier}:{order.number}"
        )
        if said is None:
            verdict = await self._messages.heard("syntax-verdict", group)
            if verdict and not msgspec.json.decode(verdict, type=SyntaxVerdict).accepted:
                raise UpstreamRefused(
                    f"the supplier cannot read the cancellation of order {order.number}",
                    where=partner.supplier,
                    fix="cancel by telephone; have the supplier send an 865, then retry",
                )
            raise UpstreamTimeout(
                f"the supplier has not answered the cancellation of order {order.number}",
                where=partner.supplier,
                fix="ask the supplier; retry when it has answered",
            )
        answer = msgspec.json.decode(said, type=ChangeAnswer)
        if not answer.accepted:
            raise AlreadyShipped(
                f"order {order.number} is not cancelled: {answer.note}",
                where=partner.supplier,
                fix="take the goods in and send them back; or agree with the supplier, then retry",
            )

    async def _send(
        self,
        content: OutgoingSet,
        partner: TradingPartner,
        references: tuple[Reference, ...],
        key: str,
    ) -> TransmissionReceipt:
        """Keep and post one set in an interchange of its own; the same key, the same bytes.

        The group has the interchange's number: a TA1 names only the interchange, and finds it so.
        """
        number = await self._messages.control_number(f"{partner.supplier}/isa13", key)
        interchange, group = control_text(number), str(control_number(number))
        own_name = Reference("x12-group", f"{partner.supplier}:{group}")
        departure = Departure(
            channel="edi",
            kind=f"X12 {content.code}",
            recipient=partner.supplier,
            body=self._spelled(content, partner, number),
            key=key,
            control_id=interchange,
            references=(Reference("isa13", interchange), own_name, *references),
        )
        message = await self._messages.keep(departure)
        kept = await self._messages.kept(message)
        answer = await self._post(partner.endpoint, kept.body)
        await self._messages.sent(message, answer, key=key)
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

    def _spelled(self, content: OutgoingSet, partner: TradingPartner, number: int) -> bytes:
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
