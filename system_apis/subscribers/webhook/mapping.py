"""Standard Webhooks: what is signed, how, and what an answer means.

webhook-id         the event's id: the same on every try, so that the receiver can drop repeats
webhook-timestamp  seconds since 1970 of this try
webhook-signature  "v1," + base64(HMAC-SHA256(secret, "{id}.{timestamp}.{body}")), one for each
                   valid secret, separated by spaces
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from canonical.errors import InvalidRequest
from standards.cloudevents.codec import MEDIA_TYPE

_LONGEST_PAUSE: Final = 86_400.0
_LONGEST_LABEL: Final = 63
_IPV4: Final = 4


def signature(secret: str, event: str, timestamp: int, body: bytes) -> str:
    """Sign one try with one secret (`whsec_` and base64)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(secrets: Sequence[str], event: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one try."""
    return {
        "content-type": f"{MEDIA_TYPE}; charset=utf-8",
        "user-agent": "Suture-Webhooks/1",
        "webhook-id": event,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            signature(secret, event, timestamp, body) for secret in secrets
        ),
    }


def patience(answer: Mapping[str, str], now: datetime) -> float:
    """Return the seconds that Retry-After asks for (RFC 9110 10.2.3), 0 where it says nothing."""
    given = answer.get("retry-after", "").strip()
    if given.isascii() and given.isdigit() and len(given) <= 9:  # noqa: PLR2004 - digits of seconds
        return min(max(float(given), 1.0), _LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(given)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 1.0), _LONGEST_PAUSE)


def webhook_target(url: str, *, allow_private: bool) -> str:
    """Return the URL where it may be called; raises `InvalidRequest`.

    Names are looked at again when they are connected to: what they stand for can change.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _unusable("an https URL") from exc
    labels = host.removesuffix(".").split(".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise _unusable("a host whose name can be looked up (RFC 1035 2.3.4)")
    if "%" in host or _is_odd_number(labels[-1], host):
        raise _unusable("a host name, or an IP address in its usual form")
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not plain or not host or parts.username or parts.password or parts.fragment:
        raise _unusable("an https URL without user, password or fragment")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise _unusable("an https URL")
    if not allow_private and _is_inside(host):
        raise _unusable("a public address, or [events] allow-private-targets = true")
    return url


def _is_odd_number(last: str, host: str) -> bool:
    """Whether a host is an IPv4 address as only some programs write it: 2130706433, 0x7f.1, 127.1.

    No top-level domain is a number (WHATWG URL 3.5, RFC 3696 2), so that nothing else is refused.
    """
    if not last.isdigit() and not last.startswith("0x"):
        return False
    try:
        return ip_address(host).version != _IPV4
    except ValueError:
        return True


def _is_inside(name: str) -> bool:
    host = name.removesuffix(".")
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _unusable(expected: str) -> InvalidRequest:
    return InvalidRequest("not a target for a webhook", where="$.target", expected=expected)
