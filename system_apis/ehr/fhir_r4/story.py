"""What a FHIR document says was used (R4 Procedure 9.3, DeviceUseStatement 12.12).

- Each DeviceUseStatement that is active or completed: one device, or the agreed quantity extension.
- Each focalDevice that was implanted (not one that was explanted or adjusted) and each
  usedReference, unless a statement speaks of the same device.
- Each usedCode.

Entered in error takes back what was reported under the resource's own name, also where other parts
of the document still count. Not done, intended, stopped or on hold is refused whole. A device in
the document that nothing points at is refused too: it may have been used, and nothing is dropped
here.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from canonical.errors import MalformedMessage, UnsupportedMessage
from canonical.usage import UsageLine
from standards.fhir.codec import Contained
from standards.fhir.resources import Device, DeviceUseStatement, Procedure, Reference
from system_apis.ehr.fhir_r4.devices import (
    line_of_code,
    line_of_device,
    line_of_identifier,
    quantity_used,
)
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.fhir_r4.references import Document, own_name, own_names

_STATEMENT_COUNTS: Final = frozenset({"active", "completed"})
_PROCEDURE_COUNTS: Final = frozenset({"completed", "in-progress"})
_WRONG: Final = "entered-in-error"
_NOT_USED: Final = frozenset({"explanted", "manipulated"})
_USED_ELSEWHERE: Final = frozenset(
    {"MedicationAdministration", "MedicationDispense", "SupplyDelivery", "DeviceUsage"}
)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A device use with the place it stands at."""

    part: Contained
    use: DeviceUseStatement

    @property
    def counts(self) -> bool:
        """Whether it says that something was used."""
        return self.use.status in _STATEMENT_COUNTS


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a document that say what happened."""

    document: Document
    statements: tuple[Statement, ...]
    part: Contained | None = None
    procedure: Procedure | None = None

    @property
    def counts(self) -> bool:
        """Whether anything in it may have been used."""
        if self.procedure is not None and self.procedure.status != _WRONG:
            return True
        return any(statement.counts for statement in self.statements)


def story(whole: Document) -> Story:
    """Find the one procedure and the statements of a document, or refuse it."""
    statements = tuple(
        Statement(part=part, use=part.resource)
        for part in whole.parts
        if isinstance(part.resource, DeviceUseStatement)
    )
    procedures = {part.where: part for part in _procedures(whole, statements)}
    other = next((p for p in whole.parts if p.description.resource_type in _USED_ELSEWHERE), None)
    if len(procedures) > 1 or other is not None:
        raise UnsupportedMessage(
            "more than one procedure, or usage this feed does not carry",
            where=other.where if other else list(procedures)[-1],
            expected="one Procedure with its devices",
        )
    part = next(iter(procedures.values()), None)
    procedure = part.resource if part and isinstance(part.resource, Procedure) else None
    if procedure is None and not statements:
        raise UnsupportedMessage(
            "nothing here reports usage", where="$", expected="Procedure or DeviceUseStatement"
        )
    found = Story(document=whole, statements=statements, part=part, procedure=procedure)
    _refuse_what_did_not_happen(found)
    _refuse_two_patients(found)
    return found


def lines(told: Story, feed: FhirFeed) -> tuple[UsageLine, ...]:
    """Return what was used, each device once, each line under the sender's own name for it."""
    used = list[UsageLine]()
    mentioned = set[str]()
    for statement in told.statements:
        where = f"{statement.part.where}.device"
        if not statement.counts:
            mentioned.add(_device(told, statement))
            continue
        device, line = _line(told, statement.part, statement.use.device, where, feed)
        quantity = quantity_used(statement.use, feed, statement.part.where)
        reference = own_name(statement.part)
        used.append(msgspec.structs.replace(line, quantity=quantity, reference=reference))
        mentioned.add(device)
    if told.part is not None and told.procedure is not None:
        used += _procedure_lines(told, told.part, told.procedure, mentioned, feed)
    _refuse_loose_devices(told, mentioned)
    _refuse_one_serial_twice(used)
    return tuple(used)


def wrong_names(told: Story) -> tuple[tuple[str, ...], ...]:
    """Return the sender's names of each resource that was entered in error."""
    wrong = [statement.part for statement in told.statements if not statement.counts]
    if told.part is not None and told.procedure is not None and told.procedure.status == _WRONG:
        wrong.append(told.part)
        if any(statement.counts for statement in told.statements):
            raise UnsupportedMessage(
                "devices used in a procedure that was entered in error",
                where=f"{told.part.where}.status",
                expected="every use of it entered in error too, or moved to another procedure",
            )
    for part in wrong:
        if not own_names(part):
            raise MalformedMessage(
                "nothing says which resource was entered in error",
                where=part.where,
                expected="an id, or an identifier of the use",
            )
    return tuple(own_names(part) for part in wrong)


