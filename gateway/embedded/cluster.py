"""The database folder of the embedded PostgreSQL: how it comes to be, and what its files tell.

A database is either absent or complete: initdb and the creation of the database `suture` happen
aside, in a folder whose content takes its place when both are done. Nothing is ever initialised
over an existing one.
"""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from canonical.errors import StoreUnavailable
from gateway.embedded.children import command_line
from gateway.embedded.place import MINIMAL_ENV, Place, private_folder
from gateway.embedded.sharing import opened_private

_STATUS_LINE = 7
"""postmaster.pid: the eighth line is the server's status (PostgreSQL, LOCK_FILE_LINE_PM_STATUS)."""


def cluster_folder(place: Place) -> Path:
    return place.folder / "data"


def kept_password(place: Place) -> str:
    """Return the password of this installation, made once."""
    kept = place.folder / "password"
    if not kept.exists():
        if cluster_folder(place).exists():
            raise StoreUnavailable(
                f"the password of the embedded {place.server} is missing beside its database",
                where=str(kept),
                fix="restore that file from a backup; the database itself is untouched",
            )
        fresh = kept.with_name("password.new")
        fresh.unlink(missing_ok=True)
        _write_private(fresh, secrets.token_urlsafe(24))
        fresh.rename(kept)
    with os.fdopen(opened_private(kept, os.O_RDONLY), "rb") as file:
        return file.read().decode()


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(opened_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def initialised(place: Place, binaries: Path, password: str) -> None:
    """Make the database, unless there is one."""
    if cluster_folder(place).exists():
        return
    for left_over in place.folder.glob("initialising-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    aside = place.folder / f"initialising-{secrets.token_hex(4)}"
    private_folder(aside, place.uid, place.gid)
    password_file = aside / "password"
    _write_private(password_file, password)
    if place.uid is not None and place.gid is not None:
        os.chown(password_file, place.uid, place.gid, follow_symlinks=False)
    fresh = aside / "data"
    _run(place, _initdb(binaries, fresh, password_file))
    _run(place, [binaries / "postgres", "--single", "-D", fresh, "postgres"], _CREATE_DATABASE)
    fresh.rename(cluster_folder(place))
    _flush(place.folder)
    shutil.rmtree(aside)


_CREATE_DATABASE = b"CREATE DATABASE suture;\n"


def _initdb(binaries: Path, fresh: Path, password_file: Path) -> list[str | Path]:
    return [
        *(binaries / "initdb", "-D", fresh, "-U", "suture", "--pwfile", password_file),
        *("--auth=scram-sha-256", "-E", "UTF8", "--data-checksums", "--locale=C"),
        # The built-in provider sorts alike on every machine and after every libc upgrade.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]


def _run(place: Place, command: list[str | Path], stdin: bytes = b"") -> None:
    done = subprocess.run(
        command,
        input=stdin,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=MINIMAL_ENV,
        user=place.uid,
        group=place.gid,
        extra_groups=place.extra_groups,
        start_new_session=True,
    )
    said = done.stdout.decode(errors="replace").strip()
    # In single-user mode a refused statement is an ERROR line and exit code 0.
    if done.returncode != 0 or "ERROR:" in said:
        raise StoreUnavailable(
            f"the embedded PostgreSQL could not be initialised: {said.rsplit(chr(10), 1)[-1]}",
            where=str(place.folder),
            fix="make room or permission there, or set SUTURE_DATABASE_URL to a running server",
        )


def _flush(folder: Path) -> None:
    """Make the rename itself durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _pid_file(place: Place) -> list[str]:
    try:
        return (cluster_folder(place) / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return []


def postmaster(place: Place) -> int | None:
    """Return the process id of the living server, by its file and its command line."""
    lines = _pid_file(place)
    if not lines or not lines[0].isdigit():
        return None
    pid = int(lines[0])
    return pid if is_postmaster(place, pid) else None


def is_postmaster(place: Place, pid: int) -> bool:
    """Return whether this process is our server, and not a later one with its number."""
    return os.fsencode(cluster_folder(place)) in command_line(pid)


def status(place: Place) -> str:
    """Return what the server says of itself: starting, ready, stopping, or nothing."""
    lines = _pid_file(place)
    return lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""
