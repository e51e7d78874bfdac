"""What verl writes, turned into a run folder: by made-up files in verl's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from diagnosis_zero import prompts
from diagnosis_zero.cases.export import verl_row
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.records import write_json
from diagnosis_zero.rewards import build_reward
from diagnosis_zero.scale import run_folder
from diagnosis_zero.scale.run_folder import Translation, by_truth, cut_after, saved_step, translate, unmerged
from diagnosis_zero.train.metrics import MetricsLog
from diagnosis_zero.types import Case

CASES = [
    Case("a", "made", "1", "Patient 1 has a rash.", ("Lupus",)),
    Case("b", "made", "2", "Patient 2 has a rash.", ("Lupus",)),  # the same truth, another text
    Case("c", "made", "3", "Patient 3 limps.", ("Gout",)),
]
RIGHT = "<think>it is clear</think>\n<answer>Lupus</answer>"
WRONG = "<think>it is clear</think>\n<answer>Cholera</answer>"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Translation]:
    """Two prompts of two completions a step; a token is a character."""
    with MetricsLog(tmp_path) as log:
        yield Translation(
            folder=tmp_path,
            source=tmp_path / "verl",
            metrics=tmp_path / "verl" / "metrics-from-000000.jsonl",
            log=log,
            cases=by_truth(CASES),
            reward=build_reward(method="sequence", weights={"format": 0.0}),
            encode=lambda text: [ord(letter) for letter in text],
            end=0,
            prompt=lambda case: prompts.fill(SHORT, case.text),
            completions=4,
            max_tokens=200,
            normalise="std",
            think_opened=False,
        )


def said(state: Translation, step: int, *, trained: bool = True, whole: bool = True, **metrics: float) -> None:
    """verl's line of a step."""
    data = {**metrics, **({"training/global_step": step} if trained else {"val-core/made/acc/mean@1": 0.0})}
    line = json.dumps({"step": step, "data": data}) + "\n"
    state.metrics.parent.mkdir(parents=True, exist_ok=True)
    with state.metrics.open("a") as file:
        file.write(line if whole else line[:9])


def dumped(state: Translation, kind: str, step: int, rows: list[tuple[Case, str, str, float]]) -> None:
    path = state.source / kind / f"{step}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for case, uid, text, score in rows:
            row = verl_row(case, 0, SHORT)
            shown = f"user\n{row['prompt'][0]['content']}\nassistant\n"
            fields = {"input": shown, "output": text, "gts": row["reward_model"]["ground_truth"]}
            file.write(json.dumps({**fields, "score": score, "step": step, "uid": uid}) + "\n")


def step_of(state: Translation, step: int, **metrics: float) -> None:
    one = [(CASES[1], "g1_0_0", RIGHT, 1.0), (CASES[1], "g1_1_0", WRONG, 0.0)]
    two = [(CASES[2], "g2_0_0", WRONG, 0.0), (CASES[2], "g2_1_0", WRONG, 0.0)]
    dumped(state, "rollouts", step, [*one, *two])
    said(state, step, **metrics)


def test_a_step_becomes_a_row_and_a_rollout_file(state: Translation) -> None:
    step_of(state, 1, **{"actor/grad_norm": 0.5, "actor/lr": 1e-6, "timing_s/step": 3.0, "perf/mfu/actor": 0.4})
    assert translate(state, ended=False) == [1]
    (row,) = state.log.rows
    assert row["reward/accuracy"] == 0.25
    assert row["reward/mean"] == pytest.approx(0.25)
    assert row["groups/zero_variance"] == 0.5
    assert row["length/mean"] == pytest.approx((len(RIGHT) + 3 * len(WRONG)) / 4 + 1)  # and the token of the end
    assert (row["policy/grad_norm"], row["policy/lr"], row["time/step"], row["policy/skipped"]) == (0.5, 1e-6, 3.0, 0.0)
    assert not [key for key in row if key.startswith("perf")]
    rows = pq.read_table(state.folder / "rollouts" / "step-000001.parquet").to_pylist()
    assert [r["case_id"] for r in rows] == ["b", "b", "c", "c"]
    # Two rewards 1 and 0: mean 1/2, deviation sqrt(1/2), so +-0.7071; the other group has no variance.
    assert [r["advantage"] for r in rows] == pytest.approx([0.7071, -0.7071, 0.0, 0.0], abs=1e-4)
    assert translate(state, ended=True) == []  # once


def test_a_step_waits_until_its_rollouts_are_whole(state: Translation) -> None:
    dumped(state, "rollouts", 1, [(CASES[1], "g1_0_0", RIGHT, 1.0)])
    said(state, 1)
    assert translate(state, ended=False) == []
    dumped(state, "rollouts", 1, [(CASES[1], "g1_1_0", WRONG, 0.0)] * 3)
    assert translate(state, ended=False) == [1]


def test_a_step_short_of_completions_is_taken_when_the_next_is_there(state: Translation) -> None:
    dumped(state, "rollouts", 1, [(CASES[1], "g1_0_0", RIGHT, 1.0)])
    said(state, 1)
    step_of(state, 2)
    assert translate(state, ended=False) == [1, 2]


