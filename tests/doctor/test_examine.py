"""The whole examination: a healthy recipe passes, one error does not hide the others, nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import errors
from ward import Ward, complaints, edit_json, of

from diagnosis_zero.doctor import examine, model
from diagnosis_zero.doctor.notes import Note, ok
from diagnosis_zero.errors import InputError


def test_a_healthy_recipe_has_no_complaint(ward: Ward) -> None:
    notes = ward.notes()
    assert complaints(notes) == []
    assert {"recipe", "packages", "folder", "cases", "model", "memory", "reward.gold", "step", "trial.form"} <= {
        note.check for note in notes
    }


def test_it_writes_nothing_where_the_run_will_be(ward: Ward, tmp_path: Path) -> None:
    before = sorted(ward.folder.rglob("*"))
    ward.notes()
    assert sorted(ward.folder.rglob("*")) == before


def test_without_model_and_cases_the_other_checks_still_run(
    ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are told, with what to do; the objective and the reward are examined on stand-ins."""

    def unreachable(self: object, name: str, timeout: float) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(model.HfApi, "model_info", unreachable)
    notes = ward.notes('model.id="nobody/nothing-7B"', 'data.folder="nowhere"', 'train.objective="dapo"')
    (unread,), (unfound,) = of(notes, "cases", "error"), of(notes, "model", "error")
    assert "nowhere" in unread.what
    assert "dz prepare" in unread.mend
    assert "no route to host" in unfound.what
    assert "hf download nobody/nothing-7B" in unfound.mend
    assert ["stand" in note.what for check in ("cases", "model") for note in of(notes, check, "ok")] == [True, True]
    assert {"reward.gold", "reward.drift", "step", "step.resume"} <= {
        note.check for note in notes if note.level == "ok"
    }


@pytest.mark.parametrize(
    ("refusal", "mend"),
    [
        (errors.GatedRepoError, "Accept its terms"),
        (errors.RepositoryNotFoundError, "for a private model log in"),
        (ConnectionError, "hf download"),
    ],
)
def test_why_the_hub_gives_no_model_is_told(
    refusal: type[Exception], mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, name: str, timeout: float) -> None:
        raise refusal.__new__(refusal, "no")

    monkeypatch.setattr(model.HfApi, "model_info", refuse)
    with pytest.raises(InputError) as told:
        model.find("somebody/model-1B")
    assert mend in told.value.mend


@pytest.mark.parametrize("name", ["no/such/folder", "./nowhere", "-"])
def test_a_name_that_cannot_be_of_the_hub_is_not_asked_for(name: str) -> None:
    with pytest.raises(InputError, match="neither a folder here nor a Hugging Face id"):
        model.find(name)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.lrate=1"], "unknown key 'train.lrate'"),
        (["rollout.top_p=0.9"], "unknown key 'rollout.top_p'"),
        (["train.minibatches=3"], "4 prompts do not divide into 3 minibatches"),
        (['prompt.template="shrt"'], "'shrt'"),
    ],
)
def test_a_recipe_that_does_not_read_is_the_only_note(ward: Ward, overrides: list[str], said: str) -> None:
    (note,) = ward.notes(*overrides)
    assert (note.level, note.check) == ("error", "recipe")
    assert said in note.what
    assert note.mend


def test_without_cases_nothing_is_said_of_their_prompts_and_of_the_length_of_the_run(ward: Ward) -> None:
    notes = ward.notes('data.folder="nowhere"', "rollout.max_tokens=24")
    assert of(notes, "memory", "ok")
    assert of(notes, "time", "warning")
    assert not {"batch", "disk", "prompt.length"} & {note.check for note in notes}


def test_a_model_that_the_engine_cannot_train_is_told(ward: Ward, tmp_path: Path) -> None:
    ill = ward.model_like(tmp_path / "model")
    edit_json(ill / "config.json", attention_dropout=0.1)
    (note,) = of(ward.notes(f'model.id="{ill}"'), "model", "error")
    assert "attention dropout" in note.what


def test_a_failure_within_a_check_is_an_error_and_no_crash() -> None:
    def notes() -> Iterator[Note]:
        yield ok("step", "so far")
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nand a page more")

    first, last = examine._guarded("step", notes())
    assert first.level == "ok"
    assert (last.level, last.check) == ("error", "step")
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in last.what
    assert "a page more" not in last.what


def test_a_recipe_with_an_adapter_and_8_bit_moments_is_stepped_saved_and_resumed(ward: Ward) -> None:
    notes = ward.notes("lora.rank=4", "train.optimizer=adamw8bit", "train.lr=1e-5")
    assert [note for note in notes if note.level == "error"] == []
    assert [note.level for note in notes if note.check == "step.resume"] == ["ok"]
