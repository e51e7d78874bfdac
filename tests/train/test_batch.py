"""What an update is made of: which completions are computed, what each weighs, whose logprobs go where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from textbook import make_group

from diagnosis_zero.train.batch import Batch, Credit, build_batch, loss_inputs, silent_share, step_advantages
from diagnosis_zero.types import Completion, Group

LIMIT = 5
GROUPS = {
    3: make_group(0, [1.0, 0.0, 1.0], [2, 5, 3], limit=LIMIT),  # the second was cut by the limit
    7: make_group(1, [0.5, 0.5], [4, 1], limit=LIMIT),  # silent
}
ADVANTAGES = [[], [], [], [0.5, -1.0, 0.5], [], [], [], [0.0, 0.0]]


def batch(credit: Credit, *, skip_silent: bool = False, aggregation: str = "token-mean", budget: int = 4096) -> Batch:
    return build_batch(
        GROUPS, ADVANTAGES, credit, aggregation=aggregation, token_budget=budget, skip_silent=skip_silent
    )


def computed(built: Batch) -> set[tuple[int, int]]:
    return {member for row in built.rows for member in row.members}


def test_every_completion_is_computed_and_weighs_its_share_of_the_tokens() -> None:
    built = batch(Credit(max_tokens=LIMIT))
    assert computed(built) == {(3, 0), (3, 1), (3, 2), (7, 0), (7, 1)}
    assert built.weights == pytest.approx(dict.fromkeys(computed(built), 1 / 15))


def test_a_completion_that_was_cut_is_left_out_and_not_counted() -> None:
    built = batch(Credit(overlong="mask", max_tokens=LIMIT))
    assert computed(built) == {(3, 0), (3, 2), (7, 0), (7, 1)}
    assert built.weights == pytest.approx({(3, 0): 0.1, (3, 1): 0.0, (3, 2): 0.1, (7, 0): 0.1, (7, 1): 0.1})


def test_a_silent_group_is_not_computed_and_still_counted() -> None:
    built = batch(Credit(max_tokens=LIMIT), skip_silent=True)
    assert computed(built) == {(3, 0), (3, 1), (3, 2)}
    assert built.weights[3, 0] == pytest.approx(1 / 15)


def test_weights_of_the_other_aggregations() -> None:
    by_sequence = batch(Credit(max_tokens=LIMIT), aggregation="sequence-mean").weights
    assert by_sequence == pytest.approx({(3, 0): 1 / 10, (3, 1): 1 / 25, (3, 2): 1 / 15, (7, 0): 1 / 20, (7, 1): 1 / 5})
    constant = batch(Credit(max_tokens=LIMIT), aggregation="dr-grpo").weights
    assert constant == pytest.approx(dict.fromkeys(by_sequence, 1 / 25))


def test_nothing_left_to_compute_is_an_empty_batch() -> None:
    cut = {0: make_group(2, [1.0, 0.0], [5, 5], limit=LIMIT)}
    built = build_batch(
        cut,
        [[0.0, 0.0]],
        Credit(overlong="mask", max_tokens=LIMIT),
        aggregation="sequence-mean",
        token_budget=64,
        skip_silent=False,
    )
    assert built.rows == ()
    assert set(built.weights.values()) == {0.0}


@pytest.mark.parametrize("budget", [11, 16, 4096])
def test_every_token_gets_the_numbers_of_its_own_completion(budget: int) -> None:
    """However the rows are cut and ordered: each member's numbers are made recognisable and looked for."""
    marked = {
        g: replace(
            group,
            completions=tuple(
                replace(c, logprobs=tuple(100 * g + 10 * m + t / 10 for t in range(len(c.token_ids))))
                for m, c in enumerate(group.completions)
            ),
        )
        for g, group in GROUPS.items()
    }
    built = build_batch(
        marked,
        ADVANTAGES,
        Credit(max_tokens=LIMIT),
        aggregation="sequence-mean",
        token_budget=budget,
        skip_silent=False,
    )
    per_member = {member: built.sampler_logprobs[member] for member in computed(built)}
    seen: list[tuple[int, int]] = []
    for row in built.rows:
        count = sum(row.lengths)
        inputs = loss_inputs(
            row,
            built,
            torch.zeros(count),
            torch.zeros(count),
            old={member: values + 1 for member, values in per_member.items()},
            ref={member: values + 2 for member, values in per_member.items()},
        )
        at = 0
        for place, (g, m) in enumerate(row.members):
            completion = marked[g].completions[m]
            own = slice(at, at + len(completion.token_ids))
            assert row.targets_N[own].tolist() == list(completion.token_ids)
            assert inputs.sampler_logprobs_T is not None
            assert inputs.ref_logprobs_T is not None
            assert inputs.sampler_logprobs_T[own].tolist() == pytest.approx(completion.logprobs)
            assert inputs.old_logprobs_T[own].tolist() == pytest.approx([x + 1 for x in completion.logprobs])
            assert inputs.ref_logprobs_T[own].tolist() == pytest.approx([x + 2 for x in completion.logprobs])
            assert inputs.advantages_T[own].unique().tolist() == [ADVANTAGES[g][m]]
            assert inputs.weights_T[own].tolist() == pytest.approx([built.weights[g, m]] * len(completion.token_ids))
            assert inputs.row_T[own].unique().tolist() == [place]
            seen.append((g, m))
            at = own.stop
        assert at == count
    assert sorted(seen) == [(3, 0), (3, 1), (3, 2), (7, 0), (7, 1)]