def test_torn_lines_wait_and_are_lost_at_the_end(state: Translation) -> None:
    step_of(state, 1)
    said(state, 2, whole=False)
    with (state.source / "rollouts" / "1.jsonl").open("a") as file:
        file.write('{"input": "torn')
    assert translate(state, ended=True) == [1]


def test_validation_before_and_within_training(state: Translation) -> None:
    dumped(state, "validation", 0, [(CASES[0], "v1_0_0", RIGHT, 1.0), (CASES[2], "v2_0_0", WRONG, 0.0)])
    said(state, 0, trained=False)
    dumped(state, "validation", 1, [(CASES[0], "v1_0_0", RIGHT, 1.0)])
    step_of(state, 1)
    assert translate(state, ended=True) == [1]
    assert [(r["step"], r["kind"], r.get("val/accuracy")) for r in state.log.rows] == [
        (0, "val", 0.5),
        (1, "train", None),
        (1, "val", 1.0),
    ]


def test_what_is_known_is_not_written_again(state: Translation) -> None:
    step_of(state, 1)
    translate(state, ended=True)
    state.seen = 0
    assert translate(state, ended=True) == []
    assert len(state.log.rows) == 1


def test_a_score_that_is_not_ours_is_told(state: Translation) -> None:
    """Negative control: another reward in verl's workers."""
    dumped(state, "rollouts", 1, [(CASES[1], "g1_0_0", RIGHT, 0.3), (CASES[1], "g1_1_0", WRONG, 0.0)])
    said(state, 1)
    translate(state, ended=True)
    (event,) = [row for row in state.log.rows if row["kind"] == "event"]
    assert event["event"] == "reward_differs"
    assert "1 of 2 scores" in event["message"]


def test_a_gradient_that_is_not_finite_is_a_skipped_update(state: Translation) -> None:
    step_of(state, 1, **{"actor/grad_norm": float("inf")})
    translate(state, ended=True)
    assert state.log.rows[0]["policy/skipped"] == 1.0


def test_a_cut_completion(state: Translation) -> None:
    state.max_tokens = 10
    dumped(state, "rollouts", 1, [(CASES[1], "g1_0_0", "<think>abc", 0.0)])
    said(state, 1)
    translate(state, ended=True)
    (row,) = pq.read_table(state.folder / "rollouts" / "step-000001.parquet").to_pylist()
    assert (row["finish"], row["tokens"]) == ("length", 10)


def test_unicode_that_the_tokenizer_normalised_still_finds_its_case(state: Translation) -> None:
    decomposed = Case("d", "made", "4", "Behc\u0327et: ulcers.", ("Lupus",))
    state.cases = by_truth([*CASES, decomposed])
    row: dict[str, Any] = {"gts": verl_row(decomposed, 0, SHORT)["reward_model"]["ground_truth"]}
    row["input"] = "user\n" + prompts.fill(SHORT, "Beh\u00e7et: ulcers.") + "\nassistant\n"
    assert run_folder._case(state, row).id == "d"


# --- checkpoints


def test_only_what_verl_finished_is_merged_and_only_once(tmp_path: Path) -> None:
    source = tmp_path / "verl"
    assert saved_step(source) is None
    assert unmerged(tmp_path, source) == []
    for step in (2, 4, 6):
        (source / "checkpoints" / f"global_step_{step}").mkdir(parents=True)
    (source / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("4")  # 6 was being written
    (tmp_path / "checkpoints" / "step-000002").mkdir(parents=True)
    assert saved_step(source) == 4
    assert unmerged(tmp_path, source) == [4]


def test_the_adapter_beside_merged_weights_is_put_into_them(tmp_path: Path) -> None:
    """As verl's merger leaves it: the weights of the beginning, and a folder of peft's. W + alpha / rank B A."""
    shape = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=20, num_key_value_heads=1, **shape)).save_pretrained(tmp_path)
    before = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    name = "model.layers.0.self_attn.q_proj"
    a, b = torch.randn(3, 8), torch.randn(8, 3)
    (tmp_path / "lora_adapter").mkdir()
    config = {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj"], "peft_type": "LORA"}
    write_json(tmp_path / "lora_adapter" / "adapter_config.json", config)
    tensors = {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
    save_file(tensors, tmp_path / "lora_adapter" / "adapter_model.safetensors")

    run_folder._put_in_adapter(tmp_path)
    after = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    expected = {**before, f"{name}.weight": before[f"{name}.weight"] + 2 * b @ a}
    for key, value in expected.items():
        torch.testing.assert_close(after[key], value)
    assert not (tmp_path / "lora_adapter").exists()


def test_a_resume_takes_away_later_dumps(tmp_path: Path) -> None:
    for kind in ("rollouts", "validation"):
        (tmp_path / kind).mkdir()
        for step in (3, 4, 5):
            (tmp_path / kind / f"{step}.jsonl").touch()
    cut_after(tmp_path, 4)
    assert sorted(path.stem for path in tmp_path.rglob("*.jsonl")) == ["3", "3", "4", "4"]