def _device(told: Story, statement: Statement) -> str:
    """Return the name under which the device of a statement is counted."""
    target = told.document.target(statement.use.device, statement.part)
    identifier = statement.use.device.identifier
    return target.where if target is not None else f"{identifier.system}|{identifier.value}"


def _procedure_lines(
    told: Story, part: Contained, procedure: Procedure, mentioned: set[str], feed: FhirFeed
) -> Iterator[UsageLine]:
    own = own_name(part)
    for reference, where, counts in _devices_of(procedure, part.where):
        device, line = _line(told, part, reference, where, feed)
        if counts and device not in mentioned:
            yield _referred(line, own, reference.reference or device)
        mentioned.add(device)
    times = Counter[str]()
    for index, code in enumerate(procedure.used_code):
        line = line_of_code(code, feed, f"{part.where}.usedCode[{index}]")
        name = f"{line.codes[0].issuer}|{line.codes[0].value}"
        times[name] += 1
        yield _referred(line, own, f"{name}/{times[name]}")


def _referred(line: UsageLine, own: str, name: str) -> UsageLine:
    """Name a line of a procedure, so that a later version of it does not count the line again."""
    return msgspec.structs.replace(line, reference=f"{own}/{name}" if own else "")


def _procedures(whole: Document, statements: tuple[Statement, ...]) -> Iterator[Contained]:
    yield from (part for part in whole.parts if isinstance(part.resource, Procedure))
    for statement in statements:
        for reference in (*statement.use.derived_from, *statement.use.reason_reference):
            target = whole.target(reference, statement.part)
            if target is not None and isinstance(target.resource, Procedure):
                yield target


def _devices_of(procedure: Procedure, where: str) -> Iterator[tuple[Reference, str, bool]]:
    """Name each device of a procedure, and whether what was done to it uses it up."""
    for index, focal in enumerate(procedure.focal_device):
        counts = not any(coding.code in _NOT_USED for coding in focal.action.coding)
        yield focal.manipulated, f"{where}.focalDevice[{index}].manipulated", counts
    for index, reference in enumerate(procedure.used_reference):
        yield reference, f"{where}.usedReference[{index}]", True


def _line(
    told: Story, owner: Contained, reference: Reference, where: str, feed: FhirFeed
) -> tuple[str, UsageLine]:
    """Return the line of a device, with the name under which it is counted once."""
    target = told.document.target(reference, owner)
    if target is not None and isinstance(target.resource, Device):
        return target.where, line_of_device(target.resource, feed, target.where)
    identifier = reference.identifier
    line = line_of_identifier(identifier, reference.display, feed, f"{where}.identifier")
    return f"{identifier.system}|{identifier.value}", line


def _refuse_what_did_not_happen(told: Story) -> None:
    claims = [
        (statement.part.where, statement.use.status in _STATEMENT_COUNTS | {_WRONG})
        for statement in told.statements
    ]
    if told.part is not None and told.procedure is not None:
        known = _PROCEDURE_COUNTS | {_WRONG}
        claims.append((told.part.where, told.procedure.status in known))
    for where, happened in claims:
        if not happened:
            raise UnsupportedMessage(
                "this status reports no usage",
                where=f"{where}.status",
                expected="completed, or active and in-progress; or entered-in-error",
            )


def _refuse_two_patients(told: Story) -> None:
    subjects = [(statement.part.where, statement.use.subject) for statement in told.statements]
    if told.part is not None and told.procedure is not None:
        subjects.append((told.part.where, told.procedure.subject))
    names = {(subject.reference, subject.identifier.value) for _, subject in subjects}
    if len(names) > 1:
        raise MalformedMessage(
            "two patients in one event", where=f"{subjects[-1][0]}.subject", expected="one subject"
        )


def _refuse_loose_devices(told: Story, mentioned: set[str]) -> None:
    for part in told.document.parts:
        if isinstance(part.resource, Device) and part.where not in mentioned:
            raise UnsupportedMessage(
                "a device that nothing points at",
                where=part.where,
                expected="a DeviceUseStatement, focalDevice or usedReference for it",
            )


def _refuse_one_serial_twice(used: list[UsageLine]) -> None:
    serials = [(line.codes[0], line.serial) for line in used if line.serial]
    if len(set(serials)) < len(serials):
        raise MalformedMessage(
            "one serial number used twice", where="$", expected="each device once"
        )
