# house: a closed vocabulary is read as one list
"""The closed vocabulary of failures. Each is a fact with three attributes a program can act on.

    Failure
    ├── caller    the sender must change something
    │   ├── 400 MalformedMessage · InvalidRequest        ├── 401 Unauthenticated
    │   ├── 401 KeyNotProven · NonceNeeded
    │   ├── 403 Forbidden                                ├── 404 NotFound · UnknownOrder
    │   ├── 405 MethodNotAllowed                         ├── 409 IdentityConflict · StateConflict
    │   ├── 406 NotAcceptable                            ├── 408 SlowRequest
    │   ├── 410 VersionRetired                           ├── 414 AddressTooLong
    │   ├── 413 BodyTooLarge                             ├── 415 UnsupportedMediaType
    │   ├── 421 MisdirectedRequest                       ├── 431 HeadersTooLarge
    │   ├── 422 UnsupportedMessage · UnknownPartner      └── 429 TooManyRequests
    ├── business  the facts do not allow it: a person decides (409)
    │   ├── UnknownItem · InactiveItem · WrongUnit · UnknownLot · SerialAlreadyUsed · ItemExpired
    │   ├── UnknownSupplier · UnknownCostCenter · UnknownLocation · UnknownProcedure
    │   ├── NoContractPrice · BudgetExceeded · QuantityExceeded · NothingToPost
    │   ├── OrderRejected · AlreadyShipped · Declined
    │   └── NeverUsed
    ├── upstream  another system did not do its part
    │   ├── 502 UpstreamFailed · UpstreamRefused · UpstreamGarbled
    │   ├── 503 UpstreamUnavailable · UpstreamThrottled · IssuerUnavailable
    │   └── 504 UpstreamTimeout
    └── platform  Suture itself
        ├── 500 InternalFault · MissingKey
        └── 503 StoreUnavailable · LimiterUnavailable · Stopping · EarlierUnfinished

Raise inside, render once: HTTP in `gateway/problems.py`, HL7 in the acknowledgement, X12 in
TA1/997, a flow as a task.
A detail never carries patient data: it names the place (`where`) and what was `expected`, not the
value of a person.
"""

from typing import ClassVar, Literal

Source = Literal["caller", "business", "upstream", "platform"]


