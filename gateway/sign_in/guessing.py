"""How often somebody may guess: passwords, and the codes on the screens of devices.

Every try is spent before it is looked at, so that many at once count as well. One person from one
address has few tries and then one a minute; one person from everywhere has more, so that a stranger
does not lock them out easily; failures of one address are counted over all people. When the counter
does not answer, nobody may guess.
"""

import hashlib
import math

from canonical.errors import LimiterUnavailable, TooManyRequests
from gateway.sign_in.desk import Desk
from gateway.sign_in.sessions import Asked
from policies.edge import Pace, Verdict

_LONGEST_ADDRESS = 64


async def spend_sign_in(desk: Desk, person_id: str, address: str) -> None:
    """Take one try of this person; raises `TooManyRequests`.

    What was typed as an id may be a password: the counter only gets a digest of it.
    """
    tries = desk.settings.tries
    typed = hashlib.sha256(person_id.encode(errors="replace")).hexdigest()
    for key, pace in (
        (f"sign-in:here:{typed}:{address}", _pace(tries.here, 300)),
        (f"sign-in:everywhere:{typed}", _pace(tries.person, 3600)),
    ):
        _require(await _asked(desk, key, pace, 1))


async def require_good_address(desk: Desk, address: str) -> None:
    """Refuse an address from which too many passwords were wrong."""
    pace = _pace(desk.settings.tries.address, 3600)
    failures = await _asked(desk, f"sign-in:address:{address}", pace, 0)
    if failures.remaining < 1:
        raise _refused(failures)


async def count_failure(desk: Desk, address: str) -> None:
    """Count a wrong password against the address it came from."""
    pace = _pace(desk.settings.tries.address, 3600)
    await _asked(desk, f"sign-in:address:{address}", pace, 1)


async def spend_user_code(desk: Desk, person_id: str) -> None:
    """Take one try at the code of a device; raises `TooManyRequests` (RFC 8628 5.1)."""
    pace = _pace(desk.settings.tries.device_codes, 600)
    _require(await _asked(desk, f"sign-in:device:{person_id}", pace, 1))


def address_of(request: Asked, desk: Desk) -> str:
    """Return where a call comes from, by what our own proxies say."""
    hops = desk.settings.trusted_proxies
    if hops:
        told = ",".join(request.headers.getall("x-forwarded-for", []))
        entries = [entry.strip() for entry in told.split(",")]
        if len(entries) >= hops and entries[-hops]:
            return entries[-hops][:_LONGEST_ADDRESS]
    return request.client.host if request.client else "unknown"


def _pace(tries: int, seconds: float) -> Pace:
    return Pace(limit=tries, seconds=seconds, burst=tries)


async def _asked(desk: Desk, key: str, pace: Pace, cost: int) -> Verdict:
    try:
        return await desk.limiter(key, pace, cost)
    except LimiterUnavailable as exc:
        raise LimiterUnavailable(
            "nobody can sign in at this moment", fix="try again in a minute", retry_after=60
        ) from exc


def _require(verdict: Verdict) -> None:
    if not verdict.allowed:
        raise _refused(verdict)


def _refused(verdict: Verdict) -> TooManyRequests:
    wait = max(1, math.ceil(verdict.retry_after or verdict.full_after))
    return TooManyRequests(
        f"too many tries: wait {wait} seconds, then try again",
        fix="if you do not know your password, ask who runs Suture for a new one",
        retry_after=wait,
    )
