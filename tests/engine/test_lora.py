"""The adapter in the engine: exact gradients, the packed decoder with it, the model without it, its files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES
from test_parity import groups, pair, reference_loss, shared_loss, token_weights
from transformers import AutoModelForCausalLM

from diagnosis_zero.engine import decoder, lora
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.generate import generate
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import _hidden, head_weight, row_logprobs
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import SamplingParams

EVERY = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SOME = ("q_proj", "v_proj", "down_proj")


def adapted(model: Any, targets: tuple[str, ...] = EVERY, strength: float = 0.2) -> Any:
    """With an adapter that has learnt something: B is zero no more."""
    lora.adapt(model, rank=4, alpha=8.0, targets=targets, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * strength)
    return model


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    """Every token's, by one packed row of the engine."""
    row = pack([([ids[0]], [[*ids[1:], 0]])], 4096)[0]
    with torch.no_grad():
        return _hidden(model, row) @ head_weight(model).T


@pytest.fixture
def own(policy: Policy) -> Policy:
    """A copy that may be changed."""
    return Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.name)


@pytest.mark.parametrize("targets", [EVERY, SOME])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_the_adapter_equal_the_repeated_prompt(family: str, targets: tuple[str, ...]) -> None:
    reference, shared = pair(family)
    reference, shared = adapted(reference, targets), adapted(shared, targets)
    data = groups()
    weights = token_weights(data)
    expected = reference_loss(reference, data, weights, temperature=0.7)
    got = shared_loss(shared, data, weights, 60, temperature=0.7)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    pairs = [(a, b) for a, b in zip(reference.parameters(), shared.parameters(), strict=True) if a.requires_grad]
    assert len(pairs) == 2 * 3 * len(targets)  # A and B, three layers
    whole = torch.stack([a.grad.norm() for a, _ in pairs]).norm()
    assert max(float((a.grad - b.grad).norm() / max(a.grad.norm(), 1e-6 * whole)) for a, b in pairs) < 1e-5


def test_the_models_own_weights_get_no_gradients() -> None:
    _, shared = pair("qwen2")
    shared = adapted(shared)
    data = groups()
    shared_loss(shared, data, token_weights(data), 60)
    assert {("lora_" in name) for name, p in shared.named_parameters() if p.grad is not None} == {True}
    assert {("lora_" in name) for name, p in shared.named_parameters() if p.requires_grad} == {True}


def test_a_fresh_adapter_changes_nothing(own: Policy, prompts: list[list[int]]) -> None:
    before = logits(own.model, prompts[1])
    lora.adapt(own.model, rank=4, alpha=8.0, targets=EVERY, seed=1)
    assert torch.equal(logits(own.model, prompts[1]), before)


def test_switched_off_it_is_the_model_of_before_and_switched_on_again_it_learns(
    own: Policy, prompts: list[list[int]]
) -> None:
    before = logits(own.model, prompts[1])
    model = adapted(own.model)
    with_it = logits(model, prompts[1])
    assert torch.equal(logits(lora.WithoutAdapter(model), prompts[1]), before)
    assert torch.equal(logits(model, prompts[1]), with_it)
    assert not torch.allclose(with_it, before, atol=1e-2)
    assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())


def gap(policy: Policy, prompts: list[list[int]]) -> float:
    """Largest difference between the logprobs of the packed decoder and the trainer's."""
    assert type(decoder.decoder(policy.model, 8)) is decoder._PackedDecoder
    written = generate(policy, prompts, 4, SamplingParams(max_tokens=20, temperature=0.9, seed=4))
    data = [(ids, [list(c.token_ids) for c in group]) for ids, group in zip(prompts, written, strict=True)]
    gaps = []
    with torch.no_grad():
        for row in pack(data, 4096):
            trainer = row_logprobs(policy.model, row, 0.9)[0].split(row.lengths)
            sampled = [torch.tensor(written[g][c].logprobs) for g, c in row.members]
            gaps += [float((a - b).abs().max()) for a, b in zip(trainer, sampled, strict=True)]
    return max(gaps)


@pytest.mark.parametrize("targets", [EVERY, SOME])
def test_the_packed_decoder_samples_with_the_adapter(
    own: Policy, prompts: list[list[int]], targets: tuple[str, ...]
) -> None:
    adapted(own.model, targets)
    assert gap(own, prompts) < 1e-4


def test_a_decoder_that_forgot_the_adapter_would_be_noticed(
    own: Policy, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of the above."""
    adapted(own.model)
    monkeypatch.setattr(lora, "weight_of", lambda projection: projection.weight)
    assert gap(own, prompts) > 1e-2


def test_it_has_the_models_number_format() -> None:
    model = adapted(models.prepare(FAMILIES["qwen2"]().to(torch.bfloat16)))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def saved(own: Policy, folder: Path) -> Path:
    """A run's two folders: step 0 whole, step 4 the adapter."""
    base, step = folder / "step-000000", folder / "step-000004"
    adapted(own.model)
    own.model.save_pretrained(base, state_dict=lora.base_state(own.model))
    own.tokenizer.save_pretrained(base)
    step.mkdir()
    lora.save(own.model, step, "../step-000000")
    return step


def test_saved_and_loaded_by_the_engine(own: Policy, prompts: list[list[int]], tmp_path: Path) -> None:
    plain = logits(own.model, prompts[1])
    step = saved(own, tmp_path)
    assert torch.equal(logits(models.load(str(step), dtype="float32").model, prompts[1]), logits(own.model, prompts[1]))
    assert torch.equal(logits(models.load(str(tmp_path / "step-000000"), dtype="float32").model, prompts[1]), plain)
    assert (step / lora.WEIGHTS).stat().st_size < (tmp_path / "step-000000" / "model.safetensors").stat().st_size / 2


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft asks by the old name
def test_peft_itself_reads_the_folder(own: Policy, prompts: list[list[int]], tmp_path: Path) -> None:
    from peft import PeftModel

    step = saved(own, tmp_path)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "step-000000", dtype=torch.float32)
    theirs = PeftModel.from_pretrained(base, str(step)).eval()
    ids = prompts[1]
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(logits(own.model, ids), expected, rtol=1e-4, atol=1e-4)


def test_merged_it_is_a_plain_model_of_the_same_function(own: Policy, prompts: list[list[int]]) -> None:
    before = logits(adapted(own.model), prompts[1])
    lora.merge(own.model)
    assert not lora.is_adapted(own.model)
    torch.testing.assert_close(logits(own.model, prompts[1]), before, rtol=1e-4, atol=1e-4)


def test_what_is_wrong_with_an_adapters_folder_is_said(own: Policy, tmp_path: Path) -> None:
    step = saved(own, tmp_path)
    whole = (step / lora.WEIGHTS).read_bytes()
    (step / lora.WEIGHTS).write_bytes(whole[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        models.load(str(step), dtype="float32")
    (step / lora.WEIGHTS).write_bytes(whole)
    (tmp_path / "step-000000").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="belongs to is not there"):
        models.load(str(step), dtype="float32")


def test_a_model_without_the_projections_is_refused(own: Policy) -> None:
    with pytest.raises(InputError, match="LoRA cannot be set up"):
        lora.adapt(own.model, rank=4, alpha=8.0, targets=["c_attn"], seed=0)
