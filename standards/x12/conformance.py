"""Syntax of the sets we use, as AK3/AK4 facts: mandatory segments and elements, lengths, types,
order.

An examined interchange carries everything its 997/999 has to say.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Final

import msgspec

from standards.x12.control import GROUPS, SUPPORTED_RELEASES
from standards.x12.envelope import (
    ElementError,
    Group,
    Interchange,
    Segment,
    SegmentError,
    TransactionSet,
)
from standards.x12.grammar import PAIRS, SEGMENTS, SETS, ElementRule, SetRule

_MISSING, _OUT_OF_ORDER, _TOO_OFTEN, _IN_ERROR, _UNKNOWN = "3", "7", "5", "8", "1"
_TOO_SHORT, _TOO_LONG, _BAD_CHARACTER, _BAD_DATE, _BAD_TIME = "4", "5", "6", "8", "9"
_MANDATORY, _CONDITIONAL = "1", "2"

_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)
_WHOLE: Final = re.compile(r"-?\d+", re.ASCII)
_REAL: Final = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)
_DAY: Final = re.compile(r"\d{8}", re.ASCII)
_TIME: Final = re.compile(r"([01]\d|2[0-3])[0-5]\d([0-5]\d\d{0,2})?", re.ASCII)
_MOST_ERRORS: Final = 100


def examined(interchange: Interchange) -> Interchange:
    """Return `interchange` with what is wrong inside its groups and sets added."""
    return msgspec.structs.replace(
        interchange, groups=tuple(_examined_group(group) for group in interchange.groups)
    )


def _examined_group(group: Group) -> Group:
    errors = list(group.errors)
    if group.functional_id not in GROUPS:
        errors.append("1")
    elif not group.version.startswith(SUPPORTED_RELEASES):
        errors.append("2")
    if errors:
        return msgspec.structs.replace(group, errors=tuple(errors))
    return msgspec.structs.replace(group, sets=tuple(_examined_set(each) for each in group.sets))


def _examined_set(each: TransactionSet) -> TransactionSet:
    rule = SETS.get(each.code)
    if rule is None:
        return msgspec.structs.replace(each, set_errors=(*each.set_errors, "1"))
    found = [*each.segment_errors, *_structure(each.segments, rule)]
    for position, segment in enumerate(each.segments, 1):
        if wrong := _segment_error(segment, position):
            found.append(wrong)
    found.sort(key=lambda error: error.position)
    return msgspec.structs.replace(each, segment_errors=tuple(found[:_MOST_ERRORS]))


def _structure(segments: list[Segment], rule: SetRule) -> Iterator[SegmentError]:
    names = [segment[0] for segment in segments]
    if names[1:2] != [rule.begin]:
        yield SegmentError(segment=rule.begin, position=2, code=_MISSING)
    for name in sorted(rule.required.difference(names)):
        yield SegmentError(segment=name, position=len(names), code=_MISSING)
    seen = set[str]()
    for position, name in enumerate(names, 1):
        if name in rule.once and name in seen:
            yield SegmentError(segment=name, position=position, code=_TOO_OFTEN)
        elif name in rule.detail and not seen.isdisjoint(rule.summary):
            yield SegmentError(segment=name, position=position, code=_OUT_OF_ORDER)
        seen.add(name)


def _segment_error(segment: Segment, position: int) -> SegmentError | None:
    name = segment[0]
    rules = SEGMENTS.get(name)
    if rules is None:
        if name and not _SEGMENT_ID.fullmatch(name):
            return SegmentError(segment=name, position=position, code=_UNKNOWN)
        return None
    wrong = tuple(_element_errors(segment, rules))
    if not wrong:
        return None
    return SegmentError(segment=name, position=position, code=_IN_ERROR, elements=wrong)


def _element_errors(
    segment: Segment, rules: tuple[ElementRule | None, ...]
) -> Iterator[ElementError]:
    last = len(segment) - 1
    for number, rule in enumerate(rules, 1):
        if rule is None:
            continue
        value = segment[number] if number <= last else ""
        code = _value_error(value, rule) if value else _MANDATORY if rule.mandatory else ""
        if code:
            yield ElementError(element=number, code=code, reference=rule.reference, value=value)
    one, other = PAIRS.get(segment[0], (0, 0))
    if one and one <= last and bool(segment[one]) != (other <= last and bool(segment[other])):
        missing = other if segment[one] else one
        yield ElementError(element=missing, code=_CONDITIONAL, reference=_reference(rules, missing))


def _reference(rules: tuple[ElementRule | None, ...], number: int) -> str:
    rule = rules[number - 1]
    return rule.reference if rule else ""


def _value_error(value: str, rule: ElementRule) -> str:
    found = _CHECKS[rule.kind](value)
    if found:
        return found
    length = len(value.strip("-").replace(".", "")) if rule.kind in _NUMERIC else len(value)
    if length < rule.low:
        return _TOO_SHORT
    return _TOO_LONG if length > rule.high else ""


def _text_error(value: str) -> str:
    return "" if value.strip() else _MANDATORY


def _whole_error(value: str) -> str:
    return "" if _WHOLE.fullmatch(value) else _BAD_CHARACTER


def _real_error(value: str) -> str:
    return "" if _REAL.fullmatch(value) else _BAD_CHARACTER


def _day_error(value: str) -> str:
    if not _DAY.fullmatch(value):
        return _BAD_DATE
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return _BAD_DATE
    return ""


def _time_error(value: str) -> str:
    return "" if _TIME.fullmatch(value) else _BAD_TIME


_NUMERIC: Final = frozenset({"N0", "N2", "R"})

_CHECKS: Final[dict[str, Callable[[str], str]]] = {
    "AN": _text_error,
    "ID": _text_error,
    "N0": _whole_error,
    "N2": _whole_error,
    "R": _real_error,
    "DT": _day_error,
    "TM": _time_error,
}
