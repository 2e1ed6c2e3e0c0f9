"""One FHIR document and who points at whom in it (References, 2.3; Bundle 2.36.4.1; contained)."""

from typing import Final

import msgspec

from canonical.errors import MalformedMessage, UnsupportedMessage
from standards.fhir import codec
from standards.fhir.codec import Contained
from standards.fhir.resources import (
    Bundle,
    DeviceUseStatement,
    DomainResource,
    Known,
    Reference,
)

_BUNDLES: Final = frozenset({"transaction", "message", "collection", "batch"})
_WRITES: Final = frozenset({"POST", "PUT"})


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A resource, or a bundle of them, with every name they answer to."""

    parts: tuple[Contained, ...]
    inner: dict[str, tuple[Contained, ...]]
    names: dict[str, tuple[Contained, ...]]

    def target(self, reference: Reference, owner: Contained) -> Contained | None:
        """Return the resource that `owner` points at, if the document holds it."""
        wanted = reference.reference.split("/_history/")[0]
        if wanted.startswith("#"):
            return next(
                (part for part in self.inner.get(owner.where, ()) if part.full_url == wanted), None
            )
        found = self.names.get(wanted, ()) if wanted else ()
        if len(found) > 1:
            raise MalformedMessage(
                "a reference with two targets",
                where=owner.where,
                expected="one resource by that name",
            )
        return found[0] if found else None


def document(resource: Known) -> Document:
    """Open a resource and everything in it."""
    if isinstance(resource, Bundle):
        _refuse_other_bundles(resource)
        parts = codec.entries(resource)
    else:
        parts = (_whole(resource),)
    inner = {
        part.where: codec.contained(part.resource.contained, part.where)
        for part in parts
        if isinstance(part.resource, DomainResource)
    }
    names: dict[str, tuple[Contained, ...]] = {}
    for part in parts:
        for name in _names(part):
            names[name] = (*names.get(name, ()), part)
    return Document(parts=parts, inner=inner, names=names)


def _whole(resource: Known) -> Contained:
    description = codec.Description(resource_type=type(resource).__name__, id=resource.id)
    return Contained(where="$", full_url="", description=description, resource=resource)


def _names(part: Contained) -> set[str]:
    described = part.description
    names = {part.full_url, f"{described.resource_type}/{described.id}" if described.id else ""}
    if part.full_url.startswith(("http://", "https://")):
        names.add("/".join(part.full_url.split("/")[-2:]))
    return names - {""}


def _refuse_other_bundles(bundle: Bundle) -> None:
    if bundle.type not in _BUNDLES:
        raise UnsupportedMessage(
            "not a bundle that reports something",
            where="$.type",
            expected=f"one of {', '.join(sorted(_BUNDLES))}",
        )
    for index, entry in enumerate(bundle.entry):
        if entry.request is not None and entry.request.method not in _WRITES:
            raise UnsupportedMessage(
                "only what was written can have been used",
                where=f"$.entry[{index}].request.method",
                expected="POST or PUT",
            )


def last_segment(reference: Reference) -> str:
    """Return the id part of `Type/id`, or of an absolute URL; '' for a urn or nothing."""
    text = reference.reference.split("/_history/")[0]
    return text.rsplit("/", 1)[-1] if "/" in text and not text.startswith(("urn:", "#")) else ""


def own_name(part: Contained) -> str:
    """Return the name the sender gives a resource, the most lasting one; '' where it gives none."""
    return next(iter(own_names(part)), "")


def own_names(part: Contained) -> tuple[str, ...]:
    """Return the names the sender gives a resource: Type/id, a use's identifiers, its fullUrl.

    Other identifiers are left alone, as they may be a patient's. A contained resource has a name
    inside its container only, and a body without any has none.
    """
    described, resource = part.description, part.resource
    if ".contained[" in part.where:
        return ()
    literal = f"{described.resource_type}/{described.id}" if described.id else ""
    identifiers = resource.identifier if isinstance(resource, DeviceUseStatement) else ()
    named = (f"{one.system}|{one.value}" for one in identifiers if one.value)
    return tuple(name for name in (literal, *named, part.full_url) if name)
