"""A run, trained and evaluated for real on a toy model, exported: other programs read it, the card says what was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from benchmarks.toy_runs import taught_policy, toy_recipe, write_inputs
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from diagnosis_zero import experiment, records
from diagnosis_zero.cli import export
from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import load_tokenizer
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.compare import compare
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.report.card import without_folders
from diagnosis_zero.report.tables import write_cell
from diagnosis_zero.train import checkpoint
from diagnosis_zero.types import Answer, Case

app = typer.Typer()
app.callback()(lambda: None)
export.register(app)


def run_command(*words: object) -> str:
    done = CliRunner().invoke(app, ["export", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = tmp_path_factory.mktemp("private-ward")
    write_inputs(inputs, taught_policy())
    overrides = ("train.steps=4", "checkpoint.every=2", "eval.every=2", "eval.samples=2")
    recipe = toy_recipe(inputs, tmp_path_factory.mktemp("runs"), *overrides)
    experiment.run(recipe)
    return recipe.run.folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "model"
    assert run_command(run, "--out", out, "--step", "last") == f"{out}\n"
    return out


@pytest.fixture(scope="module")
def card(exported: Path) -> str:
    return (exported / "README.md").read_text(encoding="utf-8")


def evaluation(run: Path, suffix: str = "") -> Path:
    return experiment.evaluation_folder(run, 4, suffix)


def cells(text: str) -> Iterator[list[str]]:
    """The rows of every table of a Markdown text, as they are read."""
    row: list[str] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            row = []
        elif token.type == "inline" and token.level == 4:
            row.append("".join(child.content for child in token.children or ()))
        elif token.type == "tr_close":
            yield row


def test_the_folder_holds_all_that_a_hub_wants_and_no_more(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "prompt.txt",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


def test_transformers_alone_reads_the_same_tokens_and_computes_the_same_logits(run: Path, exported: Path) -> None:
    tokenizer, own = AutoTokenizer.from_pretrained(exported), load_tokenizer(checkpoint.folder(run, 4), False)
    model = AutoModelForCausalLM.from_pretrained(exported, dtype="auto").eval()
    trained = AutoModelForCausalLM.from_pretrained(checkpoint.folder(run, 4), dtype="auto").eval()
    for case in records.read_jsonl(run / "evaluations" / "cases.jsonl", Case):
        chat = [{"role": "user", "content": (exported / "prompt.txt").read_text().replace("{case}", case.text)}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert ids == encode_chat(own, chat)
        with torch.inference_mode():
            found, wanted = (one(input_ids=torch.tensor([ids])).logits for one in (model, trained))
        assert torch.allclose(found, wanted, atol=1e-5)


def test_decoding_it_gives_the_greedy_answers_of_the_evaluation(run: Path, exported: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported)
    model = AutoModelForCausalLM.from_pretrained(exported, dtype="auto").eval()
    texts = {case.id: case.text for case in records.read_jsonl(run / "evaluations" / "cases.jsonl", Case)}
    for answer in list(records.read_jsonl(evaluation(run) / "answers.jsonl", Answer))[:4]:
        prompt = (exported / "prompt.txt").read_text().replace("{case}", texts[answer.case_id])
        chat = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        said = model.generate(**ids)[0, ids["input_ids"].shape[1] :]
        assert tokenizer.decode(said, skip_special_tokens=True) == answer.text


def test_the_plain_checkpoint_would_have_been_read_with_other_tokens(run: Path) -> None:
    """Negative control: what the change of the model's family is for."""
    folder = checkpoint.folder(run, 4)
    text = "born 1989, 12.5 mg"
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] != load_tokenizer(folder, False)(text)["input_ids"]


