"""What fhir.resources says about a FHIR resource, by R4B and, where that does not fit, by R5.

R4B serves R4: the types used here are the same in both. The library does not check value sets, so
that it finds a resource valid means its shape is.
"""

import re
from collections.abc import Callable
from typing import Final

import fhir.resources
import fhir.resources.R4B
import msgspec
from pydantic import BaseModel, ValidationError

from gateway.inspection.second_opinion import Answer

_RELEASES: Final[tuple[tuple[str, Callable[[str], type[BaseModel]]], ...]] = (
    ("R4B", fhir.resources.R4B.get_fhir_model_class),
    ("R5", fhir.resources.get_fhir_model_class),
)
_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,39}", re.ASCII)
_SHOWN: Final = 3
_STUMBLES: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)


class _Typed(msgspec.Struct, rename="camel"):
    resource_type: str


_typed = msgspec.json.Decoder(_Typed)


def opinion(body: bytes) -> Answer:
    """Judge one resource."""
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        name = _typed.decode(text).resource_type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(is_valid=False, text="not a resource in JSON")
    if not _TYPE.fullmatch(name):
        return Answer(is_valid=False, text="not the name of a resource type")
    first: Answer | None = None
    for release, model in _RELEASES:
        answer = _by(release, model, name, text)
        if answer.is_valid:
            return answer
        first = first or answer
    return first or Answer(is_valid=None, text="no opinion")


def _by(release: str, model: Callable[[str], type[BaseModel]], name: str, text: bytes) -> Answer:
    try:
        model(name).model_validate_json(text)
    except ValidationError as exc:
        return Answer(is_valid=False, text=f"{release}: {_complaints(exc)}")
    except _STUMBLES as exc:
        why = f"no opinion: {release} has no such resource, or not inside this one"
        return Answer(is_valid=None, text=f"{why} ({type(exc).__name__})")
    return Answer(is_valid=True, text=f"fits {release}")


def _complaints(exc: ValidationError) -> str:
    """Name the places and rules; a key that the library does not know could be anything."""
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{_path(one['loc'], one['type'])}: {one['type']}" for one in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return "; ".join(shown) + (f"; {more} more" if more > 0 else "")


def _path(location: tuple[int | str, ...], rule: str) -> str:
    known = location[:-1] if rule == "extra_forbidden" else location
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in known]
    return "$" + "".join(steps) + (".…" if len(known) < len(location) else "")
