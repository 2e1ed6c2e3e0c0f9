"""TLS at our ports: certificates from files, read again when they change, without a restart."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import ConfigurationRefused, Tls

_log = logging.getLogger("suture.tls")
_CHECKS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_MINIMA = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_Stamp = tuple[tuple[int, int, int], ...]


class TlsFiles:
    """A context for a listener whose handshakes use what the files hold now. `when_changed` is
    called for a listener that reads them itself.

    Raises `ConfigurationRefused` where they cannot be used at the start.
    """

    def __init__(self, tls: Tls, protocols: Sequence[str] = ()) -> None:
        self._tls = tls
        self._protocols = protocols
        self._stamp = self._stamped()
        self._current = self._read()
        self.context = self._read()
        # Asked in every handshake, with or without a name, before the certificate is chosen.
        self.context.sni_callback = self._choose
        self.asks_callers = tls.client_certificates != "none"
        self.when_changed: Callable[[], None] = _nothing

    def reread(self) -> bool:
        """Take what the files hold now; return whether that is something else than before."""
        try:
            stamp = self._stamped()
            if stamp == self._stamp:
                return False
            self._current = self._read()
        except ConfigurationRefused as refused:
            _log.warning("the last good certificate stays in use: %s", refused)
            return False
        self._stamp = stamp
        _log.info("the certificate of %s is in use", self._tls.certificate)
        return True

    async def watch(self) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._tls.reload_seconds)
            if await asyncio.to_thread(self.reread):
                self.when_changed()

    def _choose(self, call: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        call.context = self._current

    def _stamped(self) -> _Stamp:
        names = filter(None, (self._tls.certificate, self._tls.key, self._tls.client_ca))
        try:
            found = [Path(name).stat() for name in names]
        except OSError as exc:
            raise ConfigurationRefused(f"tls: {exc.filename} cannot be read") from exc
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _read(self) -> ssl.SSLContext:
        tls = self._tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMA[tls.minimum]
        # No tickets: a resumed session would outlive the authority that vouched for its client.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
        if self._protocols:
            context.set_alpn_protocols(list(self._protocols))
        try:
            context.load_cert_chain(tls.certificate, tls.key)
            if tls.client_ca:
                context.load_verify_locations(tls.client_ca)
                context.verify_mode = _CHECKS[tls.client_certificates]
        except OSError as exc:  # ssl.SSLError is one
            files = ", ".join(filter(None, (tls.certificate, tls.key, tls.client_ca)))
            raise ConfigurationRefused(
                f"tls: {files}: {type(exc).__name__}; give PEM files: the certificate with its "
                "chain, its private key without a password, and the authorities of callers"
            ) from exc
        return context


def _nothing() -> None:
    """Nobody reads the files but us."""


@asynccontextmanager
async def watched(
    tls: Tls | None, protocols: Sequence[str] = ()
) -> AsyncGenerator[TlsFiles | None]:
    """Give the files of a listener, and keep looking at them; None where it speaks no TLS."""
    if tls is None:
        yield None
        return
    files = TlsFiles(tls, protocols)
    watching = asyncio.create_task(files.watch(), name="tls files")
    try:
        yield files
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
