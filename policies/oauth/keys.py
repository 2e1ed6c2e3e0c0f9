"""The keys that sign tokens: ES256 (RFC 7518 3.4), in one file as a JWK set (RFC 7517 5).

The first key signs; all verify, so that a key can be replaced while its tokens are still about. A
key's id is its thumbprint (RFC 7638): the same key has the same id wherever it is read.
"""

import os
import secrets
from pathlib import Path

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from canonical.errors import StoreUnavailable

PublicKeys = dict[str, list[dict[str, str | list[str]]]]


class _KeyFile(msgspec.Struct, frozen=True):
    keys: list[dict[str, str | list[str]]]


class SigningKeys:
    """A key set. It never changes: rotation makes a new one."""

    def __init__(self, keys: tuple[ECKey, ...]) -> None:
        self._keys = keys
        self._by_id = {key.thumbprint(): key for key in keys}

    @property
    def signing(self) -> ECKey:
        return self._keys[0]

    @property
    def signing_id(self) -> str:
        return self._keys[0].thumbprint()

    def verifying(self, kid: str) -> ECKey | None:
        return self._by_id.get(kid)

    def public(self) -> PublicKeys:
        """Return the JWK set that anybody may have."""
        shown = [
            {**key.as_dict(private=False), "kid": kid, "alg": "ES256", "use": "sig"}
            for kid, key in self._by_id.items()
        ]
        return {"keys": shown}

    def encoded(self) -> bytes:
        """Return the JWK set with its private parts, for the file alone."""
        kept = [key.as_dict(private=key.is_private) for key in self._keys]
        return msgspec.json.encode({"keys": kept})

    def rotated(self) -> "SigningKeys":
        """Return a set with a new key in front; the last one stays to verify what it signed."""
        return SigningKeys((ECKey.generate_key("P-256"), self._keys[0]))


def signing_keys(path: Path) -> SigningKeys:
    """Read the key set that is kept at `path`."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        keys = tuple(ECKey.import_key(dict(key)) for key in kept.keys)
    except (OSError, msgspec.MsgspecError, JoseError, ValueError) as exc:
        raise StoreUnavailable(
            f"the signing keys cannot be read ({type(exc).__name__})", where=str(path), fix=_FIX
        ) from exc
    if not keys or not keys[0].is_private or any(key.curve_name != "P-256" for key in keys):
        raise StoreUnavailable("the signing keys cannot sign ES256", where=str(path), fix=_FIX)
    return SigningKeys(keys)


_FIX = "give a JWK set whose first key is a private P-256 key, or remove the file to get a new one"


def kept_signing_keys(path: Path) -> SigningKeys:
    """Read the key set at `path`; make it first when there is none."""
    if not path.exists():
        write_signing_keys(SigningKeys((ECKey.generate_key("P-256"),)), path, replace=False)
    return signing_keys(path)


def write_signing_keys(keys: SigningKeys, path: Path, *, replace: bool = True) -> None:
    """Keep a key set at `path`, for our account alone. Without `replace`, the first writer wins."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(keys.encoded())
            file.flush()
            os.fsync(file.fileno())
        if replace:
            fresh.replace(path)
        else:
            path.hardlink_to(fresh)
    except FileExistsError:
        return  # another process was first: its keys are as good
    except OSError as exc:
        raise StoreUnavailable(
            f"the signing keys cannot be kept ({type(exc).__name__})", where=str(path)
        ) from exc
    finally:
        fresh.unlink(missing_ok=True)
