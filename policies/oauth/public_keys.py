"""Public keys that others show us (RFC 7517): never a secret one, never an unusual one."""

from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

PublicKey = ECKey | RSAKey | OKPKey
Jwk = dict[str, str | list[str] | bool]
_SECRET_MEMBERS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_RSA_BITS = range(2048, 4097)
_RSA_TEXT = range(342, 684)
"""Length of such a modulus in base64url: nobody makes us do sums with a longer one."""


def public_key(jwk: Jwk) -> PublicKey | None:
    """Read a key to verify with; None for one with private parts, a symmetric and an unusual one.

    Raises JoseError and ValueError for what is no key at all.
    """
    kind, modulus = jwk.get("kty"), jwk.get("n", "")
    if _SECRET_MEMBERS & jwk.keys() or kind not in ("EC", "RSA", "OKP"):
        return None
    if kind == "RSA" and (not isinstance(modulus, str) or len(modulus) not in _RSA_TEXT):
        return None
    key = import_key({name: value for name, value in jwk.items() if isinstance(value, str)})
    if isinstance(key, RSAKey) and key.public_key.key_size not in _RSA_BITS:
        return None
    return key if isinstance(key, ECKey | RSAKey | OKPKey) else None
