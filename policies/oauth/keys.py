"""The keys that sign tokens: ES256 (RFC 7518 3.4), in one file as a JWK set (RFC 7517 5).

The first key signs; all verify, so that a key can be replaced while its tokens are still about. A
key's id is its thumbprint (RFC 7638): the same key has the same id wherever it is read. The file
says from when a key signs and until when it verifies: all replicas know a new key before its first
token is about, and an old one as long as its last token is.
"""

import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from canonical.errors import StoreUnavailable

PublicKeys = dict[str, list[dict[str, str | list[str]]]]

_BEGINS, _ENDS = "signs_from", "verifies_until"


class KeyTerm(msgspec.Struct, frozen=True, kw_only=True):
    """From when a key signs, and until when it verifies (seconds)."""

    begins: float = 0.0
    ends: float = math.inf


class _KeyFile(msgspec.Struct, frozen=True):
    keys: list[dict[str, str | list[str] | float]]


class SigningKeys:
    """A key set, newest first. It never changes: rotation makes a new one."""

    def __init__(self, keys: tuple[ECKey, ...], terms: Mapping[str, KeyTerm] | None = None) -> None:
        self._keys = keys
        self._by_id = {key.thumbprint(): key for key in keys}
        self._terms = terms or {}

    @property
    def signing(self) -> ECKey:
        return self._keys[0]

    @property
    def signing_id(self) -> str:
        return self._keys[0].thumbprint()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._by_id)

    def verifying(self, kid: str) -> ECKey | None:
        return self._by_id.get(kid)

    def term(self, kid: str) -> KeyTerm:
        return self._terms.get(kid, KeyTerm())

    def public(self) -> PublicKeys:
        """Return the JWK set that anybody may have."""
        shown = [
            {**key.as_dict(private=False), "kid": kid, "alg": "ES256", "use": "sig"}
            for kid, key in self._by_id.items()
        ]
        return {"keys": shown}

    def encoded(self) -> bytes:
        """Return the JWK set with its private parts, for the file alone."""
        kept = [
            key.as_dict(private=key.is_private) | _written(self.term(kid))
            for kid, key in self._by_id.items()
        ]
        return msgspec.json.encode({"keys": kept})

    def rotated(
        self, now: float = 0.0, *, keep_seconds: float = 0.0, lead_seconds: float = 0.0
    ) -> "SigningKeys":
        """Return a set with a new key in front, which signs after `lead_seconds`.

        The last one signs until then, and verifies for `keep_seconds` longer. What verifies no
        more is left out.
        """
        fresh = ECKey.generate_key("P-256")
        begins = now + lead_seconds
        terms = {
            kid: KeyTerm(begins=term.begins, ends=min(term.ends, begins + keep_seconds))
            for kid in self._by_id
            if (term := self.term(kid)).ends > now
        }
        kept = tuple(key for kid, key in self._by_id.items() if kid in terms)
        return SigningKeys((fresh, *kept), {**terms, fresh.thumbprint(): KeyTerm(begins=begins)})

    def without(self, kid: str) -> "SigningKeys":
        """Return a set that lacks a key: its tokens stand for nobody from now on."""
        kept = tuple(key for known, key in self._by_id.items() if known != kid)
        return SigningKeys(kept, self._terms)

    def at(self, now: float) -> "SigningKeys":
        """Return the keys that count at this time, the one that signs in front."""
        alive = [kid for kid in self._by_id if self.term(kid).ends > now] or [self.signing_id]
        ordered = sorted(alive, key=lambda kid: self.term(kid).begins > now)
        return SigningKeys(tuple(self._by_id[kid] for kid in ordered), self._terms)


def _written(term: KeyTerm) -> dict[str, str | list[str]]:
    """Return the members of the file that say from when to when a key counts."""
    written: dict[str, str | list[str]] = {}
    if term.begins > 0:
        written[_BEGINS] = str(term.begins)
    if term.ends < math.inf:
        written[_ENDS] = str(term.ends)
    return written


def signing_keys(path: Path) -> SigningKeys:
    """Read the key set that is kept at `path`."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        keys, terms = list[ECKey](), dict[str, KeyTerm]()
        for told in kept.keys:
            begins, ends = told.pop(_BEGINS, 0), told.pop(_ENDS, math.inf)
            parts: dict[str, str | list[str]] = {
                name: value for name, value in told.items() if isinstance(value, str)
            }
            key = ECKey.import_key(parts)
            keys.append(key)
            terms[key.thumbprint()] = KeyTerm(begins=float(str(begins)), ends=float(str(ends)))
    except (OSError, msgspec.MsgspecError, JoseError, ValueError) as exc:
        raise StoreUnavailable(
            f"the signing keys cannot be read ({type(exc).__name__})", where=str(path), fix=_FIX
        ) from exc
    if not keys or not keys[0].is_private or any(key.curve_name != "P-256" for key in keys):
        raise StoreUnavailable("the signing keys cannot sign ES256", where=str(path), fix=_FIX)
    return SigningKeys(tuple(keys), terms)


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
