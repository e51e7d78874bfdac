import dataclasses
import tracemalloc
from pathlib import Path

import pytest

from diagnosis_zero import records
from diagnosis_zero.behaviour.analyse import Prompt, analyse, features
from diagnosis_zero.errors import InputError
from diagnosis_zero.prompts import DIAGNOSIS, SHORT, TOP5
from diagnosis_zero.types import Answer, Behaviour, Case

CASE = Case("c1", "test", "c1", "A man with angiokeratoma and proteinuria. No fever.", ("Fabry disease",))
PROMPT = Prompt.of(DIAGNOSIS)


def answer(text: str = "", *, think: str | None = "Skin and kidney.", said: str | None = "Fabry disease") -> Answer:
    return Answer("c1", "m", 0, 0, text, think, said, (), "stop", 9, ("Fabry disease",))


def test_the_examples_answer_is_read_from_the_template() -> None:
    assert PROMPT.example == Prompt.of(TOP5.replace("1. ", "")).example == "cold common"
    assert Prompt.of(SHORT).example == ""


def test_giving_the_prompts_example_as_answer_is_noticed() -> None:
    assert features(answer(said="common  cold."), CASE, PROMPT)["answer/example"] == 1.0
    assert "answer/example" not in features(answer(), CASE, PROMPT)
    assert "answer/example" not in features(answer(said=None), CASE, PROMPT)


def test_an_answer_that_never_came_has_no_features() -> None:
    failed = dataclasses.replace(answer(), error="timed out")
    assert features(failed, CASE, PROMPT) == {}


def write(folder: Path, answers: list[Answer]) -> None:
    records.write_jsonl(folder / "answers.jsonl", answers)


def test_behaviours_are_written_beside_the_answers_in_their_order(tmp_path: Path) -> None:
    run = tmp_path / "run"
    records.write_jsonl(run / "evaluations" / "cases.jsonl", [CASE])
    write(run / "evaluations" / "step-000000", [answer("x 发热"), dataclasses.replace(answer("y"), sample=1)])
    write(run / "evaluations" / "step-000010", [dataclasses.replace(answer("z"), step=10)])
    files = analyse(run)
    assert [file.parent.name for file in files] == ["step-000000", "step-000010"]
    first = list(records.read_jsonl(files[0], Behaviour))
    assert [(b.case_id, b.sample, b.step) for b in first] == [("c1", 0, 0), ("c1", 1, 0)]
    assert first[0].features["language/mixed"] == 1.0
    assert "language/mixed" not in first[1].features
    assert first[1].features["thought/invented"] == 0.0


def test_one_evaluation_folder_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "evaluation", [answer("x")])
    assert analyse(tmp_path / "evaluation") == [tmp_path / "evaluation" / "behaviours.jsonl"]


def test_two_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diagnosis_zero.behaviour.analyse.PARALLEL_FROM", 1)
    monkeypatch.setattr("diagnosis_zero.behaviour.analyse.CASES_AT_ONCE", 3)
    folder = tmp_path / "evaluation"
    write(folder, [dataclasses.replace(answer(f"text {n}"), case_id=f"c{n}") for n in range(10)])
    seen: list[tuple[int, int]] = []
    analyse(folder, workers=2, progress=lambda done, total: seen.append((done, total)))
    parallel = (folder / "behaviours.jsonl").read_bytes()
    analyse(folder, workers=1)
    assert (folder / "behaviours.jsonl").read_bytes() == parallel
    assert seen[-1] == (10, 10)


def many(folder: Path, cases: int, samples: int = 1) -> list[Case]:
    made = [dataclasses.replace(CASE, id=f"c{n}", text=f"{CASE.text} " + "word " * 400) for n in range(cases)]
    records.write_jsonl(folder / "cases.jsonl", made)
    write(folder / "step-0", [
        dataclasses.replace(answer("y"), case_id=case.id, sample=s) for case in made for s in range(samples)
    ])  # fmt: skip
    return made


@pytest.mark.parametrize("order", ["of the cases", "backwards", "samples apart", "with cases that are not known"])
def test_the_order_of_the_answers_changes_no_feature(tmp_path: Path, order: str) -> None:
    made = many(tmp_path / "evaluations", 7, samples=2)
    folder = tmp_path / "evaluations" / "step-0"
    asked = list(records.read_jsonl(folder / "answers.jsonl", Answer))
    alone = {(a.case_id, a.sample): features(a, made[int(a.case_id[1:])], Prompt.of(DIAGNOSIS)) for a in asked}
    if order == "backwards":
        asked.reverse()
    if order == "samples apart":
        asked.sort(key=lambda one: one.sample)
    if order == "with cases that are not known":
        stranger = dataclasses.replace(asked[0], case_id="stranger")
        asked.insert(3, stranger)
        alone["stranger", 0] = features(stranger, None, Prompt.of(DIAGNOSIS))
    write(folder, asked)
    analyse(tmp_path)
    found = list(records.read_jsonl(folder / "behaviours.jsonl", Behaviour))
    assert len(found) == len(asked)
    assert {(b.case_id, b.sample): b.features for b in found} == alone


def test_memory_does_not_grow_with_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six times the cases and answers cost less than a fifth of their bytes more."""
    monkeypatch.setattr("diagnosis_zero.behaviour.analyse.CASES_AT_ONCE", 20)

    def peak(cases: int) -> tuple[int, int]:
        folder = tmp_path / str(cases) / "evaluations"
        many(folder, cases)
        size = sum(file.stat().st_size for file in (folder / "cases.jsonl", folder / "step-0" / "answers.jsonl"))
        tracemalloc.start()
        analyse(tmp_path / str(cases))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, size

    peak(300)  # fills the caches, which are bounded
    (small, few), (large, many_bytes) = peak(300), peak(1800)
    assert large - small < (many_bytes - few) / 5


def test_a_folder_without_evaluations_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evaluation"):
        analyse(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        analyse(tmp_path / "absent")
