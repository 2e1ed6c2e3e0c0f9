"""Logs on standard error: one JSON line an event; on a terminal one line for people.

No bodies, no query values; what slips in is masked (`gateway/masking.py`). Each line has the
correlation id and the transaction of the call, or of the flow, that it is about.
"""

import logging
import sys
import time

import msgspec

from gateway.config import setting
from gateway.masking import Masking


class _Line(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    at: str
    level: str
    logger: str
    message: str
    correlation_id: str = ""
    transaction: str = ""
    fault: str = ""


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return msgspec.json.encode(_line(record)).decode()


class _Words(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = _line(record)
        about = " ".join(part for part in (line.correlation_id, line.transaction) if part)
        said = f"{line.at} {line.level:8}{line.logger}: {line.message}"
        told = f"{said} [{about}]" if about else said
        return f"{told}\n{line.fault}" if line.fault else told


def _line(record: logging.LogRecord) -> _Line:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return _Line(
        at=f"{moment}.{int(record.msecs):03}Z",
        level=record.levelname.lower(),
        logger=record.name,
        message=record.getMessage(),
        correlation_id=getattr(record, "correlation_id", ""),
        transaction=getattr(record, "transaction", ""),
        fault=record.exc_text or "",
    )


def set_up_logging() -> None:
    """Log to standard error at SUTURE_LOG_LEVEL (default warning); httpx never logs addresses."""
    Masking().install()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Words() if sys.stderr.isatty() else _Lines())
    logging.basicConfig(level=setting("SUTURE_LOG_LEVEL", "WARNING").upper(), handlers=[handler])
    for noisy in ("httpx", "httpcore", "_granian"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
