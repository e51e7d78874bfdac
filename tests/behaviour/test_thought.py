import pytest

from diagnosis_zero.behaviour.thought import changes, copied, diseases, features, names
from diagnosis_zero.types import Answer, Case, Finding

TEXT = (
    "A 34-year-old man had recurrent burning pain of the hands and feet since childhood. Examination showed "
    "angiokeratoma and hypohidrosis. Urine showed proteinuria. There was no fever."
)
CASE = Case("c1", "test", "c1", TEXT, ("Fabry disease",))


def measure(think: str | None, said: str | None = "Fabry disease", case: Case | None = CASE) -> dict[str, float]:
    return dict(features(Answer("c1", "m", 0, 0, "", think, said, (), "stop", 9, ("Fabry disease",)), case))


def test_no_reasoning_and_empty_reasoning_are_told_apart() -> None:
    assert measure(None) == {"thought/words": 0.0, "thought/absent": 1.0}
    assert measure(" . ") == {"thought/words": 0.0, "thought/empty": 1.0}


def test_short_reasoning() -> None:
    assert "thought/short" in measure("It is Fabry disease.")
    assert "thought/short" not in measure("It is Fabry disease, for the skin and the kidney both fit it well.")


def test_reasoning_copied_from_the_case_is_parroted() -> None:
    found = measure(TEXT)
    assert found["thought/copied"] == 1.0
    assert "thought/parroted" in found


def test_quoting_one_finding_is_not_parroting() -> None:
    own = "Pain in the extremities that began early, together with skin lesions, makes me think of a storage disorder."
    found = measure(f"{own} Urine showed proteinuria. So Fabry disease.")
    assert "thought/parroted" not in found


def test_copied_by_hand() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "x", "y", "z"]
    assert copied(words, "zero one two three four five six seven eight") == 0.7
    assert copied(words, "one two three four five") == 0.0


@pytest.mark.parametrize(
    ("think", "answer"),
    [
        ("This fits Fabry disease.", "Fabry disease"),
        ("Fabry's disease is likely", "Fabry disease"),
        ("a form of Gaucher", "Gaucher disease type 1"),
        ("He may have ALS.", "Amyotrophic lateral sclerosis"),
        ("a muscular dystrophy of the Duchenne kind", "Duchenne muscular dystrophy"),
        ("Sjögren syndrome", "Sjogren's syndrome"),
    ],
)
def test_the_answer_follows_where_its_name_stands_in_the_reasoning(think: str, answer: str) -> None:
    assert names(think, answer)


@pytest.mark.parametrize(
    ("think", "answer"),
    [
        ("The kidney is affected.", "Fabry disease"),
        ("This disease is rare.", "Fabry disease"),
        ("It fits Becker muscular dystrophy.", "Duchenne muscular dystrophy"),
        ("", "Fabry disease"),
        ("anything", "?"),
    ],
)
def test_the_answer_does_not_follow(think: str, answer: str) -> None:
    assert not names(think, answer)


def test_diseases_named_in_the_reasoning() -> None:
    think = "Fabry's disease, sarcoidosis or Von Hippel-Lindau disease? The disease is rare. Not Fabry disease again."
    assert [name for _, name in diseases(think)] == [
        "fabry disease",
        "sarcoidosis",
        "von hippel-lindau disease",
        "fabry disease",
    ]


def test_findings_are_not_diseases() -> None:
    assert diseases("Ectopia lentis, proteinuria and cataract were found.") == []


@pytest.mark.parametrize(
    ("think", "count"),
    [
        ("The most likely diagnosis is Fabry disease. This suggests Fabry disease.", 0),
        ("This suggests Fabry disease. But the most likely diagnosis is Alport syndrome.", 1),
        ("It suggests Fabry disease. It suggests Alport syndrome. It suggests Fabry disease.", 2),
        ("Fabry disease and Alport syndrome are both possible.", 0),
    ],
)
def test_changes_of_mind(think: str, count: int) -> None:
    assert changes(think, diseases(think)) == count


def test_words_of_self_correction() -> None:
    assert measure("Wait, that is wrong. Actually it is Fabry disease.")["thought/corrections"] == 3.0
    assert measure("The waiting time was long; Fabry disease.")["thought/corrections"] == 0.0


def test_cited_and_invented_findings() -> None:
    coded = Case("c", "t", "c", "Text.", ("X",), findings=(Finding("HP:0001324", "Muscle weakness"),
                                                           Finding("HP:0002240", "Hepatomegaly")))  # fmt: skip
    found = measure("Hepatomegaly and ataxia were present.", case=coded)
    assert found["thought/cited"] == 0.5
    assert found["thought/invented"] == 1.0


def test_a_finding_said_to_be_absent_is_not_invented() -> None:
    assert measure("There is no ataxia and no seizure.")["thought/invented"] == 0.0


def test_without_a_case_nothing_is_said_about_its_use() -> None:
    assert "thought/cited" not in measure("Ataxia.", case=None)
