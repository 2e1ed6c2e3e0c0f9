"""By when usage has to be in the stock figures: pure decisions."""

from canonical.deadline import ClinicalNeed, Deadline, Deadlines, Urgency
from canonical.usage import UsageEvent

VERSION = "usage-tier-rules/1"


def usage_urgency(usage: UsageEvent) -> Urgency:
    """Return the tier: urgent for what was used in a procedure, because the next case is planned
    with the same stock; else routine.
    """
    need = used_in(usage)
    if usage.case or usage.procedure:
        return Urgency(tier="urgent", why="used in a procedure", need=need)
    return Urgency(tier="routine", why="used outside a procedure", need=need)


def used_in(usage: UsageEvent) -> ClinicalNeed | None:
    """Return the case of the usage, which travels with what is bought again."""
    if not (usage.case or usage.encounter):
        return None
    return ClinicalNeed(
        case=usage.case or usage.encounter,
        procedure=usage.procedure,
        clinician=usage.clinician,
        encounter=usage.encounter,
    )


def posting_due(usage: UsageEvent, urgency: Urgency, deadlines: Deadlines) -> Deadline:
    """Return by when the consumption is to be posted."""
    lines = f"{len(usage.lines)} lines used at {usage.occurred_at:%Y-%m-%d %H:%M} UTC"
    place = f"stock of {usage.location} in {usage.facility} is overstated"
    return Deadline(
        kind="usage-posting",
        tier=urgency.tier,
        within=deadlines.within(urgency.tier, "usage-posting"),
        affected=urgency.affected(place, lines),
        owner="supply-chain",
        fix="settle what keeps the usage from being posted; count the place before the next case",
    )
