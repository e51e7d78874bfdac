import pytest

from diagnosis_zero.behaviour.findings import mentions, supported

WEAKNESS, PROXIMAL, FEVER, ATAXIA = "HP:0001324", "HP:0003701", "HP:0001945", "HP:0001251"
HEPATOMEGALY, ANEMIA, SEIZURE = "HP:0002240", "HP:0001903", "HP:0001250"


@pytest.mark.parametrize(
    ("text", "present", "absent"),
    [
        ("Muscle weakness and fever.", {WEAKNESS, FEVER}, set()),
        ("proximal muscle weakness", {PROXIMAL}, set()),
        ("There was no fever. Ataxia was seen.", {ATAXIA}, {FEVER}),
        ("He denied seizures or fever", set(), {SEIZURE, FEVER}),
        ("anaemia and hepatomegaly", {ANEMIA, HEPATOMEGALY}, set()),
        ("Weak points of the theory", set(), set()),
    ],
)
def test_what_a_text_names(text: str, present: set[str], absent: set[str]) -> None:
    found = mentions(text)
    assert found.present == present
    assert found.absent == absent


def test_a_broader_or_narrower_term_is_supported() -> None:
    assert supported(frozenset({WEAKNESS}), frozenset({PROXIMAL})) == {WEAKNESS}
    assert supported(frozenset({PROXIMAL}), frozenset({WEAKNESS})) == {PROXIMAL}
    assert supported(frozenset({FEVER}), frozenset({PROXIMAL})) == set()