def test_on_policy_the_old_logprobs_are_the_rows_own_without_gradient() -> None:
    built = batch(Credit(max_tokens=LIMIT))
    logprobs = torch.randn(15, generator=torch.Generator().manual_seed(0)).requires_grad_()
    inputs = loss_inputs(built.rows[0], built, logprobs, torch.zeros(15), old=None, ref=None)
    assert torch.equal(inputs.old_logprobs_T, logprobs)
    assert not inputs.old_logprobs_T.requires_grad
    assert inputs.ref_logprobs_T is None


def test_kl_comes_off_the_reward_before_the_comparison() -> None:
    # Rewards 1 1 make silence; a KL penalty of 0.5 on the second gives 1 0.5: mean 0.75, deviation 0.35355.
    group = make_group(4, [1.0, 1.0], [2, 2])
    assert step_advantages([group], Credit()) == [[0.0, 0.0]]
    assert step_advantages([group], Credit(), {(0, 1): 0.5})[0] == pytest.approx([0.70711, -0.70711], abs=1e-4)
    assert step_advantages([group], Credit(normalise="mean"), {(0, 1): 0.5}) == [[0.25, -0.25]]


def test_share_of_silent_groups() -> None:
    assert silent_share(list(GROUPS.values()), Credit(max_tokens=LIMIT)) == 0.5
    assert silent_share([make_group(0, [0.1, 0.1], [1, 1])], Credit(max_tokens=LIMIT)) == 1.0


def test_a_penalty_can_make_a_group_teach_and_a_mask_can_silence_it() -> None:
    long = make_group(0, [0.5, 0.5], [10, 20])
    assert silent_share([long], Credit(max_tokens=20, overlong_buffer=5)) == 1.0
    assert silent_share([long], Credit(overlong="penalise", max_tokens=20, overlong_buffer=5)) == 0.0
    cut = make_group(0, [0.5, 0.5, 0.0], [3, 3, 20])
    cut = replace(cut, completions=(*cut.completions[:2], replace(cut.completions[2], finish="length")))
    assert silent_share([cut], Credit(max_tokens=20)) == 0.0
    assert silent_share([cut], Credit(overlong="mask", max_tokens=20)) == 1.0


def test_a_completion_that_stopped_exactly_at_the_limit_was_not_cut() -> None:
    group = make_group(6, [1.0, 0.0, 0.0], [5, 5, 2], limit=LIMIT)
    stopped = with_finishes(group, ["length", "stop", "stop"])
    assert step_advantages([stopped], Credit(overlong="mask", max_tokens=LIMIT)) == [[0.0, 0.0, 0.0]]
    stopped = with_finishes(group, ["stop", "length", "stop"])
    (found,) = step_advantages([stopped], Credit(overlong="mask", max_tokens=LIMIT))
    assert found == pytest.approx([0.70711, 0.0, -0.70711], abs=1e-4)  # 1 and 0 among themselves


def with_finishes(group: Group, finishes: Sequence[str]) -> Group:
    pairs = zip(group.completions, finishes, strict=True)
    return replace(group, completions=tuple(Completion(c.text, f, c.token_ids, c.logprobs) for c, f in pairs))  # type: ignore[arg-type]