def test_older_readers_find_the_rope_and_the_tokenizer_by_the_names_they_know(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert json.loads((exported / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_the_cards_figures_are_those_of_the_runs_summaries(run: Path, card: str) -> None:
    rows = {row[0]: row[1:] for row in cells(card)}
    greedy, sampled = (records.read_json(evaluation(run, end) / "summary.json") for end in ("", experiment.SAMPLED))
    for label, key in (
        ("Same disease", "accuracy"),
        ("Same disease or an accepted broader one", "total"),
        ("Same disease, mean over the samples", "mean_at_n"),
        ("Same disease, majority of the samples", "majority"),
    ):
        both = [Estimate(**one[key]) if one[key] else None for one in (greedy, sampled)]
        assert rows[label] == [write_cell(one, "percent") for one in both]
    assert rows["Answers in complete form"] == [write_cell(one["well_formed"], "percent") for one in (greedy, sampled)]
    found = compare(experiment.evaluation_folder(run, 0), evaluation(run), leaking=False)
    assert (
        f"{100 * found.difference:+.1f} points (95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}" in card
    )


def test_the_hub_reads_the_cards_head(run: Path, card: str) -> None:
    data: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    assert data["license"] == "other"
    assert "base_model" not in data  # a private folder
    found = {metric["name"]: metric["value"] for metric in data["model-index"][0]["results"][0]["metrics"]}
    summary = records.read_json(evaluation(run) / "summary.json")
    assert found["Same disease (greedy)"] == summary["accuracy"]["value"]
    read = ModelCard(card).data
    assert read.eval_results is not None
    assert len(read.eval_results) == len(found)


def test_no_word_of_a_case_and_no_folders_name_stands_in_the_card(run: Path, card: str) -> None:
    recipe = (run / "config.toml").read_text()
    assert "private-ward" in recipe
    assert "private-ward" not in card
    assert str(run.parent) not in card
    for case in records.read_jsonl(run / "evaluations" / "cases.jsonl", Case):
        assert case.text not in card
        assert case.id not in card
    for answer in records.read_jsonl(evaluation(run) / "answers.jsonl", Answer):
        assert answer.text not in card


def test_of_a_recipe_paths_and_the_datas_folder_are_not_shown() -> None:
    recipe = {
        "model": {"id": "/home/ward7/weights"},
        "data": {"folder": "ward7"},
        "reward": {"catalogue": "../ward7/x.sqlite", "method": "ontology"},
        "verl": {"logger": ["console", "C:\\ward7"]},
        "run": {"name": "one", "dir": "ward7"},
    }
    shown = without_folders(recipe)
    assert "ward7" not in json.dumps(shown)
    assert shown["reward"]["method"] == "ontology"
    assert shown["run"] == {"name": "one"}
    assert without_folders({"model": {"id": "Qwen/Qwen2.5-3B-Instruct"}}) == {
        "model": {"id": "Qwen/Qwen2.5-3B-Instruct"}
    }


def test_a_run_without_evaluations_is_exported_with_the_recipes_prompt(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "evaluations")
    run_command(copy, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "prompt.txt").read_text() == SHORT
    assert "Not analysed." in (tmp_path / "out" / "README.md").read_text()


def test_the_card_says_what_it_is_for_and_under_which_licences(card: str) -> None:
    for part in (
        "For research only",
        "## Limits",
        "## Licences",
        'Cases of "made": no licence was stated',
        "Base model",
    ):
        assert part in card


def test_a_stated_licence_stands_in_the_card(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    records.write_json(copy / "data" / "manifest.json", {"licences": {"made": "Free for research (ward 7)."}})
    text = (copy / "config.toml").read_text().splitlines()
    (copy / "config.toml").write_text("\n".join(line for line in text if not line.startswith("folder")))
    run_command(copy, "--out", tmp_path / "out")
    assert "Free for research (ward 7)." in (tmp_path / "out" / "README.md").read_text()


def test_the_best_step_is_that_of_the_highest_validation_accuracy(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    rows = [{"step": step, "kind": "val", "val/accuracy": value} for step, value in ((0, 0.2), (2, 0.9), (4, 0.5))]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_command(copy, "--out", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "toy, step 2" in text
    assert "This step was not evaluated on held-out cases." in text
    assert (tmp_path / "out" / "prompt.txt").read_text() == SHORT
    assert "model-index" not in text


def test_where_the_untrained_model_is_best_it_is_said(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    (copy / "metrics.jsonl").write_text('{"step": 0, "kind": "val", "val/accuracy": 0.5}\n')
    done = CliRunner().invoke(app, ["export", str(copy), "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.stdout == f"{tmp_path / 'out'}\n"
    assert "step 0, before training" in done.stderr


def test_hostile_names_and_settings_stay_text(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "[x](javascript:1) <img src=x onerror=alert(1)> | $y$"
    shutil.copytree(run, copy)
    recipe = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(recipe + '\n[extra]\nnote = "```\\n# out <script>alert(1)</script>"\n')
    records.write_json(copy / "manifest.json", {"git": "<script>alert(2)</script>", "seed": 1})
    run_command(copy, "--out", tmp_path / "out", "--step", 4)
    text = (tmp_path / "out" / "README.md").read_text()
    yaml.safe_load(text.split("---\n")[1])
    body = text.split("---\n", 2)[2]
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(body):
        assert token.type != "html_block"
        assert {child.type for child in token.children or ()} <= {
            *("text", "text_special", "softbreak", "strong_open", "strong_close", "code_inline"),
        }
    assert body.count("\n# ") == 1 + body.count("\\n# ")


@pytest.mark.parametrize("step", ["7", "first", "-1"])
def test_a_step_that_is_not_there_names_those_that_are(run: Path, tmp_path: Path, step: str) -> None:
    with pytest.raises(InputError, match="one of 0, 2, 4"):
        run_command(run, "--out", tmp_path / "out", f"--step={step}")
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_not_exported(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    weights = checkpoint.folder(copy, 4) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(InputError, match="not as it was written"):
        run_command(copy, "--out", tmp_path / "out", "--step", 4)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_what_is_there_is_never_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is there already"):
        run_command(run, "--out", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
