"""FHIR R4 JSON: bytes into one known resource, a description of any, or one named failure.

- XML and several resources in a row (NDJSON) are other media types: `UnsupportedMediaType`.
- JSON that is broken, repeats a key, nests deeper than any resource, or disagrees with the
  specification's types is `MalformedMessage` with the JSON path.
- A resource type we do not use is `UnsupportedMessage`.
"""

import re
from typing import Final

import msgspec

from canonical.errors import Failure, MalformedMessage, UnsupportedMediaType, UnsupportedMessage
from standards.fhir.json_shape import refuse_bad_shape
from standards.fhir.resources import (
    NO_META,
    Bundle,
    CodeableConcept,
    Known,
    Meta,
    OperationOutcome,
    OutcomeIssue,
)

MEDIA_TYPE: Final = "application/fhir+json"

_known: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known)
_encode = msgspec.json.Encoder(decimal_format="number").encode
_KNOWN_TYPES: Final = frozenset(known.__name__ for known in Known.__args__)
_PATH = re.compile(r" - at `(?:key in )?(?P<path>[^`]*)`$")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Description(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What any resource says of itself."""

    resource_type: str
    id: str = ""
    meta: Meta = NO_META


_describe = msgspec.json.Decoder(Description)


class Contained(msgspec.Struct, frozen=True, kw_only=True):
    """A resource inside another one, with the path to it."""

    where: str
    full_url: str
    description: Description
    resource: Known | None


def describe(raw: bytes) -> Description:
    """Say type, id and version of any FHIR JSON resource, known to us or not."""
    return _description(_json_text(raw), "$")


def read(raw: bytes) -> Known:
    """Read one resource we know."""
    text = _json_text(raw)
    found = _description(text, "$")
    resource = _resource(text, found, "$")
    if resource is None:
        raise UnsupportedMessage(
            "no use for this resource type here",
            where="$.resourceType",
            expected=f"one of {', '.join(sorted(_KNOWN_TYPES))}",
        )
    return resource


def entries(bundle: Bundle) -> tuple[Contained, ...]:
    """Read what a bundle carries; one version of one `fullUrl` twice is refused (bdl-7)."""
    found = list[Contained]()
    seen = set[tuple[str, str]]()
    for index, entry in enumerate(bundle.entry):
        where = f"$.entry[{index}]"
        if not bytes(entry.resource):
            continue
        inner = _inside(bytes(entry.resource), f"{where}.resource", entry.full_url)
        name = (entry.full_url, inner.description.meta.version_id)
        if entry.full_url and name in seen:
            raise MalformedMessage(
                "the same fullUrl twice", where=f"{where}.fullUrl", expected="one entry for each"
            )
        seen.add(name)
        found.append(inner)
    return tuple(found)


def contained(resources: tuple[msgspec.Raw, ...], where: str) -> tuple[Contained, ...]:
    """Read the resources contained in the one at `where`; their url is `#` and their id (dom-3)."""
    found = list[Contained]()
    for index, raw in enumerate(resources):
        path = f"{where}.contained[{index}]"
        inner = _inside(bytes(raw), path, "")
        url = f"#{inner.description.id}"
        if url == "#" or any(url == other.full_url for other in found):
            raise MalformedMessage(
                "contained resource without an id of its own", where=f"{path}.id", expected="an id"
            )
        found.append(msgspec.structs.replace(inner, full_url=url))
    return tuple(found)


def encode(resource: Known) -> bytes:
    """Write a resource we made."""
    return _encode(resource)


def outcome(failure: Failure) -> OperationOutcome:
    """Render a failure for a FHIR client (OperationOutcome, value set issue-type)."""
    place = failure.where.removeprefix("$").removeprefix(".")
    wanted = f"; expected {failure.expected}" if failure.expected else ""
    issue = OutcomeIssue(
        severity="error",
        code=_ISSUE_TYPES.get(failure.slug) or _ISSUE_BY_STATUS.get(failure.status, "processing"),
        details=CodeableConcept(text=failure.title),
        diagnostics=f"{failure.detail}{wanted}",
        expression=(place,) if failure.where.startswith("$") and place else (),
    )
    return OperationOutcome(issue=(issue,))


_ISSUE_BY_STATUS: Final = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    409: "business-rule",
    413: "too-long",
    415: "not-supported",
    422: "not-supported",
    429: "throttled",
    500: "exception",
    502: "exception",
    503: "transient",
    504: "timeout",
}
_ISSUE_TYPES: Final = {"identity-conflict": "conflict", "malformed-message": "structure"}


def _json_text(raw: bytes) -> bytes:
    text = raw.removeprefix(b"\xef\xbb\xbf").strip()
    if text[:1] == b"<":
        raise UnsupportedMediaType("this is XML", where="$", expected=MEDIA_TYPE)
    refuse_bad_shape(text)
    return text


def _description(text: bytes, where: str) -> Description:
    try:
        return _describe.decode(text)
    except msgspec.ValidationError as exc:
        raise _invalid(exc, where) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise MalformedMessage("not JSON", where=where, expected="one JSON object") from exc


def _resource(text: bytes, found: Description, where: str) -> Known | None:
    if found.resource_type not in _KNOWN_TYPES:
        return None
    try:
        return _known.decode(text)
    except msgspec.ValidationError as exc:
        raise _invalid(exc, where) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise MalformedMessage("not JSON", where=where, expected="one JSON object") from exc


def _inside(text: bytes, where: str, full_url: str) -> Contained:
    found = _description(text, where)
    return Contained(
        where=where,
        full_url=full_url,
        description=found,
        resource=_resource(text, found, where),
    )


def _invalid(exc: msgspec.ValidationError, where: str) -> MalformedMessage:
    """Turn msgspec's message into ours; the values it quotes may be a patient's and are dropped."""
    text = str(exc)
    place = _PATH.search(text)
    path = place["path"] if place else "$"
    return MalformedMessage(
        _QUOTED.sub("…", text[: place.start()] if place else text),
        where=path.replace("$", where, 1),
        expected="a resource as FHIR R4 defines it",
    )
