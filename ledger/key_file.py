"""The file of a key ring: made once, replaced whole, on disk before anything is sealed under it.

Whoever loses a key loses what is sealed under it: each write is flushed, file and folder, before
it takes the place of the one before it. It keeps mode and owner, so that a rotation by root does
not lock the replicas out.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from canonical.errors import StateConflict

_MODE = 0o600


class KeyFile:
    """One path, as text. Several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def stamp(self) -> tuple[int, ...] | None:
        """Return what changes whenever the file is replaced; None where it cannot be seen."""
        try:
            seen = self.path.stat()
        except OSError:
            return None
        return (seen.st_ino, seen.st_mtime_ns, seen.st_size)

    def read(self) -> bytes:
        return self.path.read_bytes()

    def make(self, text: bytes) -> bytes:
        """Make the file unless there is one; return the text that holds now."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._draft(text, None)
        try:
            with contextlib.suppress(FileExistsError):  # another process was first: its keys hold
                os.link(draft, self.path)
        finally:
            draft.unlink()
        self._settle()
        return self.read()

    def replace(self, change: Callable[[bytes], bytes]) -> bytes:
        """Replace the text by what `change` makes of it; one process at a time."""
        try:
            with self._alone():
                text = change(self.read())
                draft = self._draft(text, self.path.stat())
                draft.replace(self.path)
                self._settle()
        except OSError as exc:
            raise StateConflict(
                f"the key ring file cannot be replaced: {type(exc).__name__}",
                where=str(self.path),
                fix="let this user write the file and its folder",
            ) from exc
        return text

    def _draft(self, text: bytes, like: os.stat_result | None) -> Path:
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(draft, flags, _MODE)
        try:
            with os.fdopen(descriptor, "wb") as out:
                if like is not None:
                    os.fchmod(descriptor, like.st_mode & 0o777)
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                out.write(text)
                out.flush()
                os.fsync(descriptor)
        except OSError:
            draft.unlink()
            raise
        return draft

    def _settle(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _alone(self) -> Generator[None]:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
