"""Many verdicts in one table: by type of document, read, refused by which failure, crashed."""

import msgspec

from gateway.inspection.verdict import Verdict


class Totals(msgspec.Struct, kw_only=True, rename="camel"):
    """How many documents were read, refused, and crashed."""

    read: int = 0
    refused: int = 0
    crashed: int = 0


class TypeTally(msgspec.Struct, kw_only=True, rename="camel"):
    """The same for one type, the refusals by failure."""

    read: int = 0
    refused: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    crashed: int = 0


class Incident(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One document that was not read, and why."""

    file: str
    type: str
    slug: str = ""
    where: str = ""
    detail: str = ""
    expected: str = ""
    exception: str = ""


class Report(msgspec.Struct, kw_only=True, rename="camel"):
    """What a run over many documents found. `files` are those judged, `left_out` the others."""

    totals: Totals = msgspec.field(default_factory=Totals)
    types: dict[str, TypeTally] = msgspec.field(default_factory=dict[str, TypeTally])
    seconds: float = 0.0
    files: int = 0
    messages: int = 0
    left_out: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    second_opinions: dict[str, dict[str, int]] = msgspec.field(
        default_factory=dict[str, dict[str, int]]
    )
    incidents: list[Incident] = msgspec.field(default_factory=list[Incident])

    def leave_out(self, reason: str) -> None:
        """Count a file that is no document of the formats we read."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def add(self, verdict: Verdict) -> None:
        """Count a document."""
        name = f"{verdict.format} {verdict.type}".rstrip()
        row = self.types.setdefault(name, TypeTally())
        self.files += 1
        self.messages += len(verdict.messages)
        if verdict.verdict == "read":
            row.read += 1
            self.totals.read += 1
        elif verdict.failure is not None:
            slug = verdict.failure.slug
            row.refused[slug] = row.refused.get(slug, 0) + 1
            self.totals.refused += 1
        else:
            row.crashed += 1
            self.totals.crashed += 1
        if verdict.verdict != "read":
            self.incidents.append(_incident(name, verdict))
        self._add_opinions(verdict)

    def _add_opinions(self, verdict: Verdict) -> None:
        for message in verdict.messages:
            if opinion := message.second_opinion:
                row = self.second_opinions.setdefault(opinion.by, {})
                row[opinion.says] = row.get(opinion.says, 0) + 1


def _incident(name: str, verdict: Verdict) -> Incident:
    failure = verdict.failure
    if failure is None:
        return Incident(file=verdict.file, type=name, exception=verdict.exception)
    return Incident(
        file=verdict.file,
        type=name,
        slug=failure.slug,
        where=failure.where,
        detail=failure.detail,
        expected=failure.expected,
    )
