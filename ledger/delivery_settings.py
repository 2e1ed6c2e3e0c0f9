"""How patient deliveries are."""

import msgspec


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True):
    """A try that failed comes again after `retry_seconds`, doubled each time up to the longest;
    after `max_attempts` in a row, or when nothing got through for `give_up_hours`, a person is
    asked.
    """

    lease_seconds: float = 10.0
    poll_seconds: float = 1.0
    retry_seconds: float = 5.0
    longest_retry_seconds: float = 3600.0
    max_attempts: int = 12
    give_up_hours: float = 24.0
    page: int = 100
    in_flight: int = 64
