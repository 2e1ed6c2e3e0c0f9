"""Who may see and make which subscription: a client of some facilities only for those."""

from canonical.errors import Forbidden, InvalidRequest
from canonical.request import RequestFacts
from ledger.subscriptions import Subscription


def client_of(facts: RequestFacts) -> str:
    return facts.principal.client if facts.principal else ""


def readable(wanted: tuple[str, ...], facts: RequestFacts) -> tuple[str, ...]:
    """Return the facilities to tell of: those that are wanted, where the client may see them all;
    without a wish those it may see. Empty is every facility.
    """
    allowed = facts.principal.facilities if facts.principal else frozenset[str]()
    if any(not each.strip() for each in wanted):
        raise InvalidRequest("a facility without a name", where="$.facilities")
    if not allowed:
        return wanted
    if not frozenset(wanted) <= allowed:
        raise Forbidden("the token is not for this facility", where="$.facilities")
    return wanted or tuple(sorted(allowed))


def visible(subscription: Subscription, facts: RequestFacts) -> bool:
    """Whether the client may know of a subscription: it tells of nothing beyond its facilities."""
    allowed = facts.principal.facilities if facts.principal else frozenset[str]()
    told = frozenset(subscription.facilities)
    return not allowed or (bool(told) and told <= allowed)
