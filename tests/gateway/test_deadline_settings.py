"""Deadlines are configuration: every one is read, and one that cannot be is refused by its name."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from canonical.deadline import DeadlineKind, Deadlines, Tier
from gateway.config import ConfigurationRefused, load

ROOT = Path(__file__).resolve().parent.parent.parent


def with_deadlines(tmp_path: Path, text: str) -> Path:
    head, _, rest = (ROOT / "gateway.toml").read_text().partition("[deadlines]")
    path = tmp_path / "gateway.toml"
    path.write_text(head + text + "\n[observability]" + rest.partition("[observability]")[2])
    return path


def test_what_is_said_counts_and_what_is_left_out_has_its_default(tmp_path: Path):
    text = '[deadlines]\nsurgery-window = "PT72H"\n[deadlines.urgent]\nshipment = "PT30H"'
    told = load(with_deadlines(tmp_path, text)).deadlines
    assert told.surgery_window == timedelta(hours=72)
    assert told.within("urgent", "shipment") == timedelta(hours=30)
    assert told.within("critical", "shipment") == Deadlines().within("critical", "shipment")


@pytest.mark.parametrize("kind", get_args(DeadlineKind))
def test_every_kind_has_a_setting_and_a_default_in_every_tier(tmp_path: Path, kind: DeadlineKind):
    text = "".join(f'[deadlines.{tier}]\n{kind} = "PT7M"\n' for tier in get_args(Tier))
    told = load(with_deadlines(tmp_path, text)).deadlines
    for tier in get_args(Tier):
        assert told.within(tier, kind) == timedelta(minutes=7)
        assert Deadlines().within(tier, kind) > timedelta(minutes=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[deadlines.urgent]\nshipment = "PT0S"', "shipment is to be longer than nothing"),
        ('[deadlines.urgent]\nshipment = "soon"', "$.deadlines.urgent.shipment"),
        ('[deadlines]\nsurgery-window = "two days"', "$.deadlines.surgery-window"),
        ("[deadlines]\nsoon = true", "unknown field `soon`"),
    ],
)
def test_what_cannot_be_a_deadline_is_refused_with_its_place(tmp_path: Path, text: str, said: str):
    with pytest.raises(ConfigurationRefused) as refused:
        load(with_deadlines(tmp_path, text))
    assert said in str(refused.value)
