"""One update from rewards to weights: worked by hand, against the textbook, and cut into micro-batches in any way."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from textbook import BETAS, make_group, plain_model, shared, textbook_step, worst_error, written_by

from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.loss import LossSettings
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.step import Updated, UpdateSettings, step_kl, update
from diagnosis_zero.types import Group

LIMIT = 4
# Worked by hand below. The third completion of the first group was cut by the limit; the second group has no variance.
WORKED = [
    make_group(0, [1.0, 0.0, 0.0, 1.0], [3, 1, 4, 1], limit=LIMIT),
    make_group(1, [0.5, 0.5], [2, 3], limit=LIMIT),
]
# Ragged, with a group without variance, one of one-token completions, and two completions cut by the limit of 12.
RAGGED = [
    make_group(10, [1.0, 0.1, 0.0, 1.0], [12, 5, 1, 7], prompt=23, limit=12),
    make_group(11, [0.0, 0.0, 0.0], [3, 8, 12], prompt=4, limit=12),
    make_group(12, [0.0, 1.0], [1, 1], prompt=11, limit=12),
    make_group(13, [0.3, 0.9, 0.2], [6, 6, 11], prompt=40, limit=12),
]
RAGGED_CREDIT = Credit(max_tokens=12, overlong_buffer=4)


def credit(overlong: str) -> Credit:
    return Credit(overlong=overlong, max_tokens=LIMIT, overlong_buffer=2)


def optimizer_of(model: Any) -> MasterAdamW:
    return MasterAdamW(model, betas=BETAS, weight_decay=0.0)


def run_step(model: Any, groups: list[Group], settings: UpdateSettings, reference: Any = None) -> Updated:
    return update(model, optimizer_of(model), groups, 1e-4, settings, reference)


# --- by hand


@pytest.mark.parametrize(
    ("overlong", "advantages", "loss"),
    [
        # Rewards 1 0 0 1: mean 1/2, deviation sqrt(1/3), so +-0.866. Sum of A * length: 0.866 (3 - 1 - 4 + 1) = -0.866;
        # all 14 tokens count, those of the silent group too: 0.866 / 14.
        ("score", [[0.8660, -0.8660, -0.8660, 0.8660], [0.0, 0.0]], 0.86602 / 14),
        # Without the third: rewards 1 0 1, mean 2/3, deviation sqrt(1/3). Sum: 0.57735 (3 + 1) - 1.1547 over 10.
        ("mask", [[0.57735, -1.1547, 0.0, 0.57735], [0.0, 0.0]], -1.1547 / 10),
        # Limit 4, buffer 2: 3 tokens cost 1/2, 4 tokens 1. Rewards 1/2 0 -1 1, mean 1/8, deviation 0.85391; and the
        # second group, 1/2 0, is silent no more. Sum: (1.125 - 0.125 - 4.5 + 0.875) / 0.85391 - 0.70711 = -3.7812.
        ("penalise", [[0.43915, -0.14638, -1.31746, 1.02470], [0.70711, -0.70711]], 3.7812 / 14),
    ],
)
def test_worked_example(overlong: str, advantages: list[list[float]], loss: float) -> None:
    model = plain_model()
    groups = written_by(model, WORKED)
    done = run_step(shared(model), groups, UpdateSettings(LossSettings(), credit(overlong)))
    for got, wanted in zip(done.advantages_BG, advantages, strict=True):
        assert got == pytest.approx(wanted, abs=1e-4)
    assert done.metrics["policy/loss"] == pytest.approx(loss, abs=1e-5)
    assert done.metrics["policy/clip_fraction"] == 0
    assert done.metrics["policy/mismatch_kl"] == pytest.approx(0, abs=1e-9)
    assert done.metrics["policy/skipped"] == 0


@pytest.mark.parametrize(
    ("aggregation", "loss"),
    [
        ("sequence-mean", 0.0),  # the mean of the advantages
        ("dr-grpo", 0.86602 / (6 * LIMIT)),  # six completions of four tokens at most
    ],
)
def test_worked_example_under_another_aggregation(aggregation: str, loss: float) -> None:
    model = plain_model()
    settings = UpdateSettings(LossSettings(), credit("score"), aggregation=aggregation)
    done = run_step(shared(model), written_by(model, WORKED), settings)
    assert done.metrics["policy/loss"] == pytest.approx(loss, abs=1e-6)


# --- against the textbook

UNCLIPPED = UpdateSettings(LossSettings(), RAGGED_CREDIT, max_grad_norm=1e9)
SETTINGS = {
    "as the original": UNCLIPPED,
    "cut ones left out": replace(UNCLIPPED, credit=replace(RAGGED_CREDIT, overlong="mask")),
    "long ones penalised": replace(UNCLIPPED, credit=replace(RAGGED_CREDIT, overlong="penalise")),
    "mean over completions": replace(UNCLIPPED, aggregation="sequence-mean"),
    "dr-grpo": replace(UNCLIPPED, aggregation="dr-grpo", credit=replace(RAGGED_CREDIT, normalise="mean")),
    "kl in the loss": replace(UNCLIPPED, loss=LossSettings(kl_coefficient=0.1)),
    "kl in the reward": replace(UNCLIPPED, kl_in_reward=0.1),
    "entropy bonus": replace(UNCLIPPED, loss=LossSettings(entropy_coefficient=0.05)),
    "temperature": replace(UNCLIPPED, temperature=0.7),
    "two updates": replace(UNCLIPPED, minibatches=2),
    "two updates, all terms": replace(
        UNCLIPPED,
        loss=LossSettings(clip_low=0.01, clip_high=0.02, kl_coefficient=0.1, entropy_coefficient=0.01),
        credit=replace(RAGGED_CREDIT, overlong="mask"),
        minibatches=2,
        max_grad_norm=0.05,
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_update_equals_the_textbook(name: str) -> None:
    settings, lr = SETTINGS[name], 1e-3
    plain, reference = plain_model(), plain_model(seed=2)
    needs_reference = settings.loss.kl_coefficient > 0 or settings.kl_in_reward > 0
    groups = written_by(plain, RAGGED, settings.temperature)
    before = [p.detach().clone() for p in plain.parameters()]
    fast = shared(plain)
    optimizer = optimizer_of(fast)
    done = update(fast, optimizer, groups, lr, settings, shared(reference) if needs_reference else None)
    wanted = textbook_step(plain, groups, lr, settings, reference if needs_reference else None)

    for got, expected in zip(done.advantages_BG, wanted.advantages, strict=True):
        assert got == pytest.approx(expected, abs=1e-4)
    assert done.metrics["policy/loss"] == pytest.approx(wanted.loss, abs=1e-5)
    assert done.metrics["policy/grad_norm"] == pytest.approx(wanted.norm, rel=1e-4)
    assert ("policy/kl" in done.metrics) == needs_reference
    assert worst_error(first_moments(optimizer.adam), first_moments(wanted.adam)) < 1e-4
    moved = [a.detach() - b for a, b in zip(fast.parameters(), before, strict=True)]
    expected_move = [a.detach() - b for a, b in zip(plain.parameters(), before, strict=True)]
    assert worst_error(moved, expected_move) < 1e-3


def first_moments(adam: torch.optim.AdamW) -> list[torch.Tensor]:
    """By parameter shape and order: after one update a tenth of the (clipped) gradient."""
    return [
        adam.state[p]["exp_avg"] for g in adam.param_groups for p in sorted(g["params"], key=lambda p: p.dim() == 1)
    ]


def test_several_updates_measure_their_ratio_from_the_policy_that_wrote() -> None:
    """Negative control: two separate on-policy updates on the same halves end elsewhere."""
    plain = plain_model()
    groups = written_by(plain, RAGGED)
    tight = replace(UNCLIPPED, loss=LossSettings(clip_low=1e-4, clip_high=1e-4), minibatches=2)
    together, apart = shared(plain), shared(plain)
    done = update(together, optimizer_of(together), groups, 1e-2, tight)
    optimizer = optimizer_of(apart)
    for half in (groups[:2], groups[2:]):
        update(apart, optimizer, half, 1e-2, replace(tight, minibatches=1))
    assert done.metrics["policy/clip_fraction"] > 0.1
    assert worst_error(list(together.parameters()), list(apart.parameters())) > 1e-3


def test_kl_is_measured_from_the_reference() -> None:
    """By hand: one completion, the mean of k3 over its tokens under the full softmax of both models."""
    plain, other = plain_model(), plain_model(seed=2)
    groups = written_by(plain, [make_group(3, [1.0, 0.0], [5, 2])])
    settings = replace(UNCLIPPED, loss=LossSettings(kl_coefficient=0.5))
    done = run_step(shared(plain), groups, settings, shared(other))
    policy, frozen = ([x for c in written_by(m, groups)[0].completions for x in c.logprobs] for m in (plain, other))
    expected = [math.exp(r - p) - 1 - (r - p) for p, r in zip(policy, frozen, strict=True)]
    assert done.metrics["policy/kl"] == pytest.approx(sum(expected) / 7, rel=1e-4)


def test_step_kl_is_from_the_policy_that_wrote_to_the_one_after_the_update() -> None:
    """By hand: k3 over the fourth group, in length the middle one of the three that teach, under the full softmax."""
    plain = plain_model()
    groups = written_by(plain, RAGGED, 0.7)
    settings = replace(UNCLIPPED, temperature=0.7)
    updated = shared(plain)
    done = update(updated, optimizer_of(updated), groups, 1e-2, settings)
    textbook_step(plain, groups, 1e-2, settings, None)
    before, after = (
        [x for c in group.completions for x in c.logprobs] for group in (groups[3], written_by(plain, groups, 0.7)[3])
    )
    expected = [math.exp(a - b) - 1 - (a - b) for a, b in zip(after, before, strict=True)]
    optimizer = optimizer_of(updated)
    found = step_kl(updated, optimizer, groups, done, settings)
    assert found == pytest.approx(sum(expected) / 23, rel=0.05)
    assert found > 1e-4
    twice = replace(settings, minibatches=2)
    assert step_kl(updated, optimizer, groups, done, twice) == pytest.approx(found / 2)


def test_step_kl_of_an_update_that_moves_nothing_is_zero() -> None:
    plain = plain_model()
    silent = [replace(g, rewards=(g.rewards[0],) * len(g.rewards)) for g in written_by(plain, RAGGED)]
    updated = shared(plain)
    done = run_step(updated, silent, UNCLIPPED)
    assert step_kl(updated, optimizer_of(updated), silent, done, UNCLIPPED) == pytest.approx(0, abs=1e-9)


# --- however it is cut


@pytest.mark.parametrize("objective", ["grpo", "gspo", "cispo"])
@pytest.mark.parametrize("budget", [64, 200])
def test_micro_batches_change_nothing(budget: int, objective: str) -> None:
    plain, reference = plain_model(), shared(plain_model(seed=2))
    groups = written_by(plain, RAGGED)
    loss = LossSettings(objective=objective, kl_coefficient=0.05, entropy_coefficient=0.01)
    whole, cut = shared(plain), shared(plain)
    optimizers = [optimizer_of(whole), optimizer_of(cut)]
    settings = replace(UNCLIPPED, loss=loss, token_budget=4096)
    one = update(whole, optimizers[0], groups, 1e-5, settings, reference)
    many = update(cut, optimizers[1], groups, 1e-5, replace(settings, token_budget=budget), reference)
    assert worst_error(first_moments(optimizers[1].adam), first_moments(optimizers[0].adam)) < 1e-5
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-6  # a tenth of the learning rate
    assert many.metrics == pytest.approx(one.metrics, rel=1e-4, abs=1e-6)


def test_skipping_silent_groups_changes_nothing_but_the_work() -> None:
    """A KL term too small to matter forces the silent groups to be computed."""
    plain = plain_model()
    groups = written_by(plain, RAGGED)
    computed = replace(UNCLIPPED, loss=LossSettings(kl_coefficient=1e-30))
    skipping, computing = shared(plain), shared(plain)
    optimizers = [optimizer_of(skipping), optimizer_of(computing)]
    update(skipping, optimizers[0], groups, 1e-4, UNCLIPPED)
    update(computing, optimizers[1], groups, 1e-4, computed, shared(plain))
    assert worst_error(first_moments(optimizers[0].adam), first_moments(optimizers[1].adam)) < 1e-5
    for a, b in zip(skipping.parameters(), computing.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-5


def test_a_step_of_silent_groups_alone_is_one_of_gradient_zero() -> None:
    """The moments of earlier steps carry the weights on, as they do where silent groups are computed."""
    plain = plain_model()
    groups = written_by(plain, RAGGED)
    silent = [replace(g, rewards=(g.rewards[0],) * len(g.rewards)) for g in groups]
    computed = replace(UNCLIPPED, loss=LossSettings(kl_coefficient=1e-30))
    models = shared(plain), shared(plain)
    for model, settings, reference in zip(models, (UNCLIPPED, computed), (None, shared(plain)), strict=True):
        optimizer = optimizer_of(model)
        update(model, optimizer, groups, 1e-3, settings, reference)
        before = copy.deepcopy(model.state_dict())
        done = update(model, optimizer, silent, 1e-3, settings, reference)
        assert done.metrics["policy/grad_norm"] == pytest.approx(0, abs=1e-6)
        assert done.metrics["policy/skipped"] == 0
        assert any((p != before[name]).any() for name, p in model.named_parameters())
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert (a - b).abs().max() < 1e-4


def test_a_step_whose_completions_were_all_cut_does_not_fail() -> None:
    plain = plain_model()
    groups = written_by(plain, [make_group(5, [1.0, 0.0], [6, 6], limit=6)])
    settings = replace(UNCLIPPED, credit=Credit(overlong="mask", max_tokens=6))
    done = run_step(shared(plain), groups, settings)
    assert done.advantages_BG == [[0.0, 0.0]]
    assert done.metrics["policy/loss"] == 0
    assert done.metrics["policy/grad_norm"] == 0


# --- numbers that overflow


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_that_is_not_finite_leaves_weights_and_moments(dtype: torch.dtype) -> None:
    model = shared(plain_model()).to(dtype)
    groups = written_by(plain_model(), RAGGED)
    optimizer = optimizer_of(model)
    raw = replace(UNCLIPPED, credit=replace(RAGGED_CREDIT, normalise="mean"))
    update(model, optimizer, groups, 1e-3, raw)
    before = copy.deepcopy((model.state_dict(), optimizer.state()))

    def times(group: Group, factor: float) -> Group:
        return replace(group, rewards=tuple(replace(r, score=r.score * factor) for r in group.rewards))

    done = update(model, optimizer, [times(group, 1e38) for group in groups], 1e-3, raw)
    assert done.metrics["policy/skipped"] == 1
    assert not math.isfinite(done.metrics["policy/grad_norm"])
    assert_same(before, (model.state_dict(), optimizer.state()))
    healed = update(model, optimizer, groups, 1e-3, raw)
    assert healed.metrics["policy/skipped"] == 0
    assert math.isfinite(healed.metrics["policy/grad_norm"])


def assert_same(a: Any, b: Any) -> None:
    """The same tensors and values, to the last bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b
