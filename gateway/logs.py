"""Logs: one JSON line an event on standard error. No bodies, no query values, no tracebacks."""

import logging
import sys
import time

import msgspec

from gateway.config import setting


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return msgspec.json.encode(line).decode()


def set_up_logging() -> None:
    """Log to standard error at SUTURE_LOG_LEVEL (default warning); httpx never logs addresses."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=setting("SUTURE_LOG_LEVEL", "WARNING").upper(), handlers=[handler])
    for noisy in ("httpx", "httpcore", "_granian"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
