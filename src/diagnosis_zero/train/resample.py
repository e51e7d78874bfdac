"""Dynamic sampling (Yu et al. 2025, DAPO, section 3.2): groups that teach nothing give their place to others.

Where this departs from DAPO: the rounds are capped, and what is still silent after the last of them stays in the
update, where it counts as a group without advantage. So a step has always the same number of groups, and a policy that
has nothing left to learn does not sample for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnosis_zero.train.batch import Credit, step_advantages
from diagnosis_zero.types import Case, Group

Draw = Callable[[Sequence[Case]], list[Group]]
"""A rollout of these cases."""
Spare = Callable[[int], Sequence[Case]]
"""Candidates to replace with, by the number of the round (from 1)."""


def replace_silent(
    groups: Sequence[Group], credit: Credit, rounds: int, draw: Draw, spare: Spare
) -> tuple[list[Group], list[Group]]:
    """The groups to learn from, and those that were drawn and not used, in the order drawn.

    In each of at most ``rounds`` rounds the silent groups are drawn again on other cases, none of which the step has
    had; a new group takes the place of a silent one if it teaches.
    """
    kept, unused = list(groups), list[Group]()
    seen = {group.case.id for group in groups}
    for number in range(1, rounds + 1):
        silent = [place for place, group in enumerate(kept) if not teaches(group, credit)]
        fresh = [case for case in spare(number) if case.id not in seen][: len(silent)]
        if not fresh:
            break
        seen |= {case.id for case in fresh}
        for group in draw(fresh):
            if not teaches(group, credit):
                unused.append(group)
                continue
            place = silent.pop(0)
            unused.append(kept[place])
            kept[place] = group
    return kept, unused


def teaches(group: Group, credit: Credit) -> bool:
    """Whether any completion has an advantage, with the penalties and masks of the recipe."""
    return any(step_advantages([group], credit)[0])
