"""A whole experiment: train by a recipe, evaluate before and after on the test split, build the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diagnosis_zero import prompts
from diagnosis_zero.behaviour.analyse import analyse, evaluation_folders, read_prompt
from diagnosis_zero.evaluate.compare import Comparison, compare
from diagnosis_zero.evaluate.run import evaluate
from diagnosis_zero.parsing import parse
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.report.build import build
from diagnosis_zero.rewards import build_reward
from diagnosis_zero.types import Case, Reward, RewardFn, SamplingParams

if TYPE_CHECKING:
    from diagnosis_zero.engine.model import Policy
    from diagnosis_zero.train.view import View

EVALUATION_SEED = 20_260
"""Sampled answers of the test cases are drawn with one seed, before as after training."""
SAMPLED = ".sampled"
"""Evaluations of several samples a case stand beside the greedy one, in a folder of this suffix."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where everything is, and whether the model got better on the test cases. The comparisons are None where the
    run was stopped before its end; ``sampled`` also where the recipe draws no samples."""

    run: Path
    report: Path
    greedy: Comparison | None
    sampled: Comparison | None


def run(recipe: Recipe, *, resume: bool = False, force: bool = False, view: View | None = None) -> Outcome:
    """Train, evaluate, report. The reward method of the recipe is also the judge of its evaluations."""
    from diagnosis_zero.train.loop import train
    from diagnosis_zero.train.view import View

    view = view or View()
    folder = recipe.run.folder
    evaluated: list[int] = []

    def evaluate_test(policy: Policy, step: int, cases: list[Case]) -> None:
        cases = cases[: recipe.eval.test_cases]
        view.say(f"evaluating {len(cases)} test cases at step {step}")
        evaluate_policy(recipe, policy, step, cases)
        evaluated.append(step)

    reward_for, judge_for = partial(reward_of, recipe), partial(judge_of, recipe)
    train(recipe, reward_for, evaluate_test, judge_for=judge_for, resume=resume, force=force, view=view)
    report = _report(recipe, folder)
    last = max(evaluated, default=0)
    if last == 0:
        return Outcome(folder, report, None, None)
    return Outcome(folder, report, _compared(folder, last, ""), _compared(folder, last, SAMPLED))


def _report(recipe: Recipe, folder: Path) -> Path:
    if has_answers(folder):
        analyse(folder, reward=reward_on(folder, recipe), only_stale=True)
    return build([folder], folder / "report.html")


def has_answers(run: Path) -> bool:
    """Whether there is an evaluation to be analysed."""
    return any((run / "evaluations").glob("*/answers.jsonl"))


def reward_on(run: Path, recipe: Recipe) -> RewardFn:
    """The recipe's reward for the answers in a run's evaluations (or in the one evaluation folder given)."""
    return reward_of(recipe, any(read_prompt(folder).think_opened for folder in evaluation_folders(run)))


def reward_of(recipe: Recipe, think_opened: bool = False) -> RewardFn:
    """The reward function that a recipe asks for."""
    wanted = recipe.reward
    return build_reward(
        method=wanted.method, catalogue=wanted.source, weights=wanted.weights, think_opened=think_opened
    )


def judge_of(recipe: Recipe, think_opened: bool = False) -> RewardFn:
    """A second opinion on the validation answers, by other means than the reward's, so that a reward that is being
    satisfied without the diagnosis being right is seen: on vignettes the true disease's own name and nothing else
    (their world is closed, a name stands for one id), otherwise the method that the reward is not."""
    if recipe.data.vignettes is not None:
        return partial(_named_exactly, think_opened)
    if recipe.reward.method == "ontology":
        return build_reward(method="sequence", think_opened=think_opened)
    return build_reward(method="ontology", catalogue=None, think_opened=think_opened)


def _named_exactly(think_opened: bool, completion: str, case: Case) -> Reward:
    answer = parse(completion, think_opened=think_opened).answer or ""
    right = float(answer.strip().casefold() in {name.casefold() for name in case.names})
    return Reward(right, {"accuracy": right})


def evaluate_policy(recipe: Recipe, policy: Policy, step: int, cases: list[Case]) -> None:
    """Greedy answers to the test cases and, where the recipe draws samples, several sampled ones."""
    from diagnosis_zero.engine.generate import EngineGenerator
    from diagnosis_zero.train.start import opens_thinking

    policy.model.eval()

    def ask(suffix: str, temperature: float, n: int) -> None:
        evaluate(
            EngineGenerator(policy),
            cases,
            evaluation_folder(recipe.run.folder, step, suffix),
            model=recipe.model.id,
            step=step,
            template=prompts.load_template(recipe.prompt.template),
            params=SamplingParams(recipe.rollout.max_tokens, temperature, seed=EVALUATION_SEED),
            n=n,
            judge=recipe.reward.method,
            catalogue=recipe.reward.source,
            think_opened=opens_thinking(policy),
        )

    ask("", 0.0, 1)
    if recipe.eval.samples:
        ask(SAMPLED, recipe.rollout.temperature, recipe.eval.samples)


def evaluation_folder(run_dir: Path, step: int, suffix: str = "") -> Path:
    """Where the evaluation of a step stands."""
    return run_dir / "evaluations" / f"step-{step:06d}{suffix}"


def _compared(folder: Path, last: int, suffix: str) -> Comparison | None:
    before, after = (evaluation_folder(folder, step, suffix) for step in (0, last))
    return compare(before, after) if before.is_dir() and after.is_dir() else None
