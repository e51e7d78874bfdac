"""Made-up groups, and one training step the obvious way: every completion behind its own copy of the prompt, plain
attention, full softmax, the formulas as they stand in the papers, autograd, torch's own AdamW."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from diagnosis_zero.engine import model as engine_model
from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.step import UpdateSettings
from diagnosis_zero.types import Case, Completion, Group, Reward

VOCABULARY = 101
BETAS = (0.9, 0.999)


def plain_model(seed: int = 1) -> Any:
    """A random Qwen2 with Hugging Face's own attention, away from the near-uniform start, where errors would hide."""
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)
    model.set_attn_implementation("eager")
    return model


def shared(model: Any) -> Any:
    """A copy of it on the engine's attention."""
    return engine_model.prepare(copy.deepcopy(model))


def make_group(
    number: int, scores: Sequence[float], lengths: Sequence[int], *, prompt: int = 9, limit: int = 10_000
) -> Group:
    """A group of random tokens; a completion of ``limit`` tokens ended by the limit."""
    generator = torch.Generator().manual_seed(number)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, VOCABULARY, (count,), generator=generator).tolist())

    case = Case(f"case-{number}", "made", f"article-{number}", "text", ("Gout",))
    completions = tuple(
        Completion("", "length" if length == limit else "stop", tokens(length), (0.0,) * length) for length in lengths
    )
    rewards = tuple(Reward(score, {"accuracy": score}) for score in scores)
    return Group(case, tokens(prompt), completions, rewards)


def written_by(model: Any, groups: Sequence[Group], temperature: float = 1.0) -> list[Group]:
    """The groups with the logprobs that a faultless sampler of ``model`` would have reported."""

    def measured(group: Group) -> Group:
        logprobs = [plain_logprobs(model, group, c, temperature)[0].tolist() for c in group.completions]
        pairs = zip(group.completions, logprobs, strict=True)
        return replace(group, completions=tuple(replace(c, logprobs=tuple(p)) for c, p in pairs))

    with torch.no_grad():
        return [measured(group) for group in groups]


def plain_logprobs(model: Any, group: Group, completion: Completion, temperature: float) -> tuple[Tensor, Tensor]:
    """Logprob and entropy of every token of a completion."""
    prompt, tokens = group.prompt_ids, completion.token_ids
    logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1].float() / temperature
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    return chosen, -(logprobs.exp() * logprobs).sum(-1)


@dataclass(frozen=True)
class Textbook:
    """What the step did: per group advantages, the mean loss of its updates, the largest gradient norm, and the
    optimizer (its first moments are the gradients)."""

    advantages: list[list[float]]
    loss: float
    norm: float
    adam: torch.optim.AdamW


def textbook_step(
    model: Any, groups: Sequence[Group], lr: float, settings: UpdateSettings, reference: Any = None
) -> Textbook:
    """GRPO with token-wise clipping, by the definitions."""
    old = _logprobs_of_all(model, groups, settings.temperature)
    ref = old if reference is None else _logprobs_of_all(reference, groups, settings.temperature)
    advantages = [_advantages(g, group, settings, old, ref) for g, group in enumerate(groups)]
    adam = torch.optim.AdamW(model.parameters(), lr=lr, betas=BETAS, weight_decay=0.0)
    losses, norms = [], []
    size = len(groups) // settings.minibatches
    for first in range(0, len(groups), size):
        loss = _loss(model, groups, range(first, first + size), settings, advantages, old, ref)
        adam.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)))
        adam.step()
        losses.append(float(loss.detach()))
    return Textbook(advantages, fmean(losses), max(norms), adam)


def _logprobs_of_all(model: Any, groups: Sequence[Group], temperature: float) -> list[list[Tensor]]:
    with torch.no_grad():
        return [[plain_logprobs(model, g, c, temperature)[0] for c in g.completions] for g in groups]


def _advantages(
    g: int, group: Group, settings: UpdateSettings, old: list[list[Tensor]], ref: list[list[Tensor]]
) -> list[float]:
    credit = settings.credit
    scores = []
    for m, (completion, reward) in enumerate(zip(group.completions, group.rewards, strict=True)):
        score = reward.score - settings.kl_in_reward * float(_k3(old[g][m], ref[g][m]).sum())
        if credit.overlong == "penalise":
            over = len(completion.token_ids) - (credit.max_tokens - credit.overlong_buffer)
            score -= min(1.0, max(0.0, over / credit.overlong_buffer))
        scores.append(score)
    kept = [score for score, c in zip(scores, group.completions, strict=True) if _counts(c, credit)]
    if len(set(kept)) < 2:
        return [0.0] * len(scores)
    scale = stdev(kept) + 1e-6 if credit.normalise == "std" else 1.0
    return [
        (score - fmean(kept)) / scale if _counts(c, credit) else 0.0
        for score, c in zip(scores, group.completions, strict=True)
    ]


def _loss(
    model: Any,
    groups: Sequence[Group],
    share: range,
    settings: UpdateSettings,
    advantages: list[list[float]],
    old: list[list[Tensor]],
    ref: list[list[Tensor]],
) -> Tensor:
    loss, credit = settings.loss, settings.credit
    counted = [(g, m, c) for g in share for m, c in enumerate(groups[g].completions) if _counts(c, credit)]
    tokens = sum(len(c.token_ids) for _, _, c in counted)
    total = torch.zeros(())
    for g, m, completion in counted:
        logprobs, entropy = plain_logprobs(model, groups[g], completion, settings.temperature)
        ratio = (logprobs - old[g][m]).exp()
        a = advantages[g][m]
        gain = torch.minimum(ratio * a, ratio.clamp(1 - loss.clip_low, 1 + loss.clip_high) * a)
        per_token = -gain + loss.kl_coefficient * _k3(logprobs, ref[g][m]) - loss.entropy_coefficient * entropy
        divisor = {
            "token-mean": tokens,
            "sequence-mean": len(counted) * len(completion.token_ids),
            "dr-grpo": len(counted) * credit.max_tokens,
        }[settings.aggregation]
        total = total + per_token.sum() / divisor
    return total


def _counts(completion: Completion, credit: Credit) -> bool:
    return credit.overlong != "mask" or completion.finish != "length"


def _k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    return (reference - logprobs).exp() - 1 - (reference - logprobs)


def worst_error(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Largest relative error of a tensor, by norm; tensors that are nearly nothing count against the whole."""
    with torch.no_grad():
        whole = float(torch.stack([w.norm() for w in wanted]).norm())
        return max(float((g - w).norm()) / max(float(w.norm()), 1e-3 * whole) for g, w in zip(got, wanted, strict=True))
