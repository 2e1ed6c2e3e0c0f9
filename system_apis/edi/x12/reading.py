"""What one interchange comes to: facts to announce, refusals, and its groups as judged."""

import re
from typing import Final

import msgspec

from canonical.errors import Failure, MalformedMessage, UnknownPartner, UnsupportedMessage
from canonical.supplier import TradingPartner
from canonical.task import TaskDraft
from ledger.arrival import Announcement
from standards.x12.conformance import examined
from standards.x12.control import ACCEPTED, interchange_note
from standards.x12.envelope import Group, Interchange, InterchangeHeader, TransactionSet
from standards.x12.reader import read
from system_apis.edi.x12.announcing import READERS, rejection_facts
from system_apis.edi.x12.wire import syntax_note

_NOT_SUPPORTED: Final = "1"
_SEGMENTS_IN_ERROR: Final = "5"
_MOST_REFUSALS: Final = 10
_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}")


class Reading:
    """One interchange as far as it could be used. `note` is its TA105; `is_foreign` says that
    somebody else handed it in under the partner's name.
    """

    def __init__(self, top: InterchangeHeader) -> None:
        self.top = top
        self.note = ACCEPTED
        self.groups: tuple[Group, ...] = ()
        self.kinds = list[str]()
        self.facts = list[Announcement]()
        self.refusals = list[Failure]()
        self.is_foreign = False

    def refuse_whole(self, failure: Failure) -> None:
        """Refuse the interchange itself: it is answered with a TA1."""
        self.note = interchange_note(failure)
        self.refusals.append(failure)

    def take(self, interchange: Interchange, supplier: str) -> None:
        """Read every set that is sound so far."""
        self.facts += rejection_facts(interchange.verdicts, supplier)
        self.groups = tuple(self._read_group(group, supplier) for group in interchange.groups)

    def _read_group(self, group: Group, supplier: str) -> Group:
        self.kinds += [_legible(each.code) for each in group.sets]
        if group.errors:
            self.refusals.append(_group_refusal(group))
            return group
        sets = tuple(self._read_set(each, supplier) for each in group.sets)
        return msgspec.structs.replace(group, sets=sets)

    def _read_set(self, each: TransactionSet, supplier: str) -> TransactionSet:
        reader = READERS.get(each.code)
        if reader is None and _NOT_SUPPORTED not in each.set_errors:
            each = msgspec.structs.replace(each, set_errors=(*each.set_errors, _NOT_SUPPORTED))
        if reader is None or not each.accepted:
            self.refusals.append(_set_refusal(each))
            return each
        try:
            self.facts += reader(each, supplier)
        except UnsupportedMessage as failure:
            self.refusals.append(failure)
        except MalformedMessage as failure:
            self.refusals.append(failure)
            return _with_failure(each, failure)
        return each

    @property
    def identity(self) -> str:
        """The business key; '' of an interchange that broke, as it may come again repaired, and of
        one from a stranger, who must not use up the partner's numbers.
        """
        top = self.top
        sides = (top.sender_qualifier, top.sender, top.receiver_qualifier, top.receiver)
        broken = any(isinstance(each, MalformedMessage) for each in self.refusals)
        broken = broken and self.note != ACCEPTED
        return "" if broken or self.is_foreign else "|".join(("x12", *sides, top.control))

    def task(self, partner: TradingPartner | None) -> TaskDraft | None:
        """Return what a person has to settle, if anything was refused."""
        if not self.refusals:
            return None
        first = self.refusals[0]
        sender = partner.supplier if partner else self.top.sender
        return TaskDraft(
            reason=first.slug,
            title=f"X12 interchange {self.top.control} from {sender}: refused in whole or in part",
            detail="; ".join(str(each) for each in self.refusals[:_MOST_REFUSALS]),
            owner="integration",
            actions=("retry", "abandon"),
            affected=sender,
            fix=first.fix or "ask the partner to correct the document and send it again",
        )


def reading_of(
    body: bytes,
    top: InterchangeHeader,
    partner: TradingPartner | None,
    own: frozenset[tuple[str, str]],
    client: str,
) -> Reading:
    """Read the one interchange in `body`, whose ISA says `top`; `client` handed it in."""
    reading = Reading(top)
    reading.is_foreign = partner is not None and not _speaks_for(client, partner)
    try:
        if reading.is_foreign:
            raise _foreign(client)
        supplier = _trusted(top, partner, own).supplier
        for interchange in read(body):
            reading.take(examined(interchange), supplier)
    except (MalformedMessage, UnknownPartner, UnsupportedMessage) as failure:
        reading.refuse_whole(failure)
    return reading


def _speaks_for(client: str, partner: TradingPartner) -> bool:
    """Say whether this client may hand in for the partner. What we asked the partner for ourselves,
    or read again from the ledger, comes under the supplier's own number.
    """
    return not partner.client or client in (partner.client, partner.supplier)


def _foreign(client: str) -> UnknownPartner:
    return UnknownPartner(
        f"client {client} does not speak for this sender",
        where="ISA06",
        expected="the client of the partner's profile",
        fix="find out who sent this; bind the client to the partner where it is rightly theirs",
    )


def _trusted(
    top: InterchangeHeader, partner: TradingPartner | None, own: frozenset[tuple[str, str]]
) -> TradingPartner:
    if partner is None:
        raise UnknownPartner(
            "nobody trades under this sender id",
            where="ISA06",
            fix="add the trading partner and retry; or abandon what is not for us",
        )
    if (top.receiver_qualifier, top.receiver) not in own:
        raise UnknownPartner("this interchange is not for us", where="ISA08")
    if top.test != partner.test:
        raise UnsupportedMessage(
            "test and production do not mix",
            where="ISA15",
            expected="T" if partner.test else "P",
            fix="ask the partner which it is, or change the partner's profile",
        )
    return partner


def _with_failure(each: TransactionSet, failure: MalformedMessage) -> TransactionSet:
    note = syntax_note(failure)
    if note is None:
        return msgspec.structs.replace(each, set_errors=(*each.set_errors, _SEGMENTS_IN_ERROR))
    return msgspec.structs.replace(each, segment_errors=(*each.segment_errors, note))


def _group_refusal(group: Group) -> MalformedMessage:
    codes = ", ".join(group.errors)
    return MalformedMessage(
        f"group {_legible(group.control)} of kind {_legible(group.functional_id)} is rejected"
        f" with AK905 {codes}",
        where="GS",
    )


def _set_refusal(each: TransactionSet) -> MalformedMessage:
    codes = ", ".join(each.syntax_codes)
    places = ", ".join(
        f"{_named(e.segment)} in segment {e.position}" for e in each.segment_errors[:3]
    )
    return MalformedMessage(
        f"set {_legible(each.code)} {_legible(each.control)} is rejected with AK502 {codes}",
        where=places or "ST",
    )


def _legible(text: str) -> str:
    """Return a code or number that can be kept and shown; in a broken envelope stands anything."""
    return text if text.isascii() and text.isprintable() else "?"


def _named(segment: str) -> str:
    """Return a segment's id; anything else that stands there may be anybody's text."""
    return segment if _SEGMENT_ID.fullmatch(segment) else "an unreadable segment"
