"""The objectives worked by hand, against the textbook formula, and cut into micro-batches in any way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diagnosis_zero.train.loss import (
    AGGREGATIONS,
    KL_ESTIMATORS,
    OBJECTIVES,
    LossInputs,
    LossSettings,
    aggregation_weights,
    k1,
    k2,
    k3,
    kl_of_completions,
    mean_metrics,
    policy_loss,
)

# The worked example: two completions. The first has two tokens and advantage +1, the second one token and -1.
# Importance ratios 1.5, 1.1 | 0.5.
LOGPROBS = [-1.0, -2.0, -0.5]
RATIOS = [1.5, 1.1, 0.5]
ADVANTAGES = [1.0, 1.0, -1.0]
LENGTHS = [2, 1]


def example(aggregation: str = "token-mean", **more: Tensor) -> LossInputs:
    logprobs = torch.tensor(LOGPROBS, dtype=torch.float64, requires_grad=True)
    row = torch.tensor([0, 0, 1])
    return LossInputs(
        logprobs_T=logprobs,
        old_logprobs_T=logprobs.detach() - torch.tensor(RATIOS, dtype=torch.float64).log(),
        advantages_T=torch.tensor(ADVANTAGES, dtype=torch.float64),
        row_T=row,
        weights_T=aggregation_weights(LENGTHS, aggregation, max_tokens=4).double()[row],
        **more,
    )


def loss_and_gradient(inputs: LossInputs, **choice: object) -> tuple[float, list[float]]:
    loss = policy_loss(inputs, LossSettings(**choice)).loss  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(loss, inputs.logprobs_T)
    return loss.item(), gradient.tolist()


# --- by hand


@pytest.mark.parametrize("objective", ["grpo", "dr-grpo", "dapo"])
def test_clipped_token_ratio(objective: str) -> None:
    # max(-1.5, -1.2) = -1.2, clipped | -1.1 | max(0.5, 0.8) = 0.8, clipped;  sum -1.5 over 3 tokens
    loss, gradient = loss_and_gradient(example(), objective=objective)
    assert loss == pytest.approx(-0.5)
    assert gradient == pytest.approx([0, -1.1 / 3, 0])


def test_clip_higher_lets_the_first_token_through() -> None:
    # DAPO's upper bound at 0.6: -1.5 | -1.1 | 0.8
    loss, gradient = loss_and_gradient(example(), objective="dapo", clip_high=0.6)
    assert loss == pytest.approx(-1.8 / 3)
    assert gradient == pytest.approx([-1.5 / 3, -1.1 / 3, 0])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token-mean", -1.5 / 3),
        ("sequence-mean", (-2.3 / 2 + 0.8) / 2),  # -0.175
        ("dr-grpo", -1.5 / (2 * 4)),  # two completions, limit of 4 tokens
    ],
)
def test_aggregation(aggregation: str, expected: float) -> None:
    assert loss_and_gradient(example(aggregation))[0] == pytest.approx(expected)


def test_dual_clip_bounds_a_negative_advantage() -> None:
    # A = -1 and ratio 5: loss 5, bounded to 3; no gradient beyond the bound
    inputs = replace(
        example(),
        old_logprobs_T=torch.tensor(LOGPROBS, dtype=torch.float64) - torch.tensor([1.0, 1.0, 5.0]).log(),
    )
    assert loss_and_gradient(inputs)[0] == pytest.approx((-1 - 1 + 5) / 3)
    loss, gradient = loss_and_gradient(inputs, dual_clip=3.0)
    assert loss == pytest.approx((-1 - 1 + 3) / 3)
    assert gradient == pytest.approx([-1 / 3, -1 / 3, 0])


def test_gspo_takes_one_ratio_of_the_completion() -> None:
    # geometric mean of 1.5 and 1.1 = sqrt(1.65) = 1.2845233; bounds wide enough: (-1.2845 * 2 / 2 + 0.5) / 2
    s = math.sqrt(1.65)
    loss, gradient = loss_and_gradient(example("sequence-mean"), objective="gspo", clip_low=0.6, clip_high=0.5)
    assert loss == pytest.approx((-s + 0.5) / 2)
    assert gradient == pytest.approx([-s / 4, -s / 4, 0.5 / 2])  # both tokens share the completion's ratio
    # narrow bounds: the whole first completion is clipped to 1.2, the second to 0.8
    loss, gradient = loss_and_gradient(example("sequence-mean"), objective="gspo")
    assert loss == pytest.approx((-1.2 + 0.8) / 2)
    assert gradient == [0, 0, 0]


def test_cispo_keeps_the_gradient_of_clipped_tokens() -> None:
    # weights min(1.5, 1.2), 1.1, 0.5 (no lower bound); -w A logp: 1.2 | 2.2 | -0.25; sum 3.15
    loss, gradient = loss_and_gradient(example(), objective="cispo", clip_low=1.0)
    assert loss == pytest.approx(3.15 / 3)
    assert gradient == pytest.approx([-1.2 / 3, -1.1 / 3, 0.5 / 3])


def test_kl_estimators() -> None:
    # p = 1/2, q = 1/4: log ratio ln 2 = 0.6931472; squared half 0.2402265; exp(-ln 2) - 1 + ln 2 = 0.1931472
    p, q = torch.tensor(0.5).log(), torch.tensor(0.25).log()
    assert k1(p, q).item() == pytest.approx(0.6931472)
    assert k2(p, q).item() == pytest.approx(0.2402265)
    assert k3(p, q).item() == pytest.approx(0.1931472)


def test_kl_in_the_loss() -> None:
    # reference = policy - ln 2 on every token: k3 = 0.1931472 each; 0.1 of its mean is added to -0.5
    reference = torch.tensor(LOGPROBS, dtype=torch.float64) - math.log(2)
    inputs = example(ref_logprobs_T=reference)
    assert loss_and_gradient(inputs, kl_coefficient=0.1)[0] == pytest.approx(-0.5 + 0.01931472)
    # derivative of k3 by logp is 1 - q/p = 1/2
    assert loss_and_gradient(inputs, kl_coefficient=0.1)[1][0] == pytest.approx(0.1 * 0.5 / 3)


def test_kl_in_the_reward_is_summed_over_each_completion() -> None:
    policy = torch.tensor([-1.0, -2.0, -0.5])
    reference = torch.tensor([-1.5, -1.0, -0.5])
    # k1: 0.5 - 1.0 | 0.0; a completion without tokens has none
    penalty = kl_of_completions(policy, reference, torch.tensor([0, 0, 2]), 3, "k1")
    assert penalty.tolist() == pytest.approx([-0.5, 0.0, 0.0])


def test_sampler_correction_weighs_the_policy_term_alone() -> None:
    inputs = example()
    log_weight = torch.tensor([math.log(3), math.log(0.5), 0.0], dtype=torch.float64)
    inputs = replace(inputs, sampler_logprobs_T=inputs.old_logprobs_T - log_weight)
    # weights min(3, 2), 0.5, 1 on -1.2 | -1.1 | 0.8
    expected = (2 * -1.2 + 0.5 * -1.1 + 0.8) / 3
    assert loss_and_gradient(inputs, sampler_ratio_cap=2.0)[0] == pytest.approx(expected)
    reference = replace(inputs, ref_logprobs_T=inputs.logprobs_T.detach() - math.log(2))
    assert loss_and_gradient(reference, sampler_ratio_cap=2.0, kl_coefficient=0.1)[0] == pytest.approx(
        expected + 0.01931472
    )


def test_entropy_bonus_is_taken_off_the_loss() -> None:
    inputs = example(entropy_T=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert loss_and_gradient(inputs, entropy_coefficient=0.1)[0] == pytest.approx(-0.5 - 0.1 * 2.0)


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"kl_coefficient": 0.1}, "ref_logprobs_T"),
        ({"entropy_coefficient": 0.1}, "entropy_T"),
        ({"sampler_ratio_cap": 2.0}, "sampler_logprobs_T"),
    ],
)
def test_term_without_its_tensor_is_refused(choice: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        loss_and_gradient(example(), **choice)


def test_first_update_has_loss_zero_and_still_teaches() -> None:
    # "my loss is 0": on-policy the ratio is 1 and a group's advantages sum to nothing; the gradient does not
    inputs = example("sequence-mean")
    inputs = replace(inputs, old_logprobs_T=inputs.logprobs_T.detach())
    loss, gradient = loss_and_gradient(inputs)
    assert loss == 0
    assert gradient == pytest.approx([-0.25, -0.25, 0.5])


# --- KL estimators, exactly, over a vocabulary


def test_estimators_in_expectation() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, generator=generator, dtype=torch.float64).requires_grad_()
    q = torch.randn(7, generator=generator, dtype=torch.float64).log_softmax(0)
    p = logits.log_softmax(0)
    true_kl = (p.exp() * (p - q)).sum()
    weight = p.exp().detach()
    assert (weight * k1(p, q)).sum().item() == pytest.approx(true_kl.item())
    assert (weight * k3(p, q)).sum().item() == pytest.approx(true_kl.item())
    (true_gradient,) = torch.autograd.grad(true_kl, logits, retain_graph=True)

    def mean_gradient(estimate: Tensor) -> Tensor:
        return torch.autograd.grad((weight * estimate).sum(), logits, retain_graph=True)[0]

    torch.testing.assert_close(mean_gradient(k2(p, q)), true_gradient)
    torch.testing.assert_close(mean_gradient(k1(p, q)), torch.zeros(7, dtype=torch.float64))  # useless


# --- against the textbook


@dataclass(frozen=True)
class Completion:
    logprobs: list[float]
    old: list[float]
    reference: list[float]
    sampler: list[float]
    advantage: float


logprob = st.floats(-4, -0.01)


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    length = draw(st.integers(1, 5))
    tokens = [draw(st.lists(logprob, min_size=length, max_size=length)) for _ in range(4)]
    return Completion(*tokens, advantage=draw(st.floats(-2, 2)))


def flat(batch: Sequence[Completion], weights: Sequence[float], logprobs: Sequence[Tensor]) -> LossInputs:
    def join(lists: list[list[float]]) -> Tensor:
        return torch.tensor([value for one in lists for value in one], dtype=torch.float64)

    lengths = [len(one.old) for one in batch]
    row = torch.repeat_interleave(torch.arange(len(batch)), torch.tensor(lengths))
    return LossInputs(
        logprobs_T=torch.cat(list(logprobs)),
        old_logprobs_T=join([one.old for one in batch]),
        advantages_T=torch.tensor([one.advantage for one in batch], dtype=torch.float64)[row],
        row_T=row,
        weights_T=torch.tensor(list(weights), dtype=torch.float64)[row],
        ref_logprobs_T=join([one.reference for one in batch]),
        sampler_logprobs_T=join([one.sampler for one in batch]),
    )


def textbook(batch: Sequence[Completion], leaves: Sequence[Tensor], s: LossSettings, how: str) -> Tensor:
    """The slow obvious version: one completion after the other, formulas as printed, no shared code."""
    sums = []
    for one, new in zip(batch, leaves, strict=True):
        ratio = torch.exp(new - torch.tensor(one.old, dtype=torch.float64))
        if s.objective == "gspo":
            ratio = ratio.log().mean().exp().expand(len(new))
        bounded = torch.clip(ratio, 1 - s.clip_low, 1 + s.clip_high)
        if s.objective == "cispo":
            gain = bounded.detach() * one.advantage * new
        else:
            gain = torch.min(ratio * one.advantage, bounded * one.advantage)
        d = torch.tensor(one.reference, dtype=torch.float64) - new
        kl = {"k1": -d, "k2": d**2 / 2, "k3": torch.exp(d) - d - 1}[s.kl_estimator]
        sums.append((-gain + s.kl_coefficient * kl).sum())
    lengths = [len(one.old) for one in batch]
    if how == "token-mean":
        return torch.stack(sums).sum() / sum(lengths)
    if how == "dr-grpo":
        return torch.stack(sums).mean() / 5
    return torch.stack([total / n for total, n in zip(sums, lengths, strict=True)]).mean()


@settings(deadline=None, max_examples=150)
@given(
    st.lists(completions(), min_size=1, max_size=6),
    st.sampled_from(sorted(OBJECTIVES)),
    st.sampled_from(sorted(AGGREGATIONS)),
    st.sampled_from(sorted(KL_ESTIMATORS)),
)
def test_loss_and_gradient_equal_the_textbook(
    batch: list[Completion], objective: str, how: str, estimator: str
) -> None:
    choice = LossSettings(objective=objective, clip_low=0.3, clip_high=0.4, kl_coefficient=0.2, kl_estimator=estimator)
    leaves = [torch.tensor(one.logprobs, dtype=torch.float64, requires_grad=True) for one in batch]
    weights = aggregation_weights([len(one.old) for one in batch], how, max_tokens=5).tolist()
    ours = policy_loss(flat(batch, weights, leaves), choice).loss
    theirs = textbook(batch, leaves, choice, how)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    for mine, their in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(mine, their, rtol=1e-6, atol=1e-6)


# --- however the update is cut


@settings(deadline=None, max_examples=100)
@given(
    st.lists(completions(), min_size=1, max_size=8),
    st.lists(st.integers(0, 3), min_size=8, max_size=8),
    st.sampled_from(sorted(OBJECTIVES)),
    st.sampled_from(sorted(AGGREGATIONS)),
)
def test_micro_batches_add_up(batch: list[Completion], place: list[int], objective: str, how: str) -> None:
    choice = LossSettings(objective=objective, kl_coefficient=0.1, sampler_ratio_cap=2.0)
    weights = aggregation_weights([len(one.old) for one in batch], how, max_tokens=5).tolist()

    def run(cuts: list[list[int]]) -> tuple[float, list[list[float]], dict[str, float]]:
        leaves = [torch.tensor(one.logprobs, dtype=torch.float64, requires_grad=True) for one in batch]
        outputs = []
        for cut in cuts:
            inputs = flat([batch[i] for i in cut], [weights[i] for i in cut], [leaves[i] for i in cut])
            outputs.append(policy_loss(inputs, choice))
            outputs[-1].loss.backward()
        total = sum(output.loss.item() for output in outputs)
        gradients = [leaf.grad.tolist() for leaf in leaves if leaf.grad is not None]
        return total, gradients, mean_metrics(output.sums for output in outputs)

    everyone = range(len(batch))
    whole = run([list(everyone)])
    cuts = [cut for k in range(4) if (cut := [i for i in everyone if place[i] == k])]
    parts = run(cuts)
    assert parts[0] == pytest.approx(whole[0], abs=1e-9)
    assert len(parts[1]) == len(batch)
    for mine, their in zip(parts[1], whole[1], strict=True):
        assert mine == pytest.approx(their, abs=1e-9)
    assert parts[2] == pytest.approx(whole[2], abs=1e-9)


def test_means_of_micro_batches_do_not_add_up() -> None:
    # negative control: weights of each micro-batch by itself (what a mean in every micro-batch amounts to)
    whole, _ = loss_and_gradient(example())
    first = replace(example(), weights_T=torch.tensor([1 / 2, 1 / 2, 0], dtype=torch.float64))
    second = replace(example(), weights_T=torch.tensor([0, 0, 1.0], dtype=torch.float64))
    halves = (loss_and_gradient(first)[0] + loss_and_gradient(second)[0]) / 2
    assert abs(halves - whole) > 0.1


# --- weights, masks, metrics, extremes


def test_left_out_completion_has_no_weight_and_is_not_counted() -> None:
    assert aggregation_weights([2, 0, 4], "token-mean", 8).tolist() == pytest.approx([1 / 6, 0, 1 / 6])
    assert aggregation_weights([2, 0, 4], "sequence-mean", 8).tolist() == pytest.approx([1 / 4, 0, 1 / 8])
    assert aggregation_weights([2, 0, 4], "dr-grpo", 8).tolist() == pytest.approx([1 / 16, 0, 1 / 16])


@pytest.mark.parametrize("how", sorted(AGGREGATIONS))
def test_update_in_which_everything_is_left_out_is_zero_not_nan(how: str) -> None:
    assert aggregation_weights([0, 0], how, 8).tolist() == [0, 0]


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_token_without_weight_changes_nothing(objective: str) -> None:
    def outcome(last: float) -> tuple[float, list[float], dict[str, float]]:
        logprobs = torch.tensor([-1.0, -2.0, last], requires_grad=True)
        inputs = LossInputs(
            logprobs_T=logprobs,
            old_logprobs_T=torch.tensor([-1.1, -1.9, -0.3]),
            advantages_T=torch.tensor([1.0, 1.0, -1.0]),
            row_T=torch.tensor([0, 0, 0]),
            weights_T=torch.tensor([0.5, 0.5, 0.0]),
        )
        output = policy_loss(inputs, LossSettings(objective=objective))
        (gradient,) = torch.autograd.grad(output.loss, logprobs)
        return output.loss.item(), gradient.tolist(), mean_metrics([output.sums])

    assert outcome(-0.2) == outcome(-7.0)
    assert outcome(-0.2)[1][2] == 0


def test_metrics_by_hand() -> None:
    inputs = example(ref_logprobs_T=torch.tensor(LOGPROBS, dtype=torch.float64) - math.log(2))
    inputs = replace(inputs, sampler_logprobs_T=inputs.old_logprobs_T + math.log(2))
    metrics = mean_metrics([policy_loss(inputs, LossSettings()).sums])
    assert metrics["policy/loss"] == pytest.approx(-0.5)
    assert metrics["policy/clip_fraction"] == pytest.approx(2 / 3)
    assert metrics["policy/kl"] == pytest.approx(0.1931472)
    assert metrics["policy/mismatch_kl"] == pytest.approx(0.1931472)  # KL(sampler || trainer), k3
    assert metrics["policy/entropy"] == pytest.approx(3.5 / 3)  # estimated: mean of -logp


def test_loss_of_several_updates_is_their_mean() -> None:
    sums = policy_loss(example(), LossSettings()).sums
    assert mean_metrics([sums, sums], updates=2)["policy/loss"] == pytest.approx(-0.5)
    assert mean_metrics([]) == {"policy/loss": 0.0}


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
@pytest.mark.parametrize("gap", [-1e4, 1e4])
def test_runaway_log_probability_stays_finite(objective: str, gap: float) -> None:
    inputs = replace(
        example(ref_logprobs_T=torch.tensor(LOGPROBS, dtype=torch.float64) + gap),
        old_logprobs_T=torch.tensor(LOGPROBS, dtype=torch.float64) - gap,
    )
    loss, gradient = loss_and_gradient(inputs, objective=objective, kl_coefficient=0.001)
    assert math.isfinite(loss)
    assert all(math.isfinite(value) for value in gradient)


def test_micro_batch_without_tokens_is_zero() -> None:
    empty = torch.zeros(0, requires_grad=True)
    none = torch.zeros(0)
    inputs = LossInputs(empty, none, none, torch.zeros(0, dtype=torch.int64), none)
    for objective in OBJECTIVES:
        assert policy_loss(inputs, LossSettings(objective=objective)).loss.item() == 0
