from diagnosis_zero.behaviour.organs import ONE_ORGAN, SYSTEMIC, extent_of, system_of


def test_a_disease_of_one_organ() -> None:
    assert system_of(("OMIM:601419",)) is not None
    assert extent_of(("OMIM:204000",)) == ONE_ORGAN  # Leber congenital amaurosis 1
    assert system_of(("OMIM:204000",)) == "eye"


def test_a_systemic_disease() -> None:
    assert extent_of(("ORPHA:558",)) == SYSTEMIC  # Marfan syndrome


def test_a_disease_that_nobody_annotated() -> None:
    assert extent_of(("ORPHA:0",)) is None
    assert system_of(()) is None


def test_the_first_identifier_that_is_known_decides() -> None:
    assert system_of(("ORPHA:0", "OMIM:204000")) == "eye"
