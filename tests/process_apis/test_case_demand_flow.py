"""A case needs its items on the hospital's day, not on the day of UTC."""

from datetime import UTC, date, datetime
from functools import partial

import msgspec
import pytest

from canonical.case import SurgicalCase
from process_apis.case_demand.flow import case_demand
from process_apis.case_demand.rules import CancellationPolicy, CaseReadiness
from tests.ledger.outside import ended
from tests.process_apis.conftest import Floor


@pytest.mark.parametrize(
    ("scheduled_at", "day"),
    [
        (datetime(2026, 12, 1, 4, 59, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 12, 1, 5, 0, tzinfo=UTC), date(2026, 12, 1)),
    ],
)
async def test_a_case_is_reserved_for_on_its_day_at_the_hospital(
    floor: Floor, scheduled_at: datetime, day: date
):
    run = partial(case_demand, records=floor.records, stock=floor.erp, policy=CancellationPolicy())
    floor.run("case-demand", "case-scheduled", SurgicalCase, run)
    case = SurgicalCase(
        facility="1710",
        location="OR01",
        procedure="27447",
        scheduled_at=scheduled_at,
        case="case-pseudonym",
    )
    await floor.announce("case-scheduled", case, "case")
    await ended(floor.ledger)
    [outcome] = await floor.outcomes()
    ready = msgspec.json.decode(outcome, type=CaseReadiness)
    assert ready.reservation is not None
    assert ready.reservation.needed_on == day
