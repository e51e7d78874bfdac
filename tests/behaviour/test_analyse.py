import dataclasses
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


def test_a_folder_without_evaluations_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evaluation"):
        analyse(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        analyse(tmp_path / "absent")
