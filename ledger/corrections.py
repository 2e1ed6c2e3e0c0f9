"""Correcting what a flow began with: a JSON merge patch (RFC 7396), judged by the facts' type."""

from typing import Any, cast

import msgspec

from canonical.errors import InvalidRequest


def merged(
    facts: bytes, patch: dict[str, msgspec.Raw], kind: type[msgspec.Struct]
) -> msgspec.Struct:
    """Return the facts with the patch applied, or raise `InvalidRequest` naming the field."""
    if not patch:
        raise InvalidRequest(
            "a correction is needed",
            where="$.correction",
            expected='the fields to change, for example {"quantity": "2"}',
        )
    corrected = _patched(
        msgspec.json.decode(facts), msgspec.json.decode(msgspec.json.encode(patch))
    )
    try:
        return msgspec.convert(corrected, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(
            f"the corrected facts do not hold: {exc}", where="$.correction"
        ) from exc


def _patched(before: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    after = {**cast("dict[str, Any]", before)} if isinstance(before, dict) else dict[str, Any]()
    for name, value in cast("dict[str, Any]", change).items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _patched(after.get(name), value)
    return after
