"""How the simulated EHR is set up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Settings:
    """`facility` is MSH-4, `application` MSH-3; `receiver` is whom the messages are addressed to.

    A message the gateway answers with an error (AE) is sent `error_attempts` times before it is
    left as refused; one that gets no answer is sent for ever. `limit` throttles the FHIR server.
    """

    gateway_url: str
    mllp_host: str
    mllp_port: int
    token_url: str
    client_id: str
    client_secret: str
    facility: str = "GENERAL"
    application: str = "SANDBOX-EHR"
    receiver: str = "SUTURE"
    limit: str = "6000/minute"
    first_retry: float = 0.2
    longest_retry: float = 5.0
    answer_within: float = 10.0
    error_attempts: int = 5
    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], datetime] = _utc_now
