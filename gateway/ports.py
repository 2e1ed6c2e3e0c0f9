"""Ports: a free one, and one that stays free until it is used."""

import socket
from collections.abc import Generator
from contextlib import contextmanager


def free_port(host: str, wanted: int) -> int:
    """Return `wanted`, or any free port where it is taken (0 asks for any)."""
    with held_port(host, wanted) as port:
        return port


@contextmanager
def held_port(host: str, wanted: int) -> Generator[int]:
    """Give a port as `free_port` does, and hold it: nobody gets it by chance any more.

    Who asks for it by number may listen there all the same, now or once more.
    """
    for port in (wanted, 0):
        with socket.socket() as holding:
            holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holding.bind((host, port))
            except OSError:
                continue
            yield int(holding.getsockname()[1])
            return
    raise OSError(f"no free port on {host}")
