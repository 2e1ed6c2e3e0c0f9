"""The signing keys of a running replica: the file is looked at again and again, nothing restarts.

A file that cannot be read leaves what was read before: a slip of an operator must not stop tokens.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from canonical.errors import StoreUnavailable
from policies.oauth.keys import SigningKeys, signing_keys

log = logging.getLogger("suture.keys")

_Stamp = tuple[int, int, int]


class LiveKeys:
    """The keys that count now, of a file that is there."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        self._stamp = _stamp(path)
        self._kept = signing_keys(path)
        self.current = self._kept.at(now())

    def look(self) -> SigningKeys | None:
        """Return the keys that count now where they are others than before; None otherwise.

        It costs one look at the file's date; the file is read when that has changed.
        """
        stamp = _stamp(self.path)
        if stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            self._reread()
        now = self._kept.at(self._now())
        if now.ids == self.current.ids:
            return None
        self.current = now
        return now

    def _reread(self) -> None:
        try:
            self._kept = signing_keys(self.path)
        except StoreUnavailable as exc:
            log.warning("the signing keys were changed and cannot be used: %s", exc.detail)


def _stamp(path: Path) -> _Stamp | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ino, told.st_size
