"""What breaks whoever built against a published OpenAPI document: each break is a sentence.

What a caller sends may become less strict, and what he is given may become more. The other way
round he breaks: a field that is gone, one more that is needed, a narrower type, another scope.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

Direction = Literal["sent", "given"]
_LOWER: Final = ("maxLength", "maximum", "maxItems", "exclusiveMaximum")
_HIGHER: Final = ("minLength", "minimum", "minItems", "exclusiveMinimum")
_DEEPEST: Final = 12


def breaking_changes(published: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what of a published document is no longer kept; empty where nothing breaks."""
    return [
        f"{method.upper()} {path}: {said}"
        for path, operations in published["paths"].items()
        for method, operation in operations.items()
        for said in _of_operation(
            _Pair(published, now), operation, now["paths"].get(path, {}).get(method)
        )
    ]


class _Pair:
    """Both documents: references lead to places in their own."""

    def __init__(self, published: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        self._documents = (published, now)

    def resolved(self, was: Any, becomes: Any) -> tuple[Any, Any]:
        return self._followed(0, was), self._followed(1, becomes)

    def _followed(self, which: int, told: Any) -> Any:
        while told is not None and "$ref" in told:
            target: Any = self._documents[which]
            for step in told["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            told = target
        return told


def _of_operation(pair: _Pair, was: Any, becomes: Any) -> Iterator[str]:
    if becomes is None:
        yield "is gone"
        return
    for name in ("operationId", "security"):
        if was.get(name) != becomes.get(name):
            yield f"has another {name}"
    yield from _of_parameters(pair, was.get("parameters", ()), becomes.get("parameters", ()))
    yield from _of_body(pair, was.get("requestBody"), becomes.get("requestBody"))
    for status, response in was["responses"].items():
        if status.startswith("2"):
            old, new = pair.resolved(response, becomes["responses"].get(status))
            if new is None:
                yield f"answers {status} no more"
            else:
                yield from _of_content(pair, old, new, "given")


def _of_parameters(pair: _Pair, was: Any, becomes: Any) -> Iterator[str]:
    old = {(each["name"], each["in"]): each for each in was}
    new = {(each["name"], each["in"]): each for each in becomes}
    for key, parameter in old.items():
        where = f"{key[1]} parameter {key[0]}"
        if key not in new:
            yield f"{where} is gone"
            continue
        if new[key].get("required") and not parameter.get("required"):
            yield f"{where} is needed now"
        yield from _of_schema(pair, parameter["schema"], new[key]["schema"], "sent", where)
    for key, parameter in new.items():
        if key not in old and parameter.get("required"):
            yield f"{key[1]} parameter {key[0]} is new and needed"


def _of_body(pair: _Pair, was: Any, becomes: Any) -> Iterator[str]:
    if becomes is None or was is None:
        if becomes is not None and becomes.get("required"):
            yield "a body is needed now"
        elif was is not None:
            yield "takes no body any more"
        return
    yield from _of_content(pair, was, becomes, "sent")


def _of_content(pair: _Pair, was: Any, becomes: Any, direction: Direction) -> Iterator[str]:
    for kind, media in was.get("content", {}).items():
        new = becomes.get("content", {}).get(kind)
        if new is None:
            yield f"{kind} is no longer {direction}"
        else:
            yield from _of_schema(pair, media["schema"], new["schema"], direction, "$")


def _of_schema(
    pair: _Pair, was: Any, becomes: Any, direction: Direction, where: str
) -> Iterator[str]:
    old, new = pair.resolved(was, becomes)
    if old == new and "$ref" not in str(old):
        return
    if where.count(".") + where.count("[]") > _DEEPEST:  # a schema that contains itself
        return
    if "anyOf" in old or "anyOf" in new:
        yield from _of_choices(pair, old, new, direction, where)
        return
    yield from _of_types(old, new, direction, where)
    if direction == "sent":
        yield from _of_bounds(old, new, where)
    yield from _of_properties(pair, old, new, direction, where)
    if "items" in old and "items" in new:
        yield from _of_schema(pair, old["items"], new["items"], direction, f"{where}[]")


def _of_choices(pair: _Pair, was: Any, becomes: Any, direction: Direction, where: str) -> Any:
    """Each choice that could be sent is still taken; each that is given now was known."""
    old, new = was.get("anyOf", [was]), becomes.get("anyOf", [becomes])
    for each in old if direction == "sent" else new:
        pairs = [(each, one) for one in new] if direction == "sent" else [(o, each) for o in old]
        if not any(not [*_of_schema(pair, a, b, direction, where)] for a, b in pairs):
            yield f"{where} has other choices"


def _of_types(was: Any, becomes: Any, direction: Direction, where: str) -> Iterator[str]:
    old, new = _types(was), _types(becomes)
    wider, narrower = (old, new) if direction == "sent" else (new, old)
    if narrower and (not wider or wider - narrower):
        yield f"{where} is of another type"
    if direction == "sent" and "enum" in becomes:
        taken = set(map(str, becomes["enum"]))
        if "enum" not in was or set(map(str, was["enum"])) - taken:
            yield f"{where} takes fewer values"


def _types(schema: Any) -> set[str]:
    named = schema.get("type", ())
    found = {named} if isinstance(named, str) else set(named)
    return found | ({"integer"} if "number" in found else set())


def _of_bounds(was: Any, becomes: Any, where: str) -> Iterator[str]:
    for name in (*_LOWER, *_HIGHER):
        old, new = was.get(name), becomes.get(name)
        if new is not None and (old is None or (new < old if name in _LOWER else new > old)):
            yield f"{where} has a narrower {name}"
    if becomes.get("pattern") not in (None, was.get("pattern")):
        yield f"{where} has another pattern"


def _of_properties(
    pair: _Pair, was: Any, becomes: Any, direction: Direction, where: str
) -> Iterator[str]:
    old, new = was.get("properties", {}), becomes.get("properties", {})
    needed, needed_now = set(was.get("required", ())), set(becomes.get("required", ()))
    for name, schema in old.items():
        if name not in new:
            yield f"{where}.{name} is gone"
        else:
            yield from _of_schema(pair, schema, new[name], direction, f"{where}.{name}")
    if direction == "sent":
        yield from (f"{where}.{name} is needed now" for name in sorted(needed_now - needed))
    else:
        lost = sorted((needed - needed_now) & new.keys())
        yield from (f"{where}.{name} may be missing now" for name in lost)