class Failure(Exception):
    """One named failure.

    `detail` says what is wrong, `where` the place (JSON path, HL7 field, X12 element), `expected`
    what would have been
    right, `fix` the next step for the person who reads it, `retry_after` seconds.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "failure"
    source: ClassVar[Source] = "platform"
    retryable: ClassVar[bool] = False
    counts_as_a_try: bool = True

    def __init__(
        self,
        detail: str = "",
        *,
        where: str = "",
        expected: str = "",
        fix: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.where = where
        self.expected = expected
        self.fix = fix
        self.retry_after = retry_after

    @property
    def title(self) -> str:
        """The slug as words: `unknown-item` reads «Unknown item»."""
        return self.slug.replace("-", " ").capitalize()

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        wanted = f"; expected {self.expected}" if self.expected else ""
        return f"{self.slug}: {self.detail}{place}{wanted}"


class CallerFailure(Failure):
    source = "caller"
    status = 400


class MalformedMessage(CallerFailure):
    slug = "malformed-message"


class InvalidRequest(CallerFailure):
    slug = "invalid-request"


class Unauthenticated(CallerFailure):
    status = 401
    slug = "unauthenticated"


class KeyNotProven(Unauthenticated):
    """The token is bound to a key or a certificate that the caller did not show to have."""

    slug = "key-not-proven"


class NonceNeeded(CallerFailure):
    """All was well with the proof but its age: the same again with the nonce that is sent along."""

    status = 401
    slug = "nonce-needed"


class Forbidden(CallerFailure):
    status = 403
    slug = "forbidden"


class NotFound(CallerFailure):
    status = 404
    slug = "not-found"


class UnknownOrder(CallerFailure):
    status = 404
    slug = "unknown-order"


class MethodNotAllowed(CallerFailure):
    status = 405
    slug = "method-not-allowed"


class NotAcceptable(CallerFailure):
    status = 406
    slug = "not-acceptable"


class SlowRequest(CallerFailure):
    """The body did not arrive in time."""

    status = 408
    slug = "slow-request"


class IdentityConflict(CallerFailure):
    """The same control number or key came before with other content: no duplicate, a conflict."""

    status = 409
    slug = "identity-conflict"


class StateConflict(CallerFailure):
    status = 409
    slug = "state-conflict"


class VersionRetired(CallerFailure):
    """This version of the API is no longer served; its successor is named."""

    status = 410
    slug = "version-retired"


class BodyTooLarge(CallerFailure):
    status = 413
    slug = "body-too-large"


class AddressTooLong(CallerFailure):
    status = 414
    slug = "address-too-long"


class UnsupportedMediaType(CallerFailure):
    status = 415
    slug = "unsupported-media-type"


class MisdirectedRequest(CallerFailure):
    """The Host that was asked for is no name of this gateway (RFC 9110 15.5.20)."""

    status = 421
    slug = "misdirected-request"


class UnsupportedMessage(CallerFailure):
    status = 422
    slug = "unsupported-message"


class UnknownPartner(CallerFailure):
    status = 422
    slug = "unknown-partner"


class HeadersTooLarge(CallerFailure):
    status = 431
    slug = "headers-too-large"


class TooManyRequests(CallerFailure):
    status = 429
    slug = "too-many-requests"
    retryable = True


class BusinessFailure(Failure):
    source = "business"
    status = 409


class UnknownItem(BusinessFailure):
    slug = "unknown-item"


class InactiveItem(BusinessFailure):
    slug = "inactive-item"


class WrongUnit(BusinessFailure):
    slug = "wrong-unit"


class UnknownLot(BusinessFailure):
    slug = "unknown-lot"


class SerialAlreadyUsed(BusinessFailure):
    slug = "serial-already-used"


class ItemExpired(BusinessFailure):
    slug = "item-expired"


class UnknownSupplier(BusinessFailure):
    slug = "unknown-supplier"


class UnknownCostCenter(BusinessFailure):
    slug = "unknown-cost-center"


class UnknownLocation(BusinessFailure):
    slug = "unknown-location"


class UnknownProcedure(BusinessFailure):
    slug = "unknown-procedure"


class NoContractPrice(BusinessFailure):
    slug = "no-contract-price"


class BudgetExceeded(BusinessFailure):
    slug = "budget-exceeded"


class QuantityExceeded(BusinessFailure):
    slug = "quantity-exceeded"


class NothingToPost(BusinessFailure):
    slug = "nothing-to-post"


class OrderRejected(BusinessFailure):
    slug = "order-rejected"


class AlreadyShipped(BusinessFailure):
    slug = "already-shipped"


class NeverUsed(BusinessFailure):
    slug = "never-used"


class Declined(BusinessFailure):
    """A person said no."""

    slug = "declined"


class UpstreamFailure(Failure):
    source = "upstream"
    status = 502


class UpstreamFailed(UpstreamFailure):
    """The other side answered 5xx: it may have committed, so read before the next try."""

    slug = "upstream-failed"
    retryable = True


class UpstreamRefused(UpstreamFailure):
    slug = "upstream-refused"


class UpstreamGarbled(UpstreamFailure):
    slug = "upstream-garbled"


class UpstreamUnavailable(UpstreamFailure):
    status = 503
    slug = "upstream-unavailable"
    retryable = True


class UpstreamThrottled(UpstreamFailure):
    status = 503
    slug = "upstream-throttled"
    retryable = True


class IssuerUnavailable(UpstreamFailure):
    """Another system's tokens cannot be checked: it does not say which keys are its own."""

    status = 503
    slug = "issuer-unavailable"
    retryable = True


class UpstreamTimeout(UpstreamFailure):
    status = 504
    slug = "upstream-timeout"
    retryable = True


class PlatformFailure(Failure):
    source = "platform"


class InternalFault(PlatformFailure):
    slug = "internal-fault"


class MissingKey(PlatformFailure):
    """A value was sealed under a key that this process does not have."""

    slug = "missing-key"


class StoreUnavailable(PlatformFailure):
    status = 503
    slug = "store-unavailable"
    retryable = True


class LimiterUnavailable(PlatformFailure):
    status = 503
    slug = "limiter-unavailable"
    retryable = True


class Stopping(PlatformFailure):
    status = 503
    slug = "stopping"
    retryable = True


class EarlierUnfinished(PlatformFailure):
    """What happened before this is still on its way: it is tried again when that may have ended."""

    status = 503
    slug = "earlier-unfinished"
    retryable = True
