"""What a program and a person can read from a failure, and what nobody may."""

import pytest

from canonical import errors
from canonical.context import PatientContext
from canonical.errors import Failure, UnknownItem

RAISED = sorted(
    (
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Failure) and "slug" in vars(value)
    ),
    key=lambda value: value.__name__,
)


@pytest.mark.parametrize("failure", RAISED, ids=lambda failure: failure.__name__)
def test_whose_fault_it_is_and_its_status_agree(failure: type[Failure]):
    expected = {
        "caller": range(400, 500),
        "business": range(409, 410),
        "upstream": range(502, 505),
        "platform": range(500, 504),
    }
    assert failure.status in expected[failure.source]


@pytest.mark.parametrize("failure", RAISED, ids=lambda failure: failure.__name__)
def test_what_may_be_tried_again_is_never_the_senders_mistake_or_a_business_no(failure):
    if failure.retryable:
        assert failure.source in {"upstream", "platform"} or failure.status == 429


def test_slugs_are_unique():
    assert len({failure.slug for failure in RAISED}) == len(RAISED)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (UnknownItem("no item for gtin 1"), "unknown-item: no item for gtin 1"),
        (
            UnknownItem("no item", where="$.lines[0]", expected="a known code"),
            "unknown-item: no item at $.lines[0]; expected a known code",
        ),
        (
            UnknownItem("no item", expected="a known code"),
            "unknown-item: no item; expected a known code",
        ),
        (UnknownItem("no item", where="FT1-7"), "unknown-item: no item at FT1-7"),
    ],
)
def test_a_failure_reads_as_one_sentence_with_place_and_expectation(
    failure: Failure, sentence: str
):
    assert str(failure) == sentence


def test_the_title_of_a_failure_is_its_slug_in_words():
    assert UnknownItem().title == "Unknown item"


def test_a_patient_context_never_prints_what_it_holds():
    context = PatientContext(patient_id="MRN-INVENTED", patient_name="Testpatient, Invented")
    assert f"{context} {context!r} {[context]}".count("PatientContext(sealed)") == 3
    assert "INVENTED" not in f"{context!r}".upper()
