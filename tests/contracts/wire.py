"""Requests byte by byte as they are written here: clients that help would not send them."""

import contextlib
import re
import socket
from urllib.parse import urlsplit

import httpx

from tests.contracts.conftest import Served

LAST = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
"""Sent after everything else: what came before it on the connection has been answered then."""


def connected(served: Served) -> socket.socket:
    """Open a connection; who waits for longer than 20 s on it has found a fault."""
    address = urlsplit(served.url)
    return socket.create_connection((str(address.hostname), address.port or 80), timeout=20)


def answers(served: Served, raw: bytes) -> list[int]:
    """Send `raw` and the last request on one connection; return the status of every answer."""
    with connected(served) as wire:
        with contextlib.suppress(ConnectionError):  # refused before it was all sent
            wire.sendall(raw + LAST)
        return statuses(until_closed(wire))


def until_closed(wire: socket.socket) -> bytes:
    """Read until the server closes."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while part := wire.recv(65_536):
            told += part
    return told


def statuses(told: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", told)]


def recorded(client: httpx.Client, marker: str) -> list[str]:
    """Return what the audit trail has of calls whose path has `marker`, oldest first."""
    page = client.get("/experience/v1/security/audit-events", params={"kind": "call", "limit": 100})
    rows = page.json()["items"]
    return [row["action"] for row in reversed(rows) if marker in row["action"]]
