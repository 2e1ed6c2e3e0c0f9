"""Sends events to webhooks: one at a time, in order, each as a signed POST."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

import httpx

from canonical.clock import Clock
from ledger.delivery_port import Outcome, Target
from ledger.outbox import Event
from system_apis.subscribers.envelope import Envelope
from system_apis.subscribers.webhook.mapping import headers, patience

_PATIENCE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class WebhookSender:
    """Any 2xx is heard. 410 wants no more. Redirects are not followed: a target is what was
    agreed.
    """

    at_once = 1

    def __init__(
        self,
        http: httpx.AsyncClient,
        envelope: Envelope,
        clock: Clock,
        *,
        timeout_seconds: float,
        max_body_bytes: int,
    ) -> None:
        self._http = http
        self._envelope = envelope
        self._clock = clock
        self._timeout = timeout_seconds
        self._max_body = max_body_bytes

    async def send(self, target: Target, events: Sequence[Event]) -> Outcome:
        """Send the first of these events."""
        event = events[0]
        body = self._envelope.around(event)
        if len(body) > self._max_body:
            size = f"the event has {len(body)} bytes, more than {self._max_body}"
            return Outcome(delivered=0, error=size, hopeless=True)
        now = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.post(
                    target.address,
                    content=body,
                    headers=headers(target.secrets, event.id, int(now.timestamp()), body),
                    follow_redirects=False,
                )
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(delivered=0, error=f"no answer within {self._timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:
            return Outcome(delivered=0, error=_reason(exc))
        return self._outcome(answer)

    def _outcome(self, answer: httpx.Response) -> Outcome:
        if answer.is_success:
            return Outcome(delivered=1)
        said = f"HTTP {answer.status_code}"
        if answer.status_code == HTTPStatus.GONE:
            return Outcome(delivered=0, error=said, gone=True)
        if answer.status_code in _PATIENCE:
            pause = patience(answer.headers, self._clock())
            return Outcome(delivered=0, error=said, retry_after=pause)
        return Outcome(delivered=0, error=said)


def _reason(exc: Exception) -> str:
    """Say what kept us from it, in words of our own: a text of the other side may quote
    anything.
    """
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, PermissionError):
            return "the target is no public address"
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    return type(exc).__name__
